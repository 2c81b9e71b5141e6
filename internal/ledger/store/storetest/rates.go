package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// perMinute is a limit of the route (or of the consumer) on requests or tokens.
func perMinute(consumer, name string, unit budget.Unit, limit int64) store.Budget {
	return store.Budget{
		Consumer: consumer, Name: name, Unit: unit, Limit: money.FromNano(limit), Period: budget.Every(60), Enforcement: budget.Deny,
	}
}

// request is alice's demand for one request of so many tokens.
func (p *proxy) request(usd string, tokens int64) store.Demand {
	demand := p.demand("alice", usd)
	demand.Requests, demand.Tokens = 1, tokens
	return demand
}

// finished is a settlement of one request that took so many tokens.
func (p *proxy) finished(usd string, tokens int64, leases []store.Lease, held store.Demand) store.Record {
	one := p.settled(usd, nil, "0")
	one.Settlement.Requests, one.Settlement.Tokens = 1, tokens
	for _, lease := range leases {
		of := &store.Budget{Unit: lease.Unit, Coverage: lease.Coverage}
		one.Settlement.Charges = append(one.Settlement.Charges, store.Charge{Lease: lease.ID, Amount: held.Need(of)})
	}
	return one
}

// wantRate compares what a rate limit counts in its current window: settled, uncertain, leased.
func (b *books) wantRate(consumer, name string, unit budget.Unit, want [3]int64) {
	b.t.Helper()
	for _, one := range b.allBudgets() {
		if one.Budget.Consumer == consumer && one.Budget.Name == name && one.Budget.Unit == unit {
			got := [3]int64{one.Spend.Settled.Nano(), one.Spend.Uncertain.Nano(), one.Spend.Leased.Nano()}
			if diff := cmp.Diff(want, got); diff != "" {
				b.t.Errorf("%s %s of %q (-want +got):\n%s", name, unit, consumer, diff)
			}
			return
		}
	}
	b.t.Fatalf("consumer %q has no limit %q on %s", consumer, name, unit)
}

func (b *books) allBudgets() []store.BudgetUsage {
	b.t.Helper()
	usage := b.usage()
	budgets := usage.Budgets
	for _, one := range usage.Upstreams {
		budgets = append(budgets, one.Budgets...)
	}
	for _, one := range usage.Consumers {
		budgets = append(budgets, one.Budgets...)
	}
	return budgets
}

func runRates(t *testing.T, open Open) {
	t.Run("each account counts in its unit, and a request is met in all or in none", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day), perMinute("", "burst", budget.Requests, 2),
			perMinute("", "burst", budget.Tokens, 100), perMinute("alice", "own", budget.Tokens, 80))
		answer := b.ask(b.request("0.25", 60))[0]
		if answer.Denial != nil || len(answer.Leases) != 4 {
			t.Fatalf("answer = %+v, want four leases", answer)
		}
		b.wantSpend("", "day", spend(t, "0", "0", "0.25"))
		b.wantRate("", "burst", budget.Requests, [3]int64{0, 0, 1})
		b.wantRate("", "burst", budget.Tokens, [3]int64{0, 0, 60})
		b.wantRate("alice", "own", budget.Tokens, [3]int64{0, 0, 60})
		denial := b.ask(b.request("0.25", 30))[0].Denial
		want := &store.Denial{
			Consumer: "alice", Budget: "own", Unit: budget.Tokens, Limit: money.FromNano(80), Remaining: money.FromNano(80),
			WindowEnd: noon.Add(time.Minute),
		}
		if diff := cmp.Diff(want, denial, amounts); diff != "" {
			t.Errorf("30 tokens more (-want +got):\n%s", diff)
		}
		b.wantSpend("", "day", spend(t, "0", "0", "0.25"))
		b.wantRate("", "burst", budget.Requests, [3]int64{0, 0, 1})
	})
	t.Run("what a request took counts, and the rest of its hold is free again", func(t *testing.T) {
		b := newBooks(t, open, perMinute("", "burst", budget.Requests, 2), perMinute("", "burst", budget.Tokens, 100))
		held := b.request("0.25", 60)
		leases := b.ask(held)[0].Leases
		b.report(b.finished("0.25", 45, leases, held))
		b.wantRate("", "burst", budget.Requests, [3]int64{1, 0, 0})
		b.wantRate("", "burst", budget.Tokens, [3]int64{45, 0, 0})
		if denial := b.ask(b.request("0.25", 56))[0].Denial; denial == nil || !denial.Exhausted || denial.Remaining.Nano() != 55 {
			t.Errorf("56 of 55 tokens: denial = %+v", denial)
		}
		if answer := b.ask(b.request("0.25", 55))[0]; answer.Denial != nil {
			t.Errorf("55 of 55 tokens: denial = %+v", answer.Denial)
		}
	})
	t.Run("a new window begins with nothing, and what was held in the old one settles there", func(t *testing.T) {
		b := newBooks(t, open, perMinute("", "burst", budget.Tokens, 100))
		held := b.request("0.25", 100)
		leases := b.ask(held)[0].Leases
		opened := b.now()
		b.advance(time.Minute)
		if answer := b.ask(b.request("0.25", 40))[0]; answer.Denial != nil || answer.Leases[0].ID == leases[0].ID {
			t.Errorf("in the next minute: %+v, want another lease", answer)
		}
		late := b.finished("0.25", 100, leases, held)
		late.Settlement.OpenedAt = opened
		b.report(late)
		b.wantRate("", "burst", budget.Tokens, [3]int64{0, 0, 40})
	})
	t.Run("more than was held counts in full and denies", func(t *testing.T) {
		b := newBooks(t, open, perMinute("", "burst", budget.Tokens, 100))
		held := b.request("0.25", 50)
		b.report(b.finished("0.25", 120, b.ask(held)[0].Leases, held))
		b.wantRate("", "burst", budget.Tokens, [3]int64{120, 0, 0})
		if denial := b.ask(b.request("0.25", 1))[0].Denial; denial == nil || !denial.Exhausted || denial.Remaining.Nano() != -20 {
			t.Errorf("denial = %+v, want 20 tokens less than nothing", denial)
		}
	})
	t.Run("a limit is raised and lowered at once, and another period begins anew", func(t *testing.T) {
		b := newBooks(t, open, perMinute("", "burst", budget.Requests, 1))
		held := b.request("0", 1)
		b.report(b.finished("0", 1, b.ask(held)[0].Leases, held))
		b.put(perMinute("", "burst", budget.Requests, 2))
		b.wantRate("", "burst", budget.Requests, [3]int64{1, 0, 0})
		hourly := perMinute("", "burst", budget.Requests, 2)
		hourly.Period = budget.Every(3600)
		b.put(hourly)
		b.wantRate("", "burst", budget.Requests, [3]int64{0, 0, 0})
	})
	t.Run("limits of one name in two units are two limits, beside a budget of that name", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "burst", "1", budget.Total), perMinute("", "burst", budget.Requests, 5),
			perMinute("", "burst", budget.Tokens, 50))
		b.restart()
		b.ask(b.request("0.5", 20))
		b.wantSpend("", "burst", spend(t, "0", "0", "0.5"))
		b.wantRate("", "burst", budget.Requests, [3]int64{0, 0, 1})
		b.put(perMinute("", "burst", budget.Tokens, 50))
		if got := b.usage().Budgets; len(got) != 1 || got[0].Budget.Unit != budget.Tokens {
			t.Errorf("budgets = %+v, want the limit on tokens alone", got)
		}
	})
	t.Run("only money becomes uncertain and is released", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), perMinute("", "burst", budget.Tokens, 100))
		b.ask(b.request("0.25", 60))
		b.advance(31 * time.Second)
		b.expire(1, "0.25")
		b.wantRate("", "burst", budget.Tokens, [3]int64{0, 60, 0})
		freed, err := b.ReleaseProxy(t.Context(), b.now(), b.now(), store.Release{ProxyID: "proxy-1", By: "admin", Reason: "lost"})
		if err != nil || freed != dollars(t, "0.25") {
			t.Errorf("released %s USD, error %v", freed, err)
		}
		b.wantRate("", "burst", budget.Tokens, [3]int64{0, 0, 0})
	})
	t.Run("nothing is kept of windows that are long over", func(t *testing.T) { runOldRates(t, open) })
}

func runOldRates(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), perMinute("", "burst", budget.Tokens, 100))
	held := b.request("0.25", 60)
	leases := b.ask(held)[0].Leases
	b.advance(time.Minute + store.RateLife - time.Second)
	compact := func() {
		if err := b.Compact(t.Context(), b.now(), time.Unix(0, 0)); err != nil {
			t.Fatalf("Compact: %v", err)
		}
	}
	compact()
	b.advance(2 * time.Second)
	compact()
	b.wantSpend("", "total", spend(t, "0", "0", "0.25"))
	late := b.finished("0.25", 60, leases, held)
	late.Settlement.OpenedAt = noon
	b.report(late)
	b.wantSpend("", "total", spend(t, "0.25", "0", "0"))
	if answer := b.ask(b.request("0.25", 100))[0]; answer.Denial != nil {
		t.Errorf("denial = %+v", answer.Denial)
	}
	b.wantRate("", "burst", budget.Tokens, [3]int64{0, 0, 100})
}
