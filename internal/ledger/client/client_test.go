package client_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

func TestMoneyIsHeldAndSettled(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{TLS: true})
	put(l, 1000)
	c := l.NewClient("pod", route)
	first, second, third := reserve(t, c, 300), reserve(t, c, 300), reserve(t, c, 300)
	wantSpend(t, l, [3]int64{0, 0, 900})
	settle(t, first, 120, client.Exact)
	settle(t, second, 300, client.Uncertain)
	wantSpend(t, l, [3]int64{120, 300, 300})
	settle(t, third, 0, client.Exact)
	wantSpend(t, l, [3]int64{120, 300, 0})
	settle(t, first, 999, client.Exact)
	closeClient(t, c)
	wantBooks(t, l, books{Settled: 120, Uncertain: 300})
}

func TestWhatIsUncertainCanBeCorrectedOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	doubtful, certain := reserve(t, c, 300), reserve(t, c, 300)
	settle(t, doubtful, 300, client.Uncertain)
	settle(t, certain, 100, client.Exact)
	for _, amount := range []int64{70, 71} {
		for _, hold := range []*client.Hold{doubtful, certain} {
			if err := hold.Correct(money.FromNano(amount)); err != nil {
				t.Errorf("Correct: %v", err)
			}
		}
	}
	closeClient(t, c)
	wantBooks(t, l, books{Settled: 170})
}

func TestADebtIsBookedInFull(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	settle(t, reserve(t, c, 300), 1200, client.Exact)
	wantBooks(t, l, books{Settled: 1200})
	wantDenied(t, c, 1, client.Exhausted)
}

func TestSpentMoneyIsDeniedAtOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	spend(t, c, 900)
	wantSpend(t, l, [3]int64{900, 0, 0})
	denied := denial(t, c, 101)
	want := &client.DeniedError{
		Reason: client.Exhausted, Consumer: "alice", Budget: "all", Limit: money.FromNano(1000), Remaining: money.FromNano(100),
	}
	if diff := cmp.Diff(want, denied, amounts); diff != "" {
		t.Errorf("denial (-want +got):\n%s", diff)
	}
	if errors.Is(denied, client.ErrUnavailable) {
		t.Error("a denial passes for an absent ledger")
	}
}

func TestHeldMoneyIsWaitedFor(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	other := reserve(t, c.Client, 900)
	var giving sync.WaitGroup
	draws := w.count("Draw")
	giving.Go(func() {
		eventually(t, func() string {
			if w.count("Draw") > draws+1 {
				return ""
			}
			return "nobody asks for the money that is held"
		})
		if err := other.Settle(client.Cost{Amount: money.FromNano(10), Certainty: client.Exact}); err != nil {
			t.Errorf("Settle: %v", err)
		}
	})
	reserve(t, c.Client, 900)
	giving.Wait()
	wantSpend(t, l, [3]int64{10, 0, 900})
	wantDenied(t, c.Client, 900, client.Held)
}

func TestAnAbsurdDemandIsDenied(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 999_999_999_999_999_999)
	c := l.NewClient("pod", route)
	absurd := demand(0)
	absurd.Amount = money.Max
	var denied *client.DeniedError
	if _, err := c.Reserve(t.Context(), absurd); !errors.As(err, &denied) || denied.Reason != client.Exhausted {
		t.Errorf("error %v, want a denial", err)
	}
	wantUnavailable(t, c, -1)
	nameless := demand(1)
	nameless.Consumer = ""
	if _, err := c.Reserve(t.Context(), nameless); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	hold := reserve(t, c, 5)
	settle(t, hold, -7, client.Exact)
	wantSpend(t, l, [3]int64{0, 0, 0})
}

func TestAConsumerThatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	stranger := demand(1)
	stranger.Consumer = "mallory"
	if _, err := c.Reserve(t.Context(), stranger); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	spend(t, c, 1)
}

func TestManyAtATimeAreBookedToTheNanoDollar(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{TLS: true})
	put(l, 50_000)
	clients := []*client.Client{l.NewClient("pod-1", route), l.NewClient("pod-2", route), l.NewClient("pod-3", route)}
	var spent atomic.Int64
	var calling sync.WaitGroup
	for caller := range int64(48) {
		calling.Go(func() {
			c := clients[caller%3]
			for n := range int64(20) {
				hold, err := c.Reserve(t.Context(), demand(100))
				if _, denied := errors.AsType[*client.DeniedError](err); denied {
					continue
				}
				if err != nil {
					t.Errorf("Reserve: %v", err)
					return
				}
				cost := (caller*31 + n*17) % 101
				if err := hold.Settle(client.Cost{Amount: money.FromNano(cost), Certainty: client.Exact}); err != nil {
					t.Errorf("Settle: %v", err)
					return
				}
				spent.Add(cost)
			}
		})
	}
	calling.Wait()
	if spent.Load() > 50_000 {
		t.Errorf("%d were spent under a limit of 50000", spent.Load())
	}
	for _, c := range clients {
		closeClient(t, c)
	}
	wantBooks(t, l, books{Settled: spent.Load()})
}

func TestTheLedgerIsToldWhatIsServed(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	l.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "other"}})
	var routes atomic.Pointer[[]client.Route]
	var hash atomic.Pointer[string]
	first, none := "first", []client.Route(nil)
	routes.Store(&none)
	hash.Store(&first)
	c := start(t, l, journal.Options{}, func(o *client.Options) {
		o.Routes = func() []client.Route { return *routes.Load() }
		o.ConfigHash = func() string { return *hash.Load() }
	})
	if c.Ready() {
		t.Error("ready without a route")
	}
	routes.Store(&[]client.Route{route})
	wantHash(t, l, "chat", "first")
	if !c.Ready() {
		t.Error("not ready with a session")
	}
	second := "second"
	hash.Store(&second)
	c.ConfigChanged()
	wantHash(t, l, "chat", "second")
	routes.Store(&[]client.Route{route, {Namespace: "ai", Name: "other"}})
	c.ConfigChanged()
	wantHash(t, l, "other", "second")
}

// wantHash waits until the ledger shows one proxy for the route, with the hash.
func wantHash(t *testing.T, l *ledgertest.Ledger, name, hash string) {
	t.Helper()
	eventually(t, func() string {
		proxies := l.Usage("ai", name).GetProxies()
		if len(proxies) == 1 && proxies[0].GetConfigHash() == hash {
			return ""
		}
		return cmp.Diff(hash, proxies)
	})
}

func TestTheEndRefusesThoseWhoWait(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	spend(t, c.Client, 1)
	w.breaks(func(method string) (bool, bool) { return method == "Draw", false })
	draws := w.count("Draw")
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := c.Reserve(context.WithoutCancel(t.Context()), demand(900)); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	})
	eventually(t, func() string {
		if w.count("Draw") > draws {
			return ""
		}
		return "nobody asks"
	})
	c.stop()
	waiting.Wait()
	wantUnavailable(t, c.Client, 900)
}
