package client_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// ofUpstream is a budget of an upstream.
func ofUpstream(upstream string, limit int64) *ledgerpb.Budget {
	budget := deny("all", limit)
	budget.Ref = &ledgerpb.BudgetRef{Upstream: upstream, Name: "all"}
	return budget
}

// without is the budget with the upstream as its reserve.
func without(upstream string, of *ledgerpb.Budget) *ledgerpb.Budget {
	of.ExceptUpstream = upstream
	return of
}

// at is alice's demand for a request to an upstream.
func at(upstream string, nano int64) client.Demand {
	wanted := demand(nano)
	wanted.Upstream = upstream
	return wanted
}

func spendAt(t *testing.T, c *client.Client, upstream string, nano int64) {
	t.Helper()
	hold, err := c.Reserve(t.Context(), at(upstream, nano))
	if err != nil {
		t.Fatalf("Reserve at %s: %v", upstream, err)
	}
	settle(t, hold, nano, client.Exact)
}

// settledByBudget is what is settled in each budget, by its owner.
func settledByBudget(l *ledgertest.Ledger) map[string]int64 {
	usage := l.Usage("ai", "chat")
	found := map[string]int64{}
	note := func(budgets []*ledgerpb.BudgetUsage) {
		for _, one := range budgets {
			ref := one.GetBudget().GetRef()
			found[ref.GetConsumer()+ref.GetUpstream()] = one.GetSpend().GetSettledNanoUsd()
		}
	}
	note(usage.GetBudgets())
	for _, one := range usage.GetUpstreams() {
		note(one.GetBudgets())
	}
	for _, one := range usage.GetConsumers() {
		note(one.GetBudgets())
	}
	return found
}

func TestAnAttemptIsHeldInTheAccountsThatCoverItsUpstream(t *testing.T) {
	l := ledgertest.Start(t)
	putBudgets(l, without("spare", deny("all", 100)), ofUpstream("spare", 1000), ofUpstream("main", 1000))
	c := start(t, l, journal.Options{})
	spendAt(t, c.Client, "main", 100)
	denied := func(upstream string, nano int64) *client.DeniedError {
		t.Helper()
		_, err := c.Reserve(t.Context(), at(upstream, nano))
		found, is := errors.AsType[*client.DeniedError](err)
		if !is || found.Reason != client.Exhausted {
			t.Fatalf("at %s: error %v, want an exhausted budget", upstream, err)
		}
		return found
	}
	if got := denied("main", 1); got.Consumer != "alice" || got.Upstream != "" {
		t.Errorf("denied by %v", got)
	}
	spendAt(t, c.Client, "spare", 600)
	if got := denied("spare", 401); got.Upstream != "spare" || got.Remaining != money.FromNano(400) {
		t.Errorf("denied by %v", got)
	}
	closeClient(t, c.Client)
	if diff := cmp.Diff(map[string]int64{"alice": 100, "spare": 600, "main": 100}, settledByBudget(l)); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestGoingOnAtAnotherUpstreamOfTheSameBudgetsTakesNoCall(t *testing.T) {
	l := ledgertest.Start(t)
	putBudgets(l, deny("all", 1_000_000), ofUpstream("third", 1000))
	var w wire
	c := start(t, l, journal.Options{}, w.through)
	first, err := c.Reserve(t.Context(), at("main", 100)) // Draws for more like it.
	if err != nil {
		t.Fatal(err)
	}
	settle(t, first, 100, client.Exact)
	w.breaks(func(method string) (call, answer bool) { return method == "Draw", false })
	spendAt(t, c.Client, "second", 100)
	w.heal()
}

func TestAShareIsOfTheAccountsThatCoverTheUpstream(t *testing.T) {
	l := ledgertest.Start(t)
	putBudgets(l, without("spare", deny("all", 100)), ofUpstream("spare", 10_000))
	c := start(t, l, journal.Options{})
	for upstream, want := range map[string]int64{"main": 50, "spare": 5000} {
		share, err := c.Share(t.Context(), at(upstream, 0))
		if err != nil || share.Amount != money.FromNano(want) {
			t.Errorf("at %s the share is %s, %v, want %d nano-USD", upstream, share.Amount, err, want)
		}
	}
}

func TestWhatAKilledProcessHeldAtAReserveIsBookedThere(t *testing.T) {
	l := ledgertest.Start(t)
	putBudgets(l, without("spare", deny("all", 100)), ofUpstream("spare", 1000))
	kept := journal.Options{Directory: t.TempDir()}
	c := start(t, l, kept)
	spendAt(t, c.Client, "main", 90)
	if _, err := c.Reserve(t.Context(), at("spare", 300)); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if err := c.journal.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, l, kept)
	eventually(t, func() string {
		usage := l.Usage("ai", "chat")
		got := [2]int64{
			usage.GetConsumers()[0].GetBudgets()[0].GetSpend().GetUncertainNanoUsd(),
			usage.GetUpstreams()[0].GetBudgets()[0].GetSpend().GetUncertainNanoUsd(),
		}
		return cmp.Diff([2]int64{0, 300}, got)
	})
}
