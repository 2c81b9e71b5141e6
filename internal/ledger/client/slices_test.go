package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

func TestAWarmSliceNeedsNoCall(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000_000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	hold := reserve(t, c.Client, 100_000)
	settle(t, hold, 100_000, client.Exact)
	before := w.count("Draw")
	// The first answer brought more ahead of need than this takes.
	for range 100 {
		spend(t, c.Client, 1000)
	}
	if drawn := w.count("Draw") - before; drawn != 0 {
		t.Errorf("%d draws for requests that a slice covers", drawn)
	}
	for range 10_000 {
		spend(t, c.Client, 1000)
	}
	if drawn := w.count("Draw") - before; drawn > 200 {
		t.Errorf("%d draws for 10000 requests", drawn)
	}
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 10_200_000})
}

func TestTheLastDollarCanBeSpentFromAnyReplica(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1000)
	var proxies []*client.Client
	for range 3 {
		proxies = append(proxies, start(t, l, journal.Options{}, patiently).Client)
	}
	left := int64(1000)
	for i := 0; left > 0; i++ {
		cost := min(left, 130)
		spend(t, proxies[i%3], cost)
		left -= cost
	}
	for _, c := range proxies {
		wantDenied(t, c, 1, client.Exhausted)
	}
	wantBooks(t, l, books{Settled: 1000})
}

func TestAllReplicasAtOnceSpendAllOfASmallBudget(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	const limit, cost = 30_000, 100
	putBudgets(l, deny("all", limit), deny("other", limit+50))
	var spent atomic.Int64
	var spending sync.WaitGroup
	for n := range 3 {
		c := l.NewClient(fmt.Sprintf("pod-%d", n), route)
		for range 4 {
			spending.Go(func() {
				for {
					hold, err := c.Reserve(t.Context(), demand(cost))
					if denied, is := errors.AsType[*client.DeniedError](err); is && denied.Reason == client.Exhausted {
						return
					} else if is {
						continue
					}
					if err != nil {
						t.Errorf("Reserve: %v", err)
						return
					}
					if err := hold.Settle(client.Cost{Amount: money.FromNano(cost), Certainty: client.Exact}); err != nil {
						t.Errorf("Settle: %v", err)
					}
					spent.Add(cost)
				}
			})
		}
	}
	spending.Wait()
	if spent.Load() != limit {
		t.Errorf("%d of %d were spent", spent.Load(), limit)
	}
	wantBooks(t, l, books{Settled: limit})
}

func TestIdleMoneyGoesBack(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1_000_000)
	var ahead atomic.Int64
	c := start(t, l, journal.Options{}, func(o *client.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	spend(t, c.Client, 1000)
	eventually(t, func() string {
		if booksOf(l).Leased > 0 {
			return ""
		}
		return "nothing was drawn ahead of need"
	})
	ahead.Store(int64(time.Minute))
	wantBooks(t, l, books{Settled: 1000})
	spend(t, c.Client, 1000)
}

func TestTheReasonOfADenialIsTheTruth(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1000)
	one, other := l.NewClient("pod-1", route), l.NewClient("pod-2", route)
	hold := reserve(t, one, 700)
	wantDenied(t, other, 400, client.Held)
	settle(t, hold, 700, client.Exact)
	wantSpend(t, l, [3]int64{700, 0, 0})
	wantDenied(t, other, 400, client.Exhausted)
	spend(t, other, 300)
}

func TestALimitCanBeRaisedAndLowered(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1000)
	c := l.NewClient("pod", route)
	spend(t, c, 600)
	wantDenied(t, c, 600, client.Exhausted)
	put(l, 2000)
	spend(t, c, 600)
	hold := reserve(t, c, 100)
	put(l, 1300)
	// What is drawn goes back with the next heartbeat, all but what is held.
	wantBooks(t, l, books{Settled: 1200, Held: 100, Leased: 100})
	wantDenied(t, c, 101, client.Exhausted)
	settle(t, hold, 50, client.Exact)
	spend(t, c, 50)
	wantDenied(t, c, 1, client.Exhausted)
	wantBooks(t, l, books{Settled: 1300})
}

func TestABudgetThatIsAddedCountsWithTheNextHeartbeat(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1_000_000)
	var hash atomic.Pointer[string]
	before, after := "before", "after"
	hash.Store(&before)
	c := start(t, l, journal.Options{}, func(o *client.Options) { o.ConfigHash = func() string { return *hash.Load() } })
	wantHash(t, l, "chat", before)
	spend(t, c.Client, 100)
	putBudgets(l, deny("all", 1_000_000), deny("small", 200))
	hash.Store(&after)
	c.ConfigChanged()
	wantHash(t, l, "chat", after)
	// The configuration is announced once the accounts are known, so that nothing is spent past the new budget now.
	if denied := denial(t, c.Client, 101); denied.Budget != "small" || denied.Reason != client.Exhausted {
		t.Errorf("budget %s refused", denied.Budget)
	}
	spend(t, c.Client, 100)
}

func TestAnotherWindowHasMoneyAgain(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	l := ledgertest.StartWith(t, ledgertest.Options{Now: now, Heartbeat: 20 * time.Millisecond})
	hourly := deny("hourly", 1000)
	hourly.Period = ledgerpb.Period_PERIOD_HOUR
	putBudgets(l, hourly)
	c := start(t, l, journal.Options{}, func(o *client.Options) { o.Now = now })
	settle(t, reserve(t, c.Client, 900), 100, client.Exact)
	spend(t, c.Client, 800)
	open := reserve(t, c.Client, 60)
	denied := denial(t, c.Client, 101)
	if denied.ResetsIn <= 0 || denied.ResetsIn > time.Hour {
		t.Errorf("the window ends in %v", denied.ResetsIn)
	}
	ahead.Add(int64(time.Hour))
	hold := reserve(t, c.Client, 1000)
	// A hold settles in the window in which it was opened.
	settle(t, open, 60, client.Exact)
	settle(t, hold, 1000, client.Exact)
	wantDenied(t, c.Client, 1, client.Exhausted)
	wantBooks(t, l, books{Settled: 1960})
	for _, consumer := range l.Usage("ai", "chat").GetConsumers() {
		if settled := consumer.GetBudgets()[0].GetSpend().GetSettledNanoUsd(); settled != 1000 {
			t.Errorf("%d are settled in the new window, want 1000", settled)
		}
	}
}

func TestRandomSpendingOverEditsAndWindowsLosesNothing(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	l := ledgertest.StartWith(t, ledgertest.Options{Now: now, Heartbeat: 20 * time.Millisecond, Silence: 24 * time.Hour})
	hourly := deny("hourly", 20_000)
	hourly.Period = ledgerpb.Period_PERIOD_HOUR
	putBudgets(l, hourly, deny("all", 1_000_000))
	var spent atomic.Int64
	var spending sync.WaitGroup
	proxies := []*client.Client{}
	for range 2 {
		c := start(t, l, journal.Options{}, func(o *client.Options) { o.Now = now }).Client
		proxies = append(proxies, c)
		for range 6 {
			spending.Go(func() {
				for range 150 {
					hold, err := c.Reserve(t.Context(), demand(rand.Int64N(200)))
					if err != nil {
						continue
					}
					cost := rand.Int64N(hold.Worst().Amount.Nano() + 1)
					if err := hold.Settle(client.Cost{Amount: money.FromNano(cost), Certainty: client.Exact}); err != nil {
						t.Errorf("Settle: %v", err)
					}
					spent.Add(cost)
				}
			})
		}
	}
	for round := range 10 {
		ahead.Add(int64(25 * time.Minute))
		putBudgets(l, hourly, deny("all", 1_000_000+int64(round)))
		spend(t, proxies[round%2], 1)
		spent.Add(1)
	}
	spending.Wait()
	for _, c := range proxies {
		closeClient(t, c)
	}
	wantBooks(t, l, books{Settled: spent.Load()})
}

// A busy proxy hears with its draws that others are refused, and gives back what its requests leave: it need not wait for a heartbeat.
func TestABusyProxyIsCalledBackByItsDraws(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1000)
	deaf := &wire{}
	busy := start(t, l, journal.Options{}, patiently, deaf.through)
	other := start(t, l, journal.Options{}, patiently)
	hold := reserve(t, busy.Client, 600)
	deaf.breaks(func(method string) (call, answer bool) { return method == "Heartbeat", false })
	served := make(chan error, 1)
	go func() {
		waiting, err := other.Reserve(t.Context(), demand(900))
		if err == nil {
			err = waiting.Settle(client.Cost{Amount: money.FromNano(900), Certainty: client.Exact})
		}
		served <- err
	}()
	for draws := deaf.count("Draw"); deaf.count("Draw") < draws+3; {
		// Each asks for more than is there, and so for more of the ledger.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := busy.Reserve(ctx, demand(500)); err == nil {
			t.Fatal("500 were held beside 600 of 1000")
		}
		cancel()
	}
	settle(t, hold, 100, client.Exact)
	if err := <-served; err != nil {
		t.Errorf("900 of the 900 that are left: %v", err)
	}
}
