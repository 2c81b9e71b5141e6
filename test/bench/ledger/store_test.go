package ledger

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	server = "server"
	// batch is how many settlements one report has.
	batch = 200
	// cost is what one attempt costs, in nano-USD.
	cost = 600
)

// spread is over how many accounts what is spent is spread: each route has a monthly budget, and its one consumer another.
var spread = []struct{ routes, accounts int }{{1, 2}, {500, 1000}}

// books is a store with routes, for whose consumer proxies draw.
type books struct {
	*sqlite.Store
	routes []store.RouteKey
}

func newBooks(b *testing.B, routes int) *books {
	b.Helper()
	opened, err := sqlite.Open(b.Context(), sqlite.Options{Dir: b.TempDir(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := opened.Close(); err != nil {
			b.Error(err)
		}
	})
	made := &books{Store: opened}
	for i := range routes {
		key := store.RouteKey{Namespace: "ai", Name: fmt.Sprintf("route-%d", i)}
		put := store.Route{Namespace: "ai", Name: key.Name, Server: server, Consumers: []string{"alice"}, Budgets: []store.Budget{
			{Name: "route", Limit: money.FromNano(store.MaxLimit), Period: budget.Month, Enforcement: budget.Deny},
			{Consumer: "alice", Name: "own", Limit: money.FromNano(store.MaxLimit), Period: budget.Month, Enforcement: budget.Deny},
		}}
		if err := made.PutRoute(b.Context(), put); err != nil {
			b.Fatal(err)
		}
		made.routes = append(made.routes, key)
	}
	return made
}

// proxy has drawn for every route, and spends what it drew.
type proxy struct {
	books   *books
	session store.Credential
	leases  [][]store.Lease
	drawn   int64
	logged  int64
}

func (s *books) newProxy(b *testing.B, id string) *proxy {
	b.Helper()
	token := sha256.Sum256(nil)
	opened, err := s.OpenSession(b.Context(), time.Now(), store.NewSession{
		ProxyID: id, Instance: id, Routes: s.routes, Identity: server, Token: token,
	})
	if err != nil {
		b.Fatal(err)
	}
	p := &proxy{books: s, session: store.Credential{ProxyID: id, Epoch: opened.Epoch, Token: token}}
	for i := range s.routes {
		answer, err := p.draw(b, i, 100_000*money.NanoPerUSD)
		if err != nil {
			b.Fatal(err)
		}
		p.leases = append(p.leases, answer.Leases)
	}
	return p
}

// draw draws an amount for one route.
func (p *proxy) draw(b *testing.B, route int, nano int64) (store.Answer, error) {
	p.drawn++
	answers, err := p.books.Draw(b.Context(), time.Now(), p.session, store.Draw{Sequence: p.drawn, Identity: server, Demands: []store.Demand{
		{Route: p.books.routes[route], Consumer: "alice", Amount: money.FromNano(nano)},
	}})
	if err != nil {
		return store.Answer{}, fmt.Errorf("drawing: %w", err)
	}
	if answers[0].Denial != nil || answers[0].Err != nil {
		return store.Answer{}, fmt.Errorf("drawing: %+v", answers[0])
	}
	return answers[0], nil
}

// report appends a batch of settlements, one for each of the routes in turn.
func (p *proxy) report(b *testing.B) error {
	records := make([]store.Record, batch)
	now := time.Now()
	for i := range records {
		at := int(p.logged+int64(i)) % len(p.books.routes)
		charges := make([]store.Charge, 0, 2)
		for _, lease := range p.leases[at] {
			charges = append(charges, store.Charge{Lease: lease.ID, Amount: money.FromNano(cost)})
		}
		records[i].Settlement = &store.Settlement{
			Route: p.books.routes[at], Consumer: "alice", OpenedAt: now, Amount: money.FromNano(cost), Charges: charges,
		}
	}
	appended, err := p.books.Append(b.Context(), now, p.session, p.logged+1, records)
	if err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if p.logged += batch; appended.Applied != p.logged {
		return fmt.Errorf("%d records are applied, want %d", appended.Applied, p.logged)
	}
	return nil
}

// BenchmarkAppend reports batches of settlements to the store, from several proxies at a time. Every batch is on the disk when it is
// acknowledged.
func BenchmarkAppend(b *testing.B) { perProxies(b, (*proxy).report, batch) }

// BenchmarkDraw draws for one demand at a time from the store, from several proxies at a time.
func BenchmarkDraw(b *testing.B) {
	perProxies(b, func(p *proxy, b *testing.B) error {
		_, err := p.draw(b, int(p.drawn)%len(p.books.routes), 1000)
		return err
	}, 0)
}

// perProxies runs an operation of a proxy over few and many accounts and for few and many proxies at a time.
func perProxies(b *testing.B, operation func(*proxy, *testing.B) error, settlements int) {
	for _, over := range spread {
		for _, inFlight := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("accounts=%d/proxies=%d", over.accounts, inFlight), func(b *testing.B) {
				made := newBooks(b, over.routes)
				idle := make(chan *proxy, inFlight)
				for i := range inFlight {
					idle <- made.newProxy(b, fmt.Sprintf("proxy-%d", i))
				}
				measure(b, inFlight, func(int64) error {
					p := <-idle
					defer func() { idle <- p }()
					return operation(p, b)
				})
				if settlements > 0 {
					b.ReportMetric(float64(b.N*settlements)/b.Elapsed().Seconds(), "settlements/s")
				}
			})
		}
	}
}
