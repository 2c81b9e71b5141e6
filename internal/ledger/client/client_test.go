package client_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

var amounts = cmp.Comparer(func(a, b money.Amount) bool { return a == b })

// put puts the route ai/chat with a budget of so many nano-USD that denies.
func put(l *ledgertest.Ledger, limit int64) {
	l.PutRoute(&ledgerpb.PutRouteRequest{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Consumers: []string{"alice"},
		Budgets: []*ledgerpb.Budget{{
			Ref: &ledgerpb.BudgetRef{Consumer: "alice", Name: "all"}, LimitNanoUsd: limit,
			Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		}},
	})
}

var route = client.Route{Namespace: "ai", Name: "chat"}

func demand(nano int64) client.Demand {
	return client.Demand{Namespace: "ai", Route: "chat", Consumer: "alice", Amount: money.FromNano(nano)}
}

func reserve(t *testing.T, c *client.Client, nano int64) *client.Hold {
	t.Helper()
	hold, err := c.Reserve(t.Context(), demand(nano))
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	return hold
}

func settle(t *testing.T, hold *client.Hold, nano int64, certainty client.Certainty) {
	t.Helper()
	if err := hold.Settle(t.Context(), money.FromNano(nano), certainty); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

// wantSpend waits until the route has this spend: settled, uncertain, held.
func wantSpend(t *testing.T, l *ledgertest.Ledger, want [3]int64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		spend := l.Usage("ai", "chat").GetSpend()
		got := [3]int64{spend.GetSettledNanoUsd(), spend.GetUncertainNanoUsd(), spend.GetHeldNanoUsd()}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("settled, uncertain, held = %v, want %v", got, want)
		}
	}
}

func TestMoneyIsHeldAndSettled(t *testing.T) {
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
	wantSpend(t, l, [3]int64{120, 300, 0})
}

func TestSpentMoneyIsDeniedAtOnce(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	settle(t, reserve(t, c, 900), 900, client.Exact)
	_, err := c.Reserve(t.Context(), demand(101))
	var denied *client.DeniedError
	if !errors.As(err, &denied) {
		t.Fatalf("error %v, want a DeniedError", err)
	}
	want := &client.DeniedError{
		Reason: client.Exhausted, Consumer: "alice", Budget: "all", Limit: money.FromNano(1000), Remaining: money.FromNano(100),
	}
	if diff := cmp.Diff(want, denied, amounts); diff != "" {
		t.Errorf("denial (-want +got):\n%s", diff)
	}
	if errors.Is(err, client.ErrUnavailable) {
		t.Error("a denial passes for an absent ledger")
	}
	wantSpend(t, l, [3]int64{900, 0, 0})
}

func TestHeldMoneyIsWaitedFor(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	other := reserve(t, c, 900)
	var giving sync.WaitGroup
	giving.Go(func() {
		time.Sleep(100 * time.Millisecond)
		if err := other.Settle(t.Context(), money.FromNano(10), client.Exact); err != nil {
			t.Errorf("Settle: %v", err)
		}
	})
	reserve(t, c, 900)
	giving.Wait()
	wantSpend(t, l, [3]int64{10, 0, 900})

	_, err := c.Reserve(t.Context(), demand(900))
	var denied *client.DeniedError
	if !errors.As(err, &denied) || denied.Reason != client.Held {
		t.Errorf("error %v, want one because the money is held", err)
	}
}

func TestAnAbsurdDemandIsDenied(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 999_999_999_999_999_999)
	c := l.NewClient("pod", route)
	absurd := demand(0)
	absurd.Amount = money.Max
	var denied *client.DeniedError
	if _, err := c.Reserve(t.Context(), absurd); !errors.As(err, &denied) || denied.Reason != client.Exhausted {
		t.Errorf("error %v, want a denial", err)
	}
	absurd.Amount = money.FromNano(-1)
	if _, err := c.Reserve(t.Context(), absurd); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

func TestSettlementsOutliveTheLedgersAbsence(t *testing.T) {
	l := ledgertest.StartWith(t, ledgertest.Options{TLS: true})
	put(l, 1000)
	c := l.NewClient("pod", route)
	holds := make([]*client.Hold, 20)
	for i := range holds {
		holds[i] = reserve(t, c, 10)
	}
	l.Stop()
	var settling sync.WaitGroup
	for _, hold := range holds {
		settling.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := hold.Settle(ctx, money.FromNano(7), client.Exact); !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("Settle while the ledger is away: %v, want ErrUnavailable", err)
			}
		})
	}
	settling.Wait()
	if _, err := c.Reserve(t.Context(), demand(10)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("Reserve while the ledger is away: %v, want ErrUnavailable", err)
	}
	if !c.Ready() {
		t.Error("the proxy is not ready any more, so that nobody would be told why")
	}
	l.Rotate()
	l.Start()
	wantSpend(t, l, [3]int64{140, 0, 0})
	settle(t, reserve(t, c, 10), 1, client.Exact)
}

func TestCloseSendsWhatIsOwed(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	hold := reserve(t, c, 10)
	l.Stop()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hold.Settle(gone, money.FromNano(7), client.Exact); !errors.Is(err, client.ErrUnavailable) {
		t.Fatalf("Settle: %v", err)
	}
	if err := c.Close(gone); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("Close while the ledger is away: %v, want ErrUnavailable", err)
	}
	l.Start()
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantSpend(t, l, [3]int64{7, 0, 0})
}

// run runs a client with the options until the test ends.
func run(t *testing.T, l *ledgertest.Ledger, change func(*client.Options)) *client.Client {
	t.Helper()
	options := client.Options{
		URL: l.URL, HTTPClient: l.HTTPClient(), Token: l.Token, ProxyID: client.NewProxyID(), Instance: "pod",
		Routes:     func() []client.Route { return []client.Route{route} },
		ConfigHash: func() string { return "" },
		Logger:     slog.New(slog.DiscardHandler),
	}
	change(&options)
	c := client.New(options)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return c
}

func TestASessionThatEndedIsOpenedAnew(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	id := client.NewProxyID()
	c := run(t, l, func(o *client.Options) { o.ProxyID = id })
	hold := reserve(t, c, 600)
	twin := run(t, l, func(o *client.Options) { o.ProxyID = id }) // Its session ends the first one's.
	reserve(t, twin, 100)
	settle(t, hold, 400, client.Exact)
	wantSpend(t, l, [3]int64{400, 0, 100})
	reserve(t, c, 100)
}

func TestABadTokenDoesNotEndTheSession(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	var token atomic.Pointer[string]
	good, bad := ledgertest.Key, "revoked"
	token.Store(&good)
	c := run(t, l, func(o *client.Options) { o.Token = func(context.Context) (string, error) { return *token.Load(), nil } })
	hold := reserve(t, c, 600)
	token.Store(&bad)
	if _, err := c.Reserve(t.Context(), demand(1)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	settle(t, hold, 600, client.Exact)
	wantSpend(t, l, [3]int64{600, 0, 0})
}

func TestTheLedgerIsToldWhatIsServed(t *testing.T) {
	l := ledgertest.Start(t)
	put(l, 1000)
	l.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "other"}})
	var routes atomic.Pointer[[]client.Route]
	var hash atomic.Pointer[string]
	first, none := "first", []client.Route(nil)
	routes.Store(&none)
	hash.Store(&first)
	c := run(t, l, func(o *client.Options) {
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
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		proxies := l.Usage("ai", name).GetProxies()
		if len(proxies) == 1 && proxies[0].GetConfigHash() == hash {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("proxies of %s are %v, want one with hash %s", name, proxies, hash)
		}
	}
}

func TestManyAtATimeAreBookedToTheNanoDollar(t *testing.T) {
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
				if err := hold.Settle(t.Context(), money.FromNano(cost), client.Exact); err != nil {
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
	wantSpend(t, l, [3]int64{spent.Load(), 0, 0})
}
