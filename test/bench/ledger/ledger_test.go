// Package ledger measures what a reservation and its settlement cost: in the store alone, and through the client over TLS.
//
//	go test -bench . ./test/bench/ledger
package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/internal/money"
)

const server = "server"

// callers are how many requests are in flight at a time.
var callers = []int{1, 16, 256}

// BenchmarkStore reserves and settles in the store, for a consumer of a route that both have a monthly budget which denies; on one
// route, so that every call changes the same accounts, and on 500 routes, which have 1000 accounts.
func BenchmarkStore(b *testing.B) {
	for _, routes := range []int{1, 500} {
		for _, inFlight := range callers {
			b.Run(fmt.Sprintf("routes=%d/callers=%d", routes, inFlight), func(b *testing.B) { benchmarkStore(b, routes, inFlight) })
		}
	}
}

func benchmarkStore(b *testing.B, routes, inFlight int) {
	var commits atomic.Int64
	books, err := sqlite.Open(b.Context(), sqlite.Options{Dir: b.TempDir(), Now: time.Now, OnCommit: func(int, time.Duration) { commits.Add(1) }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := books.Close(); err != nil {
			b.Error(err)
		}
	}()
	keys := make([]store.RouteKey, routes)
	for i := range keys {
		keys[i] = store.RouteKey{Namespace: "ai", Name: fmt.Sprintf("route-%d", i)}
		put := store.Route{Namespace: "ai", Name: keys[i].Name, Server: server, Consumers: []string{"alice"}, Budgets: []store.Budget{
			{Name: "route", Limit: money.FromNano(store.MaxLimit), Period: budget.Month, Enforcement: budget.Deny},
			{Consumer: "alice", Name: "own", Limit: money.FromNano(store.MaxLimit), Period: budget.Month, Enforcement: budget.Deny},
		}}
		if err := books.PutRoute(b.Context(), put); err != nil {
			b.Fatal(err)
		}
	}
	session := store.NewSession{ProxyID: "proxy", Instance: "pod", Routes: keys, Identity: server, Token: sha256.Sum256(nil)}
	epoch, err := books.OpenSession(b.Context(), time.Now(), session)
	if err != nil {
		b.Fatal(err)
	}
	credential := store.Credential{ProxyID: "proxy", Epoch: epoch, Token: session.Token}
	commits.Store(0)
	measure(b, inFlight, func(n int64) error {
		key := keys[int(n)%routes]
		demand := store.Demand{Sequence: n, Route: key, Consumer: "alice", Amount: money.FromNano(1000), Identity: server}
		if denial, err := books.Reserve(b.Context(), time.Now(), credential, demand); err != nil || denial != nil {
			return fmt.Errorf("reserving: denial %v, error %w", denial, err)
		}
		_, err := books.Settle(b.Context(), time.Now(), credential, []store.Settlement{
			{Epoch: epoch, Sequence: n, Amount: money.FromNano(600), Route: key, Consumer: "alice"},
		})
		return err
	})
	b.ReportMetric(float64(2*b.N)/float64(commits.Load()), "calls/commit")
}

// BenchmarkClient reserves and settles as a proxy does: over TLS, on loopback, with the ledger in the same process.
func BenchmarkClient(b *testing.B) {
	for _, inFlight := range callers {
		b.Run(fmt.Sprintf("callers=%d", inFlight), func(b *testing.B) {
			l := ledgertest.StartWith(b, ledgertest.Options{TLS: true})
			route := &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}
			l.PutRoute(&ledgerpb.PutRouteRequest{Route: route, Consumers: []string{"alice"}, Budgets: []*ledgerpb.Budget{
				monthly(""), monthly("alice"),
			}})
			proxy := l.NewClient("pod", client.Route{Namespace: "ai", Name: "chat"})
			demand := client.Demand{Namespace: "ai", Route: "chat", Consumer: "alice", Amount: money.FromNano(1000)}
			measure(b, inFlight, func(int64) error {
				hold, err := proxy.Reserve(b.Context(), demand)
				if err != nil {
					return err
				}
				return hold.Settle(b.Context(), money.FromNano(600), client.Exact)
			})
		})
	}
}

func monthly(consumer string) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref:          &ledgerpb.BudgetRef{Consumer: consumer, Name: "monthly"},
		LimitNanoUsd: store.MaxLimit,
		Period:       ledgerpb.Period_PERIOD_MONTH,
		Enforcement:  ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// measure runs the operation b.N times, numbered from 1, with so many in flight, and reports how long one takes for its caller.
func measure(b *testing.B, inFlight int, operation func(n int64) error) {
	latencies := make([]time.Duration, b.N)
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for range inFlight {
		running.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				began := time.Now()
				if err := operation(n); err != nil {
					b.Error(err)
					return
				}
				latencies[n-1] = time.Since(began)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	slices.Sort(latencies)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
	b.ReportMetric(float64(latencies[b.N/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[b.N*99/100].Microseconds()), "p99-µs")
}
