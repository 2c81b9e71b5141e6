package postgres

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
)

// large are statements that make books of a thousand routes, each with so many consumers, all of whom spent for ten quarters of an hour,
// have a budget and were lent something.
var large = []string{
	`INSERT INTO routes (namespace, name, server, version) SELECT 'ai', 'route-' || n, 'server', 1 FROM generate_series(1, 1000) AS n`,
	`INSERT INTO scopes (route_id, consumer, active, settled)
		SELECT id, CASE n WHEN 0 THEN '' ELSE 'consumer-' || n END, TRUE, CASE n WHEN 0 THEN 10 * CONSUMERS ELSE 10 END
		FROM routes, generate_series(0, CONSUMERS) AS n`,
	`INSERT INTO history SELECT id, n * 900000, 'model', 'upstream', 1, 1, 0, 1, 0, settled / 10, 0, 0, 0
		FROM scopes, generate_series(1, 10) AS n`,
	`INSERT INTO accounts (scope_id, name, unit, active, ceiling, period, time_zone, enforcement)
		SELECT id, 'total', 0, TRUE, 1000000000000, 'Total', '', 'Deny' FROM scopes`,
	`INSERT INTO windows (account_id, start, settled, uncertain, leased)
		SELECT accounts.id, 0, settled, 0, 5 FROM accounts JOIN scopes ON scopes.id = scope_id`,
	`INSERT INTO proxies (proxy_id, instance, created_at, epoch, token_hash, last_heard)
		SELECT 'proxy-' || n, 'pod-' || n, 0, 1, sha256('token'), 0 FROM generate_series(1, 1000) AS n`,
	`INSERT INTO leases SELECT id, 1 + id % 1000, id, 0, 7, 2, 0 FROM accounts`,
	`ANALYZE`,
}

// BenchmarkVerify proves books of ten thousand and of a hundred thousand budgets, with ten times as many rows of history, and reports by
// how much the memory grew at most.
func BenchmarkVerify(b *testing.B) {
	for _, consumers := range []int{9, 99} {
		b.Run(fmt.Sprintf("budgets=%d", 1000*(1+consumers)), func(b *testing.B) {
			server := pgtest.Start(b, pgtest.Options{})
			dsn := server.Database(b)
			s := opened(b, Options{DSN: dsn})
			for _, statement := range large {
				server.Exec(b, dsn, strings.ReplaceAll(statement, "CONSUMERS", strconv.Itoa(consumers)))
			}
			stop, peak := make(chan struct{}), make(chan uint64)
			go func() { peak <- peakOfHeap(stop) }()
			for b.Loop() {
				verdict, err := s.Verify(b.Context(), time.Now())
				if err != nil || verdict.Windows != int64(1000*(1+consumers)) || len(verdict.Discrepancies) > 0 {
					b.Fatalf("Verify looked at %d windows and found %d discrepancies: %v", verdict.Windows, len(verdict.Discrepancies), err)
				}
			}
			close(stop)
			b.ReportMetric(float64(<-peak)/1e6, "peak-MB")
		})
	}
}

// peakOfHeap returns by how many bytes what is in use on the heap grows at most until it is stopped.
func peakOfHeap(stop <-chan struct{}) uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, most := stats.HeapAlloc, stats.HeapAlloc
	for ticker := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-stop:
			ticker.Stop()
			return most - before
		case <-ticker.C:
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
}
