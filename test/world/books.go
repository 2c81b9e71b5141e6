package world

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// Spend is what the ledger has of a route, a consumer or a budget, in nano-USD.
type Spend struct{ Settled, Uncertain, Held int64 }

func spendOf(found *ledgerpb.Spend) Spend {
	return Spend{Settled: found.GetSettledNanoUsd(), Uncertain: found.GetUncertainNanoUsd(), Held: found.GetHeldNanoUsd()}
}

// Plenty is a budget that denies and that no test spends; the consumer is empty for one of the route.
func Plenty(consumer string) *ledgerpb.Budget { return Monthly(consumer, 100_000_000_000) }

// Monthly is a budget that denies.
func Monthly(consumer string, nano int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref:         &ledgerpb.BudgetRef{Consumer: consumer, Name: "monthly"},
		Limit:       nano,
		Period:      ledgerpb.Period_PERIOD_MONTH,
		TimeZone:    "UTC",
		Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// RateLimit is a limit on a consumer's requests in so many seconds.
func RateLimit(consumer string, requests, seconds int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref:   &ledgerpb.BudgetRef{Consumer: consumer, Name: "burst", Unit: ledgerpb.Unit_UNIT_REQUESTS},
		Limit: requests, Period: ledgerpb.Period_PERIOD_SECONDS, PeriodSeconds: seconds,
		Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// Spends are what the ledger has of the route and of each of its budgets of money, once all is settled.
func (w *World) Spends() map[string]Spend {
	w.t.Helper()
	return w.Settled()
}

func (w *World) spends() map[string]Spend {
	w.t.Helper()
	usage := w.ledger.Usage(Namespace, Model)
	all := map[string]Spend{"route": spendOf(usage.GetSpend())}
	add := func(owner string, budgets []*ledgerpb.BudgetUsage) {
		for _, budget := range budgets {
			if ref := budget.GetBudget().GetRef(); ref.GetUnit() == ledgerpb.Unit_UNIT_UNSPECIFIED {
				all[fmt.Sprintf("budget %s of %s", ref.GetName(), owner)] = spendOf(budget.GetSpend())
			}
		}
	}
	add("the route", usage.GetBudgets())
	for _, upstream := range usage.GetUpstreams() {
		add("upstream "+upstream.GetName(), upstream.GetBudgets())
	}
	for _, consumer := range usage.GetConsumers() {
		all["consumer "+consumer.GetName()] = spendOf(consumer.GetSpend())
		add("consumer "+consumer.GetName(), consumer.GetBudgets())
	}
	return all
}

// Settled waits until the ledger knows all that was done, and no money is held, and returns its books as they were then. A heartbeat that
// was on its way may show money as held once more.
func (w *World) Settled() (booked map[string]Spend) {
	w.t.Helper()
	w.Eventually("the ledger knows all that was done", func() bool {
		return w.metric("modelroute_proxy_requests_in_flight 0") && w.metric("modelroute_proxy_ledger_owed_records 0")
	})
	w.Eventually("no money is held", func() bool {
		booked = w.spends()
		for _, found := range booked {
			if found.Held != 0 {
				return false
			}
		}
		return true
	})
	return booked
}

// BooksAgree compares the ledger with the upstream's books, to the nano-USD: all was booked exactly, and nothing twice.
func (w *World) BooksAgree() {
	w.t.Helper()
	got := w.Spends()["route"]
	want := Spend{Settled: w.Upstream.Billed(upstream.Filter{}).TotalNanoUSD}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("the ledger's books of the route and the upstream's differ (-upstream +ledger):\n%s", diff)
	}
}

// Mark is where both books stood.
type Mark struct {
	spend Spend
	bill  upstream.Statement
}

// Mark remembers where both books stand.
func (w *World) Mark() Mark {
	w.t.Helper()
	spend := w.Spends()["route"] // First, since it waits for what the upstream still does.
	return Mark{spend: spend, bill: w.Upstream.Billed(upstream.Filter{})}
}

// Since is what the ledger booked since the mark, what the upstream billed, and for how many requests.
func (w *World) Since(before Mark) (booked Spend, billed, requests int64) {
	w.t.Helper()
	now := w.Mark()
	booked = Spend{Settled: now.spend.Settled - before.spend.Settled, Uncertain: now.spend.Uncertain - before.spend.Uncertain}
	return booked, now.bill.TotalNanoUSD - before.bill.TotalNanoUSD, now.bill.Count - before.bill.Count
}

// Held is what the ledger has as held for the route now.
func (w *World) Held() int64 {
	w.t.Helper()
	return w.spends()["route"].Held
}

// InFlight reports whether so many requests are being answered.
func (w *World) InFlight(requests int) bool {
	w.t.Helper()
	return w.metric(fmt.Sprintf("modelroute_proxy_requests_in_flight %d", requests))
}

// metric reports whether the proxy's metrics have a line.
func (w *World) metric(line string) bool {
	w.t.Helper()
	_, metrics := w.get(w.AdminURL + "/metrics")
	return strings.Contains(metrics, "\n"+line+"\n")
}

func (w *World) get(url string) (status int, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, http.NoBody)
	w.must(err)
	response, err := w.Client.Do(request)
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	w.must(err)
	return response.StatusCode, string(content)
}

// Logged counts the lines of the proxy's log that have all of the texts.
func (w *World) Logged(texts ...string) int {
	count := 0
	for line := range strings.SplitSeq(w.logs.String(), "\n") {
		all := line != ""
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			count++
		}
	}
	return count
}

// Settlements are how many requests were settled for the route, each of which counts once.
func (w *World) Settlements() int64 {
	w.t.Helper()
	w.Settled()
	var requests int64
	for _, entry := range w.ledger.History(Namespace, Model) {
		requests += entry.GetRequests()
	}
	return requests
}

// Window is what the ledger has of a budget of the route in its window of now.
func (w *World) Window(name string) *ledgerpb.BudgetUsage {
	w.t.Helper()
	for _, budget := range w.ledger.Usage(Namespace, Model).GetBudgets() {
		if budget.GetBudget().GetRef().GetName() == name {
			return budget
		}
	}
	w.t.Fatalf("the ledger knows no budget %s", name)
	return nil
}
