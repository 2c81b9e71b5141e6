package ledger

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	manyRoutes    = 1000
	manyConsumers = 100
)

// fill puts 100,000 accounts: a thousand routes of a hundred consumers with a budget each.
func fill(b *testing.B, books store.Store) {
	b.Helper()
	for r := range manyRoutes {
		put := store.Route{Namespace: "ai", Name: fmt.Sprintf("route-%04d", r), Server: server}
		for c := range manyConsumers {
			consumer := fmt.Sprintf("consumer-%03d", c)
			put.Consumers = append(put.Consumers, consumer)
			put.Budgets = append(put.Budgets, store.Budget{
				Consumer: consumer, Name: "monthly", Limit: money.FromNano(money.NanoPerUSD),
				Period: budget.Month, TimeZone: "Europe/Berlin", Enforcement: budget.Deny,
			})
		}
		if err := books.PutRoute(b.Context(), put); err != nil {
			b.Fatal(err)
		}
	}
}

func openIn(b *testing.B, dir string) *sqlite.Store {
	b.Helper()
	books, err := sqlite.Open(b.Context(), sqlite.Options{Dir: dir, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	return books
}

// BenchmarkHundredThousandAccounts reports what a ledger with so many accounts keeps in memory, and how long it takes to show the usage
// of all of them.
func BenchmarkHundredThousandAccounts(b *testing.B) {
	dir := b.TempDir()
	books := openIn(b, dir)
	fill(b, books)
	if err := books.Close(); err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	books = openIn(b, dir)
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		if _, err := books.Usage(b.Context(), time.Now(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	if err := books.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkColdStart times the opening of books with a million rows of history, integrity check included.
func BenchmarkColdStart(b *testing.B) {
	dir := b.TempDir()
	books := openIn(b, dir)
	fill(b, books)
	if err := books.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), `INSERT INTO history
		(scope_id, bucket, model, upstream, team, requests, prompt, cached, cache_write, completion, reasoning,
			settled, priced, estimated, uncertain)
		SELECT scopes.id, 900000 * n.value, 'mixtral-8x22b-instruct', 'openrouter', 'research', 1, 1000, 0, 0, 1000, 0, 1, 0, 0, 0
		FROM scopes,
		(WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 10) SELECT value FROM n) AS n`); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		books := openIn(b, dir)
		if err := books.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
