package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
)

var _ store.Operable = (*Store)(nil)

// reading is one consistent reading of the books. It locks nothing that a call would wait for.
type reading struct{ *tx }

// Rows implements inspect.Reading. Nothing is prepared: each query is run once, and some are long.
func (r reading) Rows(query string, take func(scan inspect.Scan) error, arguments ...any) error {
	rows, err := r.conn.Query(r.ctx, query, append([]any{pgx.QueryExecModeExec}, arguments...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return each(func(scan func(into ...any) error) error { return take(scan) })(rows)
}

// inspect runs do on one consistent reading of the books, from the beginning again if the connection is lost.
func (s *Store) inspect(ctx context.Context, what string, do func(reading) error) error {
	return s.transact(ctx, what, func(t *tx) error {
		b := &pgx.Batch{}
		b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		// Large books take their time. The caller's context bounds it.
		b.Queue("SET LOCAL statement_timeout = 0")
		t.begun = true
		if err := t.send(b); err != nil {
			return err
		}
		if err := do(reading{t}); err != nil {
			return err
		}
		return errUnchanged
	})
}

// Proxies implements store.Operable. The books know when a proxy was last heard, by whichever replica; one that has nothing and was taken
// for silent since is not shown, as there are ever more of them.
func (s *Store) Proxies(ctx context.Context) ([]store.ProxyAccount, error) {
	var all []store.ProxyAccount
	heard := map[string]time.Time{}
	err := s.inspect(ctx, "reading the proxies", func(r reading) (err error) {
		if all, err = inspect.Proxies(r); err != nil {
			return err
		}
		return r.Rows(`SELECT proxy_id, last_heard FROM proxies`, func(scan inspect.Scan) error {
			var proxyID string
			var at int64
			err := scan(&proxyID, &at)
			heard[proxyID] = time.UnixMilli(at).UTC()
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].LastHeard = heard[all[i].ProxyID]
	}
	return slices.DeleteFunc(all, func(p store.ProxyAccount) bool { return len(p.Out) == 0 && p.Silent && !p.Released }), nil
}

// Verify implements store.Operable.
func (s *Store) Verify(ctx context.Context, now time.Time) (store.Verdict, error) {
	var verdict store.Verdict
	err := s.inspect(ctx, "verifying the books", func(r reading) error {
		verdict = store.Verdict{}
		err := r.findOrphans(&verdict)
		if err == nil {
			err = inspect.Prove(r, now, &verdict)
		}
		if isDamaged(err) {
			verdict.Discrepancies = append(verdict.Discrepancies, store.Finding{
				About: "the database", Problem: "it is damaged, restore it from a backup: " + err.Error(),
			})
			return nil
		}
		return err
	})
	if err != nil {
		return store.Verdict{}, err
	}
	return verdict, nil
}

// isDamaged reports whether PostgreSQL could not read its own files.
func isDamaged(err error) bool {
	switch stateOf(err) {
	case "XX001", "XX002":
		return true
	}
	return false
}

// references are what the database does not look after itself, since that would cost every settlement a lock.
var references = []struct{ table, column, parent string }{
	{"history", "scope_id", "scopes"},
	{"members", "scope_id", "scopes"},
	{"members", "owner_id", "scopes"},
	{"windows", "account_id", "accounts"},
	{"leases", "account_id", "accounts"},
	{"leases", "proxy_id", "proxies"},
	{"proxy_routes", "proxy_id", "proxies"},
	{"proxy_routes", "route_id", "routes"},
	{"beats", "proxy_id", "proxies"},
}

// findOrphans expects everything that a row is of to be there.
func (r reading) findOrphans(verdict *store.Verdict) error {
	for _, one := range references {
		query := fmt.Sprintf(`SELECT %[2]s, count(*) FROM %[1]s WHERE NOT EXISTS (SELECT 1 FROM %[3]s WHERE %[3]s.id = %[1]s.%[2]s)
			GROUP BY %[2]s ORDER BY %[2]s`, one.table, one.column, one.parent)
		err := r.Rows(query, func(scan inspect.Scan) error {
			var id, rows int64
			err := scan(&id, &rows)
			verdict.Discrepancies = append(verdict.Discrepancies, store.Finding{
				About:   "the table " + one.table,
				Problem: fmt.Sprintf("%d rows are of the %s %d, which is not in the table %s", rows, one.column, id, one.parent),
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
