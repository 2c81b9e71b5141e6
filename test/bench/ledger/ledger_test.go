// Package ledger measures the ledger: how many settlements it books and how fast it leases, in the store alone and over TLS, and what a
// hold costs at the client.
//
//	go test -bench . ./test/bench/ledger
package ledger

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// callers are how many requests are in flight at a time.
var callers = []int{1, 16, 256}

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
				return hold.Settle(client.Cost{Amount: money.FromNano(600), Certainty: client.Exact})
			})
		})
	}
}

func monthly(consumer string) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref:         &ledgerpb.BudgetRef{Consumer: consumer, Name: "monthly"},
		Limit:       store.MaxLimit,
		Period:      ledgerpb.Period_PERIOD_MONTH,
		Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// measure runs the operation b.N times, numbered from 1, with so many in flight, and reports how many there were in a second and how long
// one takes for its caller.
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
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(latencies[b.N/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[b.N*99/100].Microseconds()), "p99-µs")
}
