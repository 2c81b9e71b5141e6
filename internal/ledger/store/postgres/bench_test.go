package postgres

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
	"github.com/modelroute/modelroute/internal/money"
)

// BenchmarkAppend measures how many settlements are booked in a second, each of which is held in two accounts: the route's and the
// consumer's. Every proxy has one call under way at a time, as they do.
func BenchmarkAppend(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{Durable: true})
	for _, spread := range []struct {
		name              string
		routes, consumers int
	}{
		{"1000 accounts", 100, 9},
		{"a hot account", 1, 1},
	} {
		for _, size := range []int{200, 500} {
			for _, proxies := range []int{1, 4} {
				b.Run(fmt.Sprintf("%s, batches of %d, %d proxies", spread.name, size, proxies), func(b *testing.B) {
					s := opened(b, Options{DSN: server.Database(b)})
					f := newField(b, s, spread.routes, spread.consumers, proxies)
					b.ResetTimer()
					f.settle(b, s, size)
				})
			}
		}
	}
}

// field is routes, consumers and proxies, with a lease for each.
type field struct {
	routes    []store.RouteKey
	consumers []string
	clients   []*client
	// leases are by proxy, route and consumer.
	leases [][][][]store.Charge
}

func newField(b *testing.B, s *Store, routes, consumers, proxies int) *field {
	f := &field{}
	for i := range consumers {
		f.consumers = append(f.consumers, fmt.Sprintf("consumer-%d", i))
	}
	limit := money.FromNano(store.MaxLimit)
	budgets := []store.Budget{{Name: "route", Limit: limit, Period: budget.Month, TimeZone: "Europe/Berlin", Enforcement: budget.Deny}}
	for _, consumer := range f.consumers {
		budgets = append(budgets, store.Budget{Consumer: consumer, Name: "own", Limit: limit, Period: budget.Day, Enforcement: budget.Deny})
	}
	for i := range routes {
		key := store.RouteKey{Namespace: "ai", Name: fmt.Sprintf("route-%d", i)}
		f.routes = append(f.routes, key)
		route := store.Route{Namespace: key.Namespace, Name: key.Name, Server: "server", Consumers: f.consumers, Budgets: budgets}
		if err := s.PutRoute(b.Context(), route); err != nil {
			b.Fatal(err)
		}
	}
	for i := range proxies {
		c := began(b, s, fmt.Sprintf("proxy-%d", i), f.routes...)
		f.clients = append(f.clients, c)
		f.leases = append(f.leases, f.drawAll(b, s, c))
	}
	return f
}

func (f *field) drawAll(b *testing.B, s *Store, c *client) [][][]store.Charge {
	var all [][][]store.Charge
	for _, key := range f.routes {
		var draw store.Draw
		for _, consumer := range f.consumers {
			draw.Demands = append(draw.Demands, store.Demand{Route: key, Consumer: consumer, Amount: money.FromNano(1e15)})
		}
		c.drawn++
		draw.Sequence, draw.Identity = c.drawn, "server"
		answers, err := s.Draw(b.Context(), time.Now(), c.credential, draw)
		if err != nil {
			b.Fatal(err)
		}
		var charges [][]store.Charge
		for _, answer := range answers {
			charges = append(charges, []store.Charge{
				{Lease: answer.Leases[0].ID, Amount: money.FromNano(1000)}, {Lease: answer.Leases[1].ID, Amount: money.FromNano(1000)},
			})
		}
		all = append(all, charges)
	}
	return all
}

// settle reports b.N settlements in batches.
func (f *field) settle(b *testing.B, s *Store, size int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var calling sync.WaitGroup
	for i, c := range f.clients {
		calling.Go(func() {
			for n := 0; left.Add(-int64(size)) > -int64(size); n++ {
				records := make([]store.Record, size)
				for j := range records {
					records[j].Settlement = f.settlement(i, n*size+j)
				}
				got, err := s.Append(b.Context(), time.Now(), c.credential, c.applied+1, records)
				if err != nil {
					b.Error(err)
					return
				}
				c.applied = got.Applied
			}
		})
	}
	calling.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settlements/s")
}

func (f *field) settlement(proxy, n int) *store.Settlement {
	route, consumer := n*7%len(f.routes), n/len(f.routes)%len(f.consumers)
	return &store.Settlement{
		Route: f.routes[route], Consumer: f.consumers[consumer], OpenedAt: time.Now(), Amount: money.FromNano(1000),
		Charges: f.leases[proxy][route][consumer],
	}
}

// BenchmarkDraw measures how long a draw takes for one demand, of a proxy that has the books for itself.
func BenchmarkDraw(b *testing.B) {
	server := pgtest.Start(b, pgtest.Options{Durable: true})
	s := opened(b, Options{DSN: server.Database(b)})
	f := newField(b, s, 1, 1, 1)
	c := f.clients[0]
	demand := store.Demand{Route: f.routes[0], Consumer: f.consumers[0], Amount: money.FromNano(1)}
	for b.Loop() {
		c.drawn++
		draw := store.Draw{Sequence: c.drawn, Identity: "server", Demands: []store.Demand{demand}}
		if _, err := s.Draw(b.Context(), time.Now(), c.credential, draw); err != nil {
			b.Fatal(err)
		}
	}
}
