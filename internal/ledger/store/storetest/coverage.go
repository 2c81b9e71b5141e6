package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// except is the budget, without what is spent at the upstream.
func except(of store.Budget, upstream string) store.Budget {
	of.Except = upstream
	return of
}

// only is the budget as one of the upstream.
func only(of store.Budget, upstream string) store.Budget {
	of.Upstream = upstream
	return of
}

// at is a demand of alice for a request to the upstream.
func (p *proxy) at(upstream, usd string) store.Demand {
	p.t.Helper()
	demand := p.demand("alice", usd)
	demand.Upstream = upstream
	return demand
}

// settledAt is a settlement of alice's of an attempt at the upstream, with as much taken off the leases that cover it.
func (p *proxy) settledAt(upstream, usd string, leases []store.Lease) store.Record {
	p.t.Helper()
	var covering []store.Lease
	for _, lease := range leases {
		if lease.Covers(upstream) {
			covering = append(covering, lease)
		}
	}
	record := p.settled(usd, covering, usd)
	record.Settlement.Upstream = upstream
	return record
}

// spentAt settles an attempt of alice at the upstream for as much as is drawn for it now.
func (p *proxy) spentAt(upstream, usd string) {
	p.t.Helper()
	answer := p.ask(p.at(upstream, usd))[0]
	if answer.Denial != nil || answer.Err != nil {
		p.t.Fatalf("a draw of %s USD at %s was answered with %+v, %v", usd, upstream, answer.Denial, answer.Err)
	}
	p.report(p.settledAt(upstream, usd, answer.Leases))
}

// wantAt compares what a budget of the upstream has in its current window.
func (b *books) wantAt(upstream, name string, want store.Spend) {
	b.t.Helper()
	for _, one := range b.allBudgets() {
		if one.Budget.Upstream == upstream && one.Budget.Name == name {
			if diff := cmp.Diff(want, one.Spend, amounts); diff != "" {
				b.t.Errorf("budget %s of upstream %s (-want +got):\n%s", name, upstream, diff)
			}
			return
		}
	}
	b.t.Fatalf("upstream %s has no budget %s", upstream, name)
}

func runCoverage(t *testing.T, open Open) {
	t.Run("what is spent at a budget's reserve counts in all other budgets", func(t *testing.T) {
		b := newBooks(t, open, except(denies(t, "", "day", "1", budget.Day), "spare"), denies(t, "alice", "own", "4", budget.Month),
			only(denies(t, "", "day", "2", budget.Day), "spare"), only(denies(t, "", "day", "9", budget.Day), "main"))
		b.spentAt("main", "1")
		b.spentAt("spare", "1.5")
		check := func() {
			b.t.Helper()
			b.wantSpend("", "day", spend(t, "1", "0", "0"))
			b.wantSpend("alice", "own", spend(t, "2.5", "0", "0"))
			b.wantAt("spare", "day", spend(t, "1.5", "0", "0"))
			b.wantAt("main", "day", spend(t, "1", "0", "0"))
		}
		check()
		b.made.Forget(b.Store)
		check()
		b.restart()
		check()
	})
	t.Run("a demand names the budget that is exhausted, also that of an upstream", func(t *testing.T) {
		b := newBooks(t, open, except(denies(t, "", "day", "1", budget.Day), "spare"),
			only(denies(t, "", "trial", "0.5", budget.Day), "spare"))
		b.spentAt("main", "1")
		for _, test := range []struct{ upstream, usd, budget, of string }{
			{"main", "0.1", "day", ""}, {"spare", "0.6", "trial", "spare"},
		} {
			denial := b.ask(b.at(test.upstream, test.usd))[0].Denial
			if denial == nil || !denial.Exhausted || denial.Budget != test.budget || denial.Upstream != test.of {
				t.Errorf("at %s: denial %+v, want budget %s of upstream %q exhausted", test.upstream, denial, test.budget, test.of)
			}
		}
		b.spentAt("spare", "0.5")
	})
	t.Run("a request at the reserve does not end the refusal", func(t *testing.T) {
		b := newBooks(t, open, except(denies(t, "", "day", "1", budget.Day), "spare"))
		b.spentAt("main", "1")
		b.ask(b.at("main", "0.1"))
		b.spentAt("spare", "0.1")
		if !b.budget("", "day").Refusing {
			t.Error("the budget is not refusing any more")
		}
	})
	t.Run("nothing is leased of what does not cover the upstream, and all accounts are told", func(t *testing.T) {
		b := newBooks(t, open, except(denies(t, "", "day", "1", budget.Day), "spare"), only(denies(t, "", "own", "1", budget.Day), "spare"))
		demand := b.at("spare", "0.25")
		demand.Want = dollars(t, "0.25")
		answer := b.ask(demand)[0]
		if len(answer.Leases) != 2 {
			t.Errorf("leases = %+v, want one in each account", answer.Leases)
		}
		b.wantSpend("", "day", spend(t, "0", "0", "0"))
		b.wantAt("spare", "own", spend(t, "0", "0", "0.5"))
	})
	t.Run("a budget that begins, or ceases, to have a reserve is summed anew", func(t *testing.T) {
		plain := denies(t, "", "day", "1", budget.Day)
		b := newBooks(t, open, plain)
		b.spentAt("main", "0.25")
		b.spentAt("spare", "0.5")
		b.wantSpend("", "day", spend(t, "0.75", "0", "0"))
		b.put(except(plain, "spare"))
		b.wantSpend("", "day", spend(t, "0.25", "0", "0"))
		b.put(except(plain, "main"))
		b.wantSpend("", "day", spend(t, "0.5", "0", "0"))
		b.put(plain)
		b.wantSpend("", "day", spend(t, "0.75", "0", "0"))
	})
	t.Run("the budgets of upstreams know what was spent before them, and before the history that is kept", func(t *testing.T) {
		b := newBooks(t, open)
		b.spentAt("main", "0.25")
		b.spentAt("spare", "0.5")
		b.advance(2 * store.MinRetention)
		if err := b.Compact(t.Context(), b.now(), b.now().Add(-store.MinRetention)); err != nil {
			t.Fatal(err)
		}
		b.put(only(denies(t, "", "ever", "1", budget.Total), "spare"), except(denies(t, "", "ever", "1", budget.Total), "spare"))
		b.wantAt("spare", "ever", spend(t, "0.5", "0", "0"))
		b.wantSpend("", "ever", spend(t, "0.25", "0", "0"))
	})
	t.Run("an attempt that was held before an edit is booked by the budgets after it", func(t *testing.T) {
		plain := denies(t, "", "day", "1", budget.Day)
		b := newBooks(t, open, plain)
		leases := b.ask(b.at("spare", "0.5"))[0].Leases
		b.put(except(plain, "spare"))
		b.report(b.settledAt("spare", "0.5", leases))
		b.wantSpend("", "day", spend(t, "0", "0", "0"))
	})
	t.Run("what is held is shown where it counts", func(t *testing.T) {
		b := newBooks(t, open, except(denies(t, "", "day", "1", budget.Day), "spare"), only(denies(t, "", "own", "1", budget.Day), "spare"))
		b.beat(store.Beat{InFlight: []store.InFlight{
			{Route: chat, Consumer: "alice", Upstream: "main", Amount: dollars(t, "0.25")},
			{Route: chat, Consumer: "bob", Upstream: "spare", Amount: dollars(t, "0.5")},
		}})
		usage := b.usage()
		if got := usage.Spend.Held; got != dollars(t, "0.75") {
			t.Errorf("the route holds %s, want 0.75", got)
		}
		if got := usage.Budgets[0].Spend.Held; got != dollars(t, "0.25") {
			t.Errorf("the route's budget holds %s, want 0.25", got)
		}
		if got := usage.Upstreams[0].Budgets[0].Spend.Held; got != dollars(t, "0.5") {
			t.Errorf("the upstream's budget holds %s, want 0.5", got)
		}
	})
	t.Run("budgets of one name, of the route and of two upstreams, are three", func(t *testing.T) {
		same := denies(t, "", "day", "1", budget.Day)
		b := newBooks(t, open, same, only(same, "main"), only(same, "spare"))
		b.spentAt("main", "0.25")
		b.advance(time.Minute)
		b.spentAt("spare", "0.5")
		b.wantSpend("", "day", spend(t, "0.75", "0", "0"))
		b.wantAt("main", "day", spend(t, "0.25", "0", "0"))
		b.wantAt("spare", "day", spend(t, "0.5", "0", "0"))
	})
}
