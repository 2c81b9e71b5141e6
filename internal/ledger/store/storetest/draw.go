package storetest

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

func runDraw(t *testing.T, open Open) {
	t.Run("the last nano-dollar can be drawn and not one more", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		other := b.open("proxy-2", "pod-2")
		b.draw("alice", "0.999999999")
		other.draw("bob", "0.000000001")
		b.denied("alice", "0.000000001", false)
		b.wantSpend("", "total", spend(t, "0", "0", "1"))
	})
	t.Run("a demand is met in all budgets or in none", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "route", "10", budget.Month), denies(t, "alice", "own", "1", budget.Day))
		b.denied("alice", "2", true)
		b.wantSpend("", "route", spend(t, "0", "0", "0"))
		b.draw("bob", "9.5")
		b.denied("alice", "0.6", false)
		b.wantSpend("alice", "own", spend(t, "0", "0", "0"))
		b.wantSpend("", "route", spend(t, "0", "0", "9.5"))
	})
	t.Run("one demand of a draw is denied and the others are met, each after the one before", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		answers := b.ask(b.demand("alice", "0.6"), b.demand("bob", "0.5"), b.demand("bob", "0.4"))
		if answers[0].Denial != nil || answers[1].Denial == nil || answers[2].Denial != nil {
			t.Errorf("answers = %+v, want only the second denied", answers)
		}
		b.wantSpend("", "total", spend(t, "0", "0", "1"))
	})
	t.Run("a lease says all that the proxy needs to know", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "10", budget.Month), denies(t, "alice", "all", "1", budget.Total))
		b.spent("0.25")
		b.open("proxy-2", "pod-2")
		leases := b.draw("alice", "0.5")
		want := []store.Lease{
			{
				Budget: "month", Limit: dollars(t, "10"), Granted: dollars(t, "0.75"), Remaining: dollars(t, "9.75"),
				Free: dollars(t, "9.25"), WindowEnd: time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC), Sharers: 2,
			},
			{
				Consumer: "alice", Budget: "all", Limit: dollars(t, "1"), Granted: dollars(t, "0.75"), Remaining: dollars(t, "0.75"),
				Free: dollars(t, "0.25"), Sharers: 2,
			},
		}
		if diff := cmp.Diff(want, leases, amounts, cmpopts.IgnoreFields(store.Lease{}, "ID")); diff != "" {
			t.Errorf("leases (-want +got):\n%s", diff)
		}
	})
	t.Run("a budget that warns is not leased from", func(t *testing.T) {
		b := newBooks(t, open, warns(t, "", "soft", "1", budget.Month), warns(t, "alice", "own", "1", budget.Month))
		leases := b.draw("alice", "5")
		if len(leases) != 0 {
			t.Errorf("leases = %+v, want none", leases)
		}
		b.report(b.settled("5", leases, "5"))
		b.wantSpend("", "soft", spend(t, "5", "0", "0"))
		b.wantSpend("alice", "own", spend(t, "5", "0", "0"))
	})
	t.Run("a limit of nothing allows only what costs nothing", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "none", "0", budget.Total))
		b.draw("alice", "0")
		b.denied("alice", "0.000000001", true)
	})
	t.Run("what was put aside counts, if it is of the proxy's current lease", func(t *testing.T) { runHave(t, open) })
	t.Run("a draw that comes again leases nothing and says what was leased", func(t *testing.T) { runRepeatedDraws(t, open) })
	t.Run("a spent budget is refusing until a demand is met or it is edited", func(t *testing.T) { runRefusing(t, open) })
	t.Run("who may not spend gets nothing", func(t *testing.T) { runStrangers(t, open) })
	t.Run("absurd sums saturate and nothing is leased from them", func(t *testing.T) { runAbsurd(t, open) })
}

func runHave(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "day", "1", budget.Day))
	other := b.open("proxy-2", "pod-2")
	foreign := other.draw("alice", "0.1")
	own := b.draw("alice", "0.5")
	with := func(lease store.Lease, usd string) store.Demand {
		demand := b.demand("alice", "0.7")
		demand.Have = map[int64]money.Amount{lease.ID: dollars(t, usd)}
		return demand
	}
	if denial := b.ask(with(foreign[0], "0.7"))[0].Denial; denial == nil || denial.Exhausted {
		t.Errorf("with another proxy's lease: denial = %+v, want one because the money is held", denial)
	}
	if denial := b.ask(with(own[0], "-0.7"))[0].Denial; denial == nil {
		t.Error("less than nothing was put aside, and counted")
	}
	answer := b.ask(with(own[0], "0.4"))[0]
	if answer.Denial != nil || answer.Leases[0].Granted != dollars(t, "0.8") {
		t.Errorf("with 0.4 USD put aside: %+v, want 0.3 USD more than 0.5", answer)
	}
	b.wantSpend("", "day", spend(t, "0", "0", "0.9"))
	// Books from a backup may know of less than the proxy has.
	b.report(b.settled("0.4", own, "0.4"), b.returned(own[0], "0.3"))
	answer = b.ask(with(own[0], "0.7"))[0]
	if answer.Denial == nil {
		t.Error("0.7 USD of a lease were counted of which 0.1 USD are out")
	}
	b.advance(24 * time.Hour)
	answer = b.ask(with(own[0], "0.1"))[0]
	if answer.Denial != nil || answer.Leases[0].ID == own[0].ID || answer.Leases[0].Granted != dollars(t, "0.7") {
		t.Errorf("on the next day: %+v, want all 0.7 USD under a new lease", answer)
	}
}

func runRepeatedDraws(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "bob", "own", "1", budget.Total))
	first := b.draw("alice", "0.25")
	second := b.draw("alice", "0.5")
	if first[0].ID != second[0].ID || second[0].Granted != dollars(t, "0.75") {
		t.Errorf("leases %+v and %+v, want one with 0.75 USD", first, second)
	}
	for _, sequence := range []int64{b.drawn, b.drawn - 1, 0, math.MinInt64} {
		answers := b.askAs(sequence, b.demand("alice", "0.125"), b.demand("bob", "9"))
		for i, consumer := range []string{"alice", "bob"} {
			if answers[i].Denial != nil || len(answers[i].Leases) != i+1 || answers[i].Leases[0].Granted != dollars(t, "0.75") {
				t.Errorf("draw %d for %s again: %+v, want every account, and 0.75 USD", sequence, consumer, answers[i])
			}
		}
	}
	b.wantSpend("", "total", spend(t, "0", "0", "0.75"))
	b.restart()
	b.askAs(b.drawn, b.demand("alice", "0.125"))
	b.wantSpend("", "total", spend(t, "0", "0", "0.75"))
	// The proxy may learn of a grant whose answer was lost only from a denial.
	b.drawn++
	answer := b.askAs(b.drawn, b.demand("alice", "0.5"))[0]
	if answer.Denial == nil || len(answer.Leases) != 1 || answer.Leases[0].Granted != dollars(t, "0.75") {
		t.Errorf("answer = %+v, want a denial with the 0.75 USD that the proxy has", answer)
	}
	// A denial leased nothing, so that the same sequence can be met when it comes again.
	b.report(b.returned(first[0], "0.75"))
	if answer := b.askAs(b.drawn, b.demand("alice", "0.5"))[0]; answer.Denial != nil || answer.Leases[0].Granted != dollars(t, "1.25") {
		t.Errorf("after a denial the draw is answered with %+v, want a grant", answer)
	}
}

func runRefusing(t *testing.T, open Open) {
	total := denies(t, "", "total", "1", budget.Total)
	b := newBooks(t, open, total, denies(t, "", "wide", "9", budget.Total))
	want := func(refusing bool, reason string) {
		t.Helper()
		if got := b.budget("", "total").Refusing; got != refusing {
			t.Errorf("refusing = %t, want %t: %s", got, refusing, reason)
		}
		if b.budget("", "wide").Refusing {
			t.Error("a budget that has enough is refusing")
		}
	}
	b.denied("alice", "1.5", true)
	want(false, "even an unspent budget would not have covered the demand")
	held := b.draw("alice", "0.7")
	b.denied("alice", "0.5", false)
	want(false, "the money is only held")
	b.report(b.settled("0.7", held, "0.7"))
	b.denied("bob", "0.5", true)
	want(true, "what is spent leaves too little")
	b.restart()
	want(true, "a restart changes nothing")
	ahead := b.demand("alice", "0")
	ahead.Want = dollars(t, "0.01")
	if answer := b.ask(ahead)[0]; answer.Denial != nil {
		t.Errorf("a draw ahead of need was denied: %+v", answer.Denial)
	}
	want(true, "what is drawn ahead of need is for no request")
	b.askAs(b.drawn, b.demand("alice", "0.1"))
	want(true, "a draw that comes again leases nothing")
	b.draw("alice", "0.1")
	want(false, "a smaller demand was met")
	b.denied("alice", "0.5", true)
	want(true, "what is spent still leaves too little")
	total.Limit = dollars(t, "2")
	b.put(total, denies(t, "", "wide", "9", budget.Total))
	want(false, "the limit was raised")
}

func runStrangers(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	good := b.demand("alice", "0.125")
	for reason, test := range map[string]struct {
		change func(*store.Draw)
		want   error
	}{
		"a route that was never put":      {func(d *store.Draw) { d.Demands[0].Route.Name = "other" }, store.ErrUnknownRoute},
		"a consumer that is not there":    {func(d *store.Draw) { d.Demands[0].Consumer = "carol" }, store.ErrUnknownConsumer},
		"no consumer":                     {func(d *store.Draw) { d.Demands[0].Consumer = "" }, store.ErrUnknownConsumer},
		"an identity that does not serve": {func(d *store.Draw) { d.Identity = "system:serviceaccount:ai:other" }, store.ErrNotServer},
		"no identity":                     {func(d *store.Draw) { d.Identity = "" }, store.ErrNotServer},
	} {
		t.Run(reason, func(t *testing.T) {
			b.drawn++
			draw := store.Draw{Sequence: b.drawn, Identity: server, Demands: []store.Demand{good, good}}
			test.change(&draw)
			answers, err := b.Draw(t.Context(), b.now(), b.session, draw)
			if err != nil || !errors.Is(answers[0].Err, test.want) || len(answers[0].Leases) != 0 {
				t.Errorf("answers %+v, error %v, want %v in the first", answers, err, test.want)
			}
			if alike := draw.Identity == server; alike != (answers[1].Err == nil) {
				t.Errorf("the second answer is %+v", answers[1])
			}
		})
	}
	b.wantSpend("", "total", spend(t, "0", "0", "0.375"))
	t.Run("a route that was emptied", func(t *testing.T) {
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		b.drawn++
		for _, identity := range []string{"", server} {
			draw := store.Draw{Sequence: b.drawn, Identity: identity, Demands: []store.Demand{good}}
			answers, err := b.Draw(t.Context(), b.now(), b.session, draw)
			if err != nil || !errors.Is(answers[0].Err, store.ErrNotServer) {
				t.Errorf("answers %+v, error %v, want ErrNotServer", answers, err)
			}
		}
	})
}

func runAbsurd(t *testing.T, open Open) {
	b := newBooks(t, open, warns(t, "", "soft", "1", budget.Total))
	absurd := b.settled("0", nil, "0")
	absurd.Settlement.Amount = money.FromNano(store.MaxAmount)
	unsure := b.uncertain("0", nil, "0")
	unsure.Settlement.Amount = money.FromNano(store.MaxAmount)
	for range 10 {
		b.report(absurd, unsure)
		b.report(absurd, absurd, absurd, unsure)
	}
	usage := b.usage()
	if got := usage.Spend; got.Settled.Nano() != store.MaxSum || got.Uncertain.Nano() != store.MaxSum {
		t.Errorf("the route has %+v, want the largest sums", got)
	}
	hard := denies(t, "", "soft", "0", budget.Total)
	hard.Limit = money.FromNano(store.MaxLimit)
	b.put(hard)
	b.denied("alice", "0.01", true)
	greedy := b.demand("alice", "0")
	greedy.Want = money.FromNano(math.MinInt64)
	b.ask(greedy)
	greedy.Amount = money.FromNano(store.MaxAmount)
	if denial := b.ask(greedy)[0].Denial; denial == nil || !denial.Exhausted {
		t.Errorf("denial = %+v, want exhausted", denial)
	}
	if math.MaxInt64-3*store.MaxSum < store.MaxAmount {
		t.Error("three sums and an amount do not fit an int64")
	}
}
