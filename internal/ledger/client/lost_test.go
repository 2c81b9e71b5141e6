package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
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

// loses loses the answers to so many calls of a method.
func loses(method string, count int64) func(string) (bool, bool) {
	var left atomic.Int64
	left.Store(count)
	return func(called string) (bool, bool) { return false, called == method && left.Add(-1) >= 0 }
}

func TestALostAnswerDrawsOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	w.breaks(loses("Draw", 1))
	// More than half: drawn twice, it would not fit.
	hold := reserve(t, c.Client, 600)
	settle(t, hold, 600, client.Exact)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 600})
}

func TestALostGrantIsFoundInAnotherSession(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	var routes atomic.Pointer[[]client.Route]
	routes.Store(&[]client.Route{route})
	l.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "other"}})
	c := start(t, l, journal.Options{}, w.through, func(o *client.Options) { o.Routes = func() []client.Route { return *routes.Load() } })
	w.breaks(func(method string) (bool, bool) {
		if method == "Draw" {
			routes.Store(&[]client.Route{route, {Namespace: "ai", Name: "other"}})
			c.ConfigChanged()
			return false, w.count("OpenSession") < 2
		}
		return false, false
	})
	spend(t, c.Client, 600)
	if opened := w.count("OpenSession"); opened < 2 {
		t.Errorf("%d sessions were opened", opened)
	}
	spend(t, c.Client, 400)
	wantBooks(t, l, books{Settled: 1000})
}

func TestMoneyWhoseAnswersAreAllLostIsNotStranded(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	w.breaks(loses("Draw", 1<<60))
	wantUnavailable(t, c.Client, 600)
	w.heal()
	// Nobody asks at the first proxy any more: it has to learn what it has from itself, and give it back when it is idle or recalled.
	other := l.NewClient("other", route)
	eventually(t, func() string {
		if _, err := other.Reserve(t.Context(), demand(1000)); err != nil {
			return err.Error()
		}
		return ""
	})
}

func TestCallsThatArriveTwiceCountOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Draw", "Append", "Heartbeat", "OpenSession"} {
		t.Run(method, func(t *testing.T) {
			l := ledgertest.Start(t)
			put(l, 1000)
			w := &wire{}
			w.repeated.Store(&method)
			c := start(t, l, journal.Options{}, w.through)
			spend(t, c.Client, 600)
			spend(t, c.Client, 150)
			closeClient(t, c.Client)
			wantBooks(t, l, books{Settled: 750})
		})
	}
}

func TestALossyWireLosesNothing(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 50 * time.Millisecond})
	const limit = 40_000
	put(l, limit)
	var spent atomic.Int64
	var spending sync.WaitGroup
	var proxies []*proxy
	for n := range 3 {
		w := &wire{}
		w.breaks(func(string) (bool, bool) { return rand.IntN(8) == 0, rand.IntN(8) == 0 })
		c := start(t, l, journal.Options{}, w.through, func(o *client.Options) { o.Instance = fmt.Sprint(n) })
		proxies = append(proxies, c)
		for range 4 {
			spending.Go(func() {
				for range 60 {
					hold, err := c.Reserve(t.Context(), demand(100))
					if err != nil {
						continue
					}
					cost := rand.Int64N(101)
					if err := hold.Settle(client.Cost{Amount: money.FromNano(cost), Certainty: client.Exact}); err != nil {
						t.Errorf("Settle: %v", err)
					}
					spent.Add(cost)
				}
			})
		}
	}
	spending.Wait()
	if spent.Load() > limit {
		t.Errorf("%d were spent under a limit of %d", spent.Load(), limit)
	}
	for _, c := range proxies {
		closeClient(t, c.Client)
	}
	wantBooks(t, l, books{Settled: spent.Load()})
}

func TestAShortAbsenceOfTheLedgerIsWaitedOut(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	reserve(t, c.Client, 100)
	l.Stop()
	draws := w.count("Draw")
	var starting sync.WaitGroup
	starting.Go(func() {
		eventually(t, func() string {
			if w.count("Draw") > draws {
				return ""
			}
			return "nobody asks"
		})
		l.Start()
	})
	reserve(t, c.Client, 700)
	starting.Wait()
	wantSpend(t, l, [3]int64{0, 0, 800})
}

func TestAProxyLivesOnItsSlicesWhileTheLedgerIsAway(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{TLS: true})
	put(l, 10_000)
	c := l.NewClient("pod", route)
	spend(t, c, 1000)
	l.Stop()
	holds, spent := []*client.Hold{}, int64(1000)
	for {
		hold, err := c.Reserve(t.Context(), demand(1000))
		if err != nil {
			if !errors.Is(err, client.ErrUnavailable) {
				t.Errorf("error %v, want ErrUnavailable", err)
			}
			break
		}
		holds = append(holds, hold)
	}
	if len(holds) != 4 {
		t.Errorf("%d requests were served from what was drawn, want 4", len(holds))
	}
	for _, hold := range holds {
		settle(t, hold, 700, client.Exact)
		spent += 700
	}
	if !c.Ready() {
		t.Error("the proxy is not ready any more, so that nobody would be told why")
	}
	l.Rotate()
	l.Start()
	wantSpend(t, l, [3]int64{spent, 0, 0})
	spend(t, c, 2000)
	closeClient(t, c)
	wantBooks(t, l, books{Settled: spent + 2000})
}

func TestCloseSendsWhatIsOwed(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	hold := reserve(t, c, 10)
	l.Stop()
	settle(t, hold, 7, client.Exact)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(gone); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("Close while the ledger is away: %v, want ErrUnavailable", err)
	}
	wantUnavailable(t, c, 1)
	l.Start()
	closeClient(t, c)
	wantBooks(t, l, books{Settled: 7})
}

func TestCloseLeavesOutOnlyWhatIsHeld(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 1000)
	c := l.NewClient("pod", route)
	hold := reserve(t, c, 100)
	closeClient(t, c)
	wantBooks(t, l, books{Held: 100, Leased: 100})
	settle(t, hold, 60, client.Exact)
	wantBooks(t, l, books{Settled: 60})
}

func TestADrawThatWasLostBeforeTheEndDoesNotCount(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	spend(t, c.Client, 1)
	w.breaks(loses("Draw", 1<<60))
	wantUnavailable(t, c.Client, 900)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 1})
}

func TestARequestThatWentAwayGivesItsMoneyBack(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	w.breaks(func(method string) (bool, bool) {
		if method == "Draw" {
			cancel()
			<-released
		}
		return false, false
	})
	if _, err := c.Reserve(ctx, demand(1000)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	w.heal()
	close(released)
	reserve(t, c.Client, 1000)
	wantSpend(t, l, [3]int64{0, 0, 1000})
}

func TestRequestsThatComeAndGoLoseNothing(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 2000)
	c := start(t, l, journal.Options{})
	var going sync.WaitGroup
	for range 16 {
		going.Go(func() {
			for range 25 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(3*time.Millisecond))))
				if hold, err := c.Reserve(ctx, demand(700)); err == nil {
					if err := hold.Settle(client.Cost{Amount: money.Amount{}, Certainty: client.Exact}); err != nil {
						t.Errorf("Settle: %v", err)
					}
				}
				cancel()
			}
		})
	}
	going.Wait()
	reserve(t, c.Client, 2000)
}

func TestTheLongestNamesFitTheLedgersBounds(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	long := func(of string) string { return of + strings.Repeat("x", 253-len(of)) }
	lengthy := client.Route{Namespace: long("ai"), Name: long("chat")}
	put := &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: lengthy.Namespace, Name: lengthy.Name}}
	for n := range 400 {
		budget := deny("all", 1000)
		budget.Ref.Consumer = long(fmt.Sprint(n, "-"))
		put.Consumers = append(put.Consumers, budget.Ref.Consumer)
		put.Budgets = append(put.Budgets, budget)
	}
	l.PutRoute(put)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through, func(o *client.Options) {
		o.Routes = func() []client.Route { return []client.Route{lengthy} }
	})
	var holding sync.WaitGroup
	holds := make([]*client.Hold, len(put.GetConsumers()))
	for n, consumer := range put.GetConsumers() {
		holding.Go(func() {
			wish := client.Demand{Namespace: lengthy.Namespace, Route: lengthy.Name, Consumer: consumer, Amount: money.FromNano(900)}
			var err error
			if holds[n], err = c.Reserve(t.Context(), wish); err != nil {
				t.Errorf("Reserve: %v", err)
			}
		})
	}
	holding.Wait()
	w.breaks(func(method string) (bool, bool) { return method == "Append", false })
	for _, hold := range holds {
		if hold != nil {
			settle(t, hold, 500, client.Exact)
		}
	}
	w.heal()
	closeClient(t, c.Client)
	usage := l.Usage(lengthy.Namespace, lengthy.Name)
	if settled := usage.GetSpend().GetSettledNanoUsd(); settled != 400*500 {
		t.Errorf("%d are settled, want %d", settled, 400*500)
	}
}

func TestADrawThatIsAnsweredAfterTheEndBringsNothing(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	spend(t, c.Client, 1)
	asked, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.breaks(func(method string) (bool, bool) {
		if method == "Draw" {
			once.Do(func() { close(asked) })
			<-released
		}
		return false, false
	})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := c.Reserve(t.Context(), demand(900)); !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	})
	<-asked
	gone, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Close(gone); err == nil {
		t.Error("Close did not wait for the draw that is under way")
	}
	waiting.Wait()
	close(released)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 1})
}
