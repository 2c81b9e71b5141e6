package proxy_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestAnAnswerTellsWhatItCostAndWhatIsLeft(t *testing.T) {
	const limit = 1_000_000_000
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10*limit), monthly(consumerName, limit)}})
	answer := w.ask(asking("answer=10", `,"max_tokens":10`)).expectOK(t)
	w.settled()
	billed := w.upstream.Billed(upstream.Filter{}).TotalNanoUSD
	if got, want := answer.header.Get("X-Modelroute-Cost"), money.FromNano(billed).String(); got != want {
		t.Errorf("cost %q, want %q", got, want)
	}
	if got := answer.header.Get("X-Modelroute-Budget"); got != "consumer/monthly" {
		t.Errorf("the tightest budget is %q", got)
	}
	left, err := strconv.ParseFloat(answer.header.Get("X-Modelroute-Budget-Remaining"), 64)
	if err != nil || left <= 0.99 || left >= 1 {
		t.Errorf("remaining %v, %v: what was held is not taken off 1.00", left, err)
	}
}

func TestAStreamTellsWhatItCostInATrailer(t *testing.T) {
	w := begin(t, setup{})
	answer := w.ask(asking("answer=10", streamed)).expectOK(t)
	w.settled()
	want := money.FromNano(w.upstream.Billed(upstream.Filter{}).TotalNanoUSD).String()
	if got := answer.trailer.Get("X-Modelroute-Cost"); got != want || answer.header.Get("X-Modelroute-Cost") != "" {
		t.Errorf("trailer %q, want %q; header %v", got, want, answer.header)
	}
}

func TestAStreamMadeOfAJSONAnswerTellsItsCostInTheHeader(t *testing.T) {
	w := begin(t, setup{})
	w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(answer, `{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.000008}}`)
	})
	if got := w.ask(asking("", streamed)).expectOK(t).header.Get("X-Modelroute-Cost"); got != "0.000008" {
		t.Errorf("cost %q", got)
	}
}

func TestAnErrorTellsWhatItCost(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)}})
	if got := w.ask(asking("status=400", "")).header.Get("X-Modelroute-Cost"); got != "0.00" {
		t.Errorf("a refusal cost %q", got)
	}
	answer := w.ask(asking("missing-usage", streamed))
	w.settled()
	want := money.FromNano(w.routeSpend().Uncertain).String()
	if got := answer.trailer.Get("X-Modelroute-Cost"); got != want || want == "0.00" {
		t.Errorf("what is uncertain cost %q, want what was booked, %q", got, want)
	}
	unknown := w.do(w.request(t.Context(), http.MethodPost, w.url+"/v1/chat/completions", "{}", nil))
	if got := unknown.header.Get("X-Modelroute-Cost"); got != "" {
		t.Errorf("somebody without a key is told of a cost: %q", got)
	}
}

func TestARouteMayOmitWhatItsAnswersCost(t *testing.T) {
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)},
		edit:    func(c *routeconfig.Config) { c.Routes[0].CostHeaders = routeconfig.OmitCostHeaders },
	})
	for _, body := range []string{asking("", ""), asking("", streamed), asking("status=400", "")} {
		answer := w.ask(body)
		for _, header := range []http.Header{answer.header, answer.trailer} {
			for name := range header {
				if name == "Trailer" || strings.HasPrefix(name, "X-Modelroute-Cost") || strings.HasPrefix(name, "X-Modelroute-Budget") {
					t.Errorf("%s: %s", body, name)
				}
			}
		}
	}
}
