package proxy_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// An answer of 200 tokens costs 1,200,000 nano-USD and its prompt at the first upstream, and half of that at the second: this has money for
// one and not for two.
const forOne = 2_000_000

// withReserve begins a world whose second upstream serves what the route's monthly budget refuses, with further budgets.
func withReserve(t *testing.T, further ...*ledgerpb.Budget) (*world, *second) {
	t.Helper()
	limited := monthly("", forOne)
	limited.ExceptUpstream = "second"
	return withSecond(t, setup{budgets: append(further, limited), edit: func(config *routeconfig.Config) {
		route := &config.Routes[0]
		route.Upstreams[1].Reserve = true
		route.Reserves = []routeconfig.Reserve{{Budget: "monthly", Upstream: "second"}}
	}})
}

// monthlyAt is a budget of an upstream.
func monthlyAt(upstream string, nano int64) *ledgerpb.Budget {
	budget := monthly("", nano)
	budget.Ref.Upstream = upstream
	return budget
}

func TestWhatABudgetRefusesGoesOnAtItsReserveToTheNano(t *testing.T) {
	w, other := withReserve(t, monthly(consumerName, 100_000_000_000), monthlyAt("second", 100_000_000_000))
	const requests = 5
	for i := range requests {
		w.ask(asking("answer=200", short+[]string{"", streamed}[i%2])).expectOK(t)
	}
	w.settled()
	first, reserve := w.upstream.Billed(upstream.Filter{}).TotalNanoUSD, other.halfPrice()
	if got := len(other.received.all()); got != requests-1 {
		t.Errorf("the reserve got %d requests, want all but the first", got)
	}
	want := map[string]spend{
		"route":                                      {Settled: first + reserve},
		"budget monthly of the route":                {Settled: first},
		"budget monthly of upstream second":          {Settled: reserve},
		"consumer " + consumerName:                   {Settled: first + reserve},
		"budget monthly of consumer " + consumerName: {Settled: first + reserve},
	}
	if diff := cmp.Diff(want, w.settled()); diff != "" {
		t.Errorf("the books (-want +got):\n%s", diff)
	}
	if strings.Contains(w.metrics(), `denials_total{`) && strings.Contains(w.metrics(), `reason="exhausted"`) {
		t.Error("requests that were served count as denied")
	}
}

func TestAReserveServesNothingThatItsBudgetHasMoneyFor(t *testing.T) {
	w, other := withReserve(t)
	w.ask(asking("status=503", short)).expectFailure(t, http.StatusServiceUnavailable, "upstream_overloaded")
	if got := len(other.received.all()); got != 0 {
		t.Errorf("the reserve got %d requests", got)
	}
}

func TestTheBudgetOfAReserveHolds(t *testing.T) {
	w, other := withReserve(t, monthlyAt("second", forOne/2))
	w.ask(asking("answer=200", short)).expectOK(t)
	w.ask(asking("answer=200", short)).expectOK(t)
	denied := w.ask(asking("answer=200", short)).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
	if want := `Budget "monthly" of 0.001 USD at upstream "second"`; !strings.Contains(denied.Message, want) {
		t.Errorf("the client is told %s, want %s", denied.Message, want)
	}
	if got := len(other.received.all()); got != 1 {
		t.Errorf("the reserve got %d requests, want 1", got)
	}
	w.eventually("the denial is counted", func() bool {
		return strings.Contains(w.metrics(), `reason="exhausted",route="mixtral-8x22b-instruct"} 1`)
	})
}

func TestABudgetWithoutAReserveRefusesWhatAnotherLetsGoOn(t *testing.T) {
	w, other := withReserve(t, monthly(consumerName, forOne+500_000))
	w.ask(asking("answer=200", short)).expectOK(t)
	w.ask(asking("answer=200", short)).expectOK(t) // At the reserve.
	denied := w.ask(asking("answer=200", short)).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
	if !strings.Contains(denied.Message, "0.0025 USD") {
		t.Errorf("another budget refuses: %s", denied.Message)
	}
	if got := len(other.received.all()); got != 1 {
		t.Errorf("the reserve got %d requests, want 1", got)
	}
}

func TestARequestWithoutALimitGetsItsShareOfWhatTheReserveHas(t *testing.T) {
	w, other := withReserve(t, monthlyAt("second", 100_000_000_000))
	w.ask(asking("answer=200", short)).expectOK(t)
	answer := w.ask(asking("answer=300", "")).expectOK(t)
	for len(other.received.all()) == 0 { // What is left of the budget is enough for a short answer, or some of them.
		answer = w.ask(asking("answer=300", "")).expectOK(t)
	}
	limit, err := strconv.Atoi(answer.header.Get("X-Modelroute-Max-Completion-Tokens"))
	if err != nil || limit < 10_000 {
		t.Errorf("the limit is %d, %v", limit, err)
	}
}

func TestAnUpstreamWhoseBudgetIsExhaustedIsPassedBy(t *testing.T) {
	w, other := withSecond(t, setup{budgets: []*ledgerpb.Budget{monthlyAt("openrouter", forOne)}})
	for range 4 {
		w.ask(asking("answer=200", short)).expectOK(t)
	}
	w.settled()
	if got := len(other.received.all()); got != 3 {
		t.Errorf("the second upstream got %d requests, want 3", got)
	}
	first := w.upstream.Billed(upstream.Filter{}).TotalNanoUSD
	want := map[string]spend{
		"route":                                 {Settled: first + other.halfPrice()},
		"budget monthly of upstream openrouter": {Settled: first},
		"consumer " + consumerName:              {Settled: first + other.halfPrice()},
	}
	if diff := cmp.Diff(want, w.settled()); diff != "" {
		t.Errorf("the books (-want +got):\n%s", diff)
	}
	if regexp.MustCompile(`upstream_attempts_total\{[^}]*result="failed"[^}]*\} [1-9]`).MatchString(w.metrics()) {
		t.Error("an upstream that had no money counts as one that failed")
	}
}
