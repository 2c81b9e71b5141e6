package storetest

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

func runReserve(t *testing.T, open Open) {
	t.Run("the last nano-dollar can be held and not one more", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.hold("alice", "0.999999999")
		b.hold("bob", "0.000000001")
		if denial := b.reserve(b.demand("alice", "0.000000001")); denial == nil || denial.Exhausted {
			t.Errorf("denial = %+v, want one because the money is held", denial)
		}
		b.wantSpend("", "total", spend(t, "0", "0", "1"))
	})
	t.Run("a demand is held in all budgets or in none", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "route", "10", budget.Month), denies(t, "alice", "own", "1", budget.Day))
		if denial := b.reserve(b.demand("alice", "2")); denial == nil {
			t.Error("2 USD were held under a limit of 1 USD")
		}
		b.wantSpend("", "route", spend(t, "0", "0", "0"))
		b.hold("bob", "9.5")
		if denial := b.reserve(b.demand("alice", "0.6")); denial == nil {
			t.Error("0.6 USD were held although the route has 0.5 USD left")
		}
		b.wantSpend("alice", "own", spend(t, "0", "0", "0"))
		b.wantSpend("", "route", spend(t, "0", "0", "9.5"))
	})
	t.Run("a budget that warns counts and never denies", func(t *testing.T) {
		warns := denies(t, "", "soft", "1", budget.Month)
		warns.Enforcement = budget.Warn
		b := newBooks(t, open, warns)
		b.hold("alice", "5")
		b.wantSpend("", "soft", spend(t, "0", "0", "5"))
	})
	t.Run("without a budget everything is held and counted", func(t *testing.T) {
		b := newBooks(t, open)
		b.hold("alice", "5")
		if diff := cmp.Diff(spend(t, "0", "0", "5"), b.usage().Spend, amounts); diff != "" {
			t.Errorf("spend of the route (-want +got):\n%s", diff)
		}
	})
	t.Run("a limit of nothing allows only what costs nothing", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "none", "0", budget.Total))
		b.hold("alice", "0")
		if denial := b.reserve(b.demand("alice", "0.000000001")); denial == nil || !denial.Exhausted {
			t.Errorf("denial = %+v, want exhausted", denial)
		}
	})
	t.Run("a repeated call holds once", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		demand := b.demand("alice", "0.6")
		for range 3 {
			if denial := b.reserve(demand); denial != nil {
				t.Fatalf("denied: %+v", denial)
			}
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0.6"))
	})
	t.Run("a number that stands for another demand is refused", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		demand := b.demand("alice", "0.5")
		b.reserve(demand)
		for reason, change := range map[string]func(*store.Demand){
			"another amount":   func(d *store.Demand) { d.Amount = dollars(t, "0.4") },
			"another consumer": func(d *store.Demand) { d.Consumer = "bob" },
		} {
			other := demand
			change(&other)
			if _, err := b.Reserve(t.Context(), b.now(), b.session, other); !errors.Is(err, store.ErrClosedHold) {
				t.Errorf("%s: error %v, want ErrClosedHold", reason, err)
			}
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
	})
	t.Run("a spent budget is refusing until a demand fits or it is edited", func(t *testing.T) { runRefusing(t, open) })
	t.Run("who may not spend gets nothing", func(t *testing.T) { runStrangers(t, open) })
	t.Run("the denial names the budget that is last to have money", func(t *testing.T) { runDenials(t, open) })
	t.Run("absurd sums saturate and are never granted", func(t *testing.T) { runAbsurd(t, open) })
}

func runRefusing(t *testing.T, open Open) {
	total := denies(t, "", "total", "1", budget.Total)
	b := newBooks(t, open, total)
	want := func(refusing bool, reason string) {
		t.Helper()
		if got := b.usage().Budgets[0].Refusing; got != refusing {
			t.Errorf("refusing = %t, want %t: %s", got, refusing, reason)
		}
	}
	b.reserve(b.demand("alice", "1.5"))
	want(false, "even an unspent budget would not have covered the demand")
	held := b.hold("alice", "0.7")
	b.reserve(b.demand("alice", "0.5"))
	want(false, "the money is only held")
	b.settle(b.settlement(held, "0.7"))
	b.reserve(b.demand("bob", "0.5"))
	want(true, "what is spent leaves too little")
	b.restart()
	want(true, "a restart changes nothing")
	b.hold("alice", "0.1")
	want(false, "a smaller demand was granted")
	b.reserve(b.demand("alice", "0.5"))
	want(true, "what is spent still leaves too little")
	total.Limit = dollars(t, "2")
	b.put(total)
	want(false, "the limit was raised")
}

func runStrangers(t *testing.T, open Open) {
	b := newBooks(t, open)
	cases := map[string]struct {
		change func(*store.Demand)
		want   error
	}{
		"a route that was never put":      {func(d *store.Demand) { d.Route.Name = "other" }, store.ErrUnknownRoute},
		"a consumer that is not there":    {func(d *store.Demand) { d.Consumer = "carol" }, store.ErrUnknownConsumer},
		"no consumer":                     {func(d *store.Demand) { d.Consumer = "" }, store.ErrUnknownConsumer},
		"an identity that does not serve": {func(d *store.Demand) { d.Identity = "system:serviceaccount:ai:other" }, store.ErrNotServer},
		"no identity":                     {func(d *store.Demand) { d.Identity = "" }, store.ErrNotServer},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			demand := b.demand("alice", "1")
			test.change(&demand)
			if _, err := b.Reserve(t.Context(), b.now(), b.session, demand); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	t.Run("a route that was emptied", func(t *testing.T) {
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		demand := b.demand("alice", "1")
		demand.Identity = ""
		if _, err := b.Reserve(t.Context(), b.now(), b.session, demand); !errors.Is(err, store.ErrNotServer) {
			t.Errorf("error %v, want ErrNotServer", err)
		}
	})
	if held := b.usage().Spend.Held; !held.IsZero() {
		t.Errorf("%s USD are held", held)
	}
}

func runDenials(t *testing.T, open Open) {
	nextDay := time.Date(2026, time.November, 18, 0, 0, 0, 0, time.UTC)
	nextMonth := time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		budgets       []store.Budget
		settled, held string
		demand        string
		want          store.Denial
		wantLimit     string
		wantRemaining string
	}{
		"held money does not exhaust": {
			budgets: []store.Budget{denies(t, "", "month", "1", budget.Month)},
			settled: "0.3", held: "0.5", demand: "0.4",
			want:      store.Denial{Budget: "month", WindowEnd: nextMonth},
			wantLimit: "1", wantRemaining: "0.7",
		},
		"exhausted comes before held": {
			budgets: []store.Budget{denies(t, "", "month", "0.9", budget.Month), denies(t, "alice", "day", "0.5", budget.Day)},
			settled: "0.3", held: "0.2", demand: "0.45",
			want:      store.Denial{Exhausted: true, Consumer: "alice", Budget: "day", WindowEnd: nextDay},
			wantLimit: "0.5", wantRemaining: "0.2",
		},
		"the longest wait comes first": {
			budgets: []store.Budget{denies(t, "", "day", "0.5", budget.Day), denies(t, "", "month", "0.5", budget.Month)},
			settled: "0.4", held: "0", demand: "0.2",
			want:      store.Denial{Exhausted: true, Budget: "month", WindowEnd: nextMonth},
			wantLimit: "0.5", wantRemaining: "0.1",
		},
		"a budget that never resets waits longest": {
			budgets: []store.Budget{denies(t, "", "all", "0.5", budget.Total), denies(t, "", "month", "0.5", budget.Month)},
			settled: "0.4", held: "0", demand: "0.2",
			want:      store.Denial{Exhausted: true, Budget: "all"},
			wantLimit: "0.5", wantRemaining: "0.1",
		},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			b := newBooks(t, open, test.budgets...)
			b.settle(b.settlement(b.hold("alice", test.settled), test.settled))
			b.hold("alice", test.held)
			test.want.Limit, test.want.Remaining = dollars(t, test.wantLimit), dollars(t, test.wantRemaining)
			if diff := cmp.Diff(&test.want, b.reserve(b.demand("alice", test.demand)), amounts); diff != "" {
				t.Errorf("denial (-want +got):\n%s", diff)
			}
		})
	}
}

func runAbsurd(t *testing.T, open Open) {
	warns := denies(t, "", "soft", "1", budget.Total)
	warns.Enforcement = budget.Warn
	b := newBooks(t, open, warns)
	absurd := b.demand("alice", "0")
	absurd.Amount = money.FromNano(store.MaxAmount)
	b.reserve(absurd)
	for range 3 {
		b.next++
		absurd.Sequence = b.next
		_, err := b.Reserve(t.Context(), b.now(), b.session, absurd)
		if err != nil && !errors.Is(err, store.ErrTooMuch) {
			t.Fatalf("Reserve: %v", err)
		}
	}
	for range 20 {
		b.next++
		one := b.settlement(b.next, "0")
		one.Amount = money.FromNano(store.MaxAmount)
		b.settle(one)
	}
	if got := b.usage().Spend.Settled.Nano(); got != store.MaxSum {
		t.Errorf("settled %d, want the largest sum", got)
	}
	b.put(denies(t, "", "soft", "999999999.999999999", budget.Total))
	if denial := b.reserve(b.demand("alice", "0.01")); denial == nil || !denial.Exhausted {
		t.Errorf("denial = %+v, want exhausted", denial)
	}
	if math.MaxInt64-3*store.MaxSum < store.MaxAmount {
		t.Error("three sums and an amount do not fit an int64")
	}
}

// runRace lets many proxies race for one budget. What they got must be the budget to the nano-dollar and never more.
func runRace(t *testing.T, open Open) {
	const racers, each = 64, 20
	b := newBooks(t, open, denies(t, "", "total", "0.000001000", budget.Total))
	sessions := make([]store.Credential, racers)
	for i := range sessions {
		sessions[i] = b.open("racer-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "pod")
	}
	var mu sync.Mutex
	granted, settled := int64(0), int64(0)
	var racing sync.WaitGroup
	for i, session := range sessions {
		racing.Go(func() {
			for n := range int64(each) {
				amount := 1 + (int64(i)*7+n*3)%13
				demand := store.Demand{Sequence: n + 1, Route: chat, Consumer: "alice", Amount: money.FromNano(amount), Identity: server}
				denial, err := b.Reserve(t.Context(), b.now(), session, demand)
				if err != nil {
					t.Errorf("Reserve: %v", err)
					return
				}
				if denial != nil {
					continue
				}
				cost := amount
				if n%2 == 0 {
					cost = amount / 2
				}
				if n%3 == 0 {
					mu.Lock()
					granted += amount
					mu.Unlock()
					continue
				}
				if _, err := b.Settle(t.Context(), b.now(), session, []store.Settlement{
					{Epoch: session.Epoch, Sequence: n + 1, Amount: money.FromNano(cost), Route: chat, Consumer: "alice"},
				}); err != nil {
					t.Errorf("Settle: %v", err)
					return
				}
				mu.Lock()
				settled += cost
				mu.Unlock()
			}
		})
	}
	racing.Wait()
	if granted+settled > 1000 {
		t.Errorf("%d + %d nano-USD were granted under a limit of 1000", granted, settled)
	}
	b.wantSpend("", "total", store.Spend{Settled: money.FromNano(settled), Held: money.FromNano(granted)})
	left := b.demand("bob", "0")
	left.Amount = money.FromNano(1000 - granted - settled + 1)
	if denial := b.reserve(left); denial == nil {
		t.Error("one nano-dollar more than what is left was granted")
	}
	left.Sequence, left.Amount = left.Sequence+1, money.FromNano(1000-granted-settled)
	if denial := b.reserve(left); denial != nil {
		t.Errorf("what is left was denied: %+v", denial)
	}
}

// runGone lets callers go while their calls are under way. Whatever became of their calls, giving everything back leaves nothing held.
func runGone(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	const callers = 300
	var calling sync.WaitGroup
	for n := range int64(callers) {
		calling.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*10*time.Microsecond)
			defer cancel()
			demand := store.Demand{Sequence: n + 1, Route: chat, Consumer: "alice", Amount: money.FromNano(1), Identity: server}
			if _, err := b.Reserve(ctx, b.now(), b.session, demand); err != nil && ctx.Err() == nil {
				t.Errorf("Reserve: %v", err)
			}
		})
	}
	calling.Wait()
	for n := range int64(callers) {
		b.settle(b.settlement(n+1, "0"))
	}
	b.wantSpend("", "total", spend(t, "0", "0", "0"))
}
