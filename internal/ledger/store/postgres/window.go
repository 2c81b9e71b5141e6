package postgres

import (
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// windowKey names a row of windows.
type windowKey struct {
	account int64
	start   int64
}

// windowRow is what a row of windows says.
type windowRow struct {
	spend          store.Spend
	refusing       bool
	contendedUntil int64
}

func (a *account) keyAt(t time.Time) windowKey {
	return windowKey{account: a.id, start: a.windowAt(t).Start.UnixMilli()}
}

const (
	sumHistory = `SELECT least(coalesce(sum(settled), 0), 2000000000000000000)::bigint,
		least(coalesce(sum(uncertain), 0), 2000000000000000000)::bigint FROM history
		WHERE scope_id = $1 AND bucket >= $2 AND bucket < $3 AND ($4::text = '' OR upstream = $4) AND ($5::text = '' OR upstream <> $5)`

	sumLeases = `SELECT least(coalesce(sum(CASE WHEN silent THEN 0 ELSE granted - taken END), 0), 2000000000000000000)::bigint,
		least(coalesce(sum(CASE WHEN silent THEN granted - taken ELSE 0 END), 0), 2000000000000000000)::bigint
		FROM leases JOIN proxies ON proxies.id = leases.proxy_id WHERE account_id = $1 AND granted_at >= $2 AND granted_at < $3`

	selectWindows = `SELECT account_id, start, settled, uncertain, leased, refusing, contended_until FROM windows `
)

// never is later than every time in the books.
const never = int64(1) << 62

// queueSum works out what the row of an account's window has to be, from the history since the window began, at the upstreams that the
// budget covers, and from the leases that were last added to in it. Of requests and tokens there is no history.
func queueSum(b *pgx.Batch, a *account, window budget.Window, into *store.Spend) {
	start, end := window.Start.UnixMilli(), never
	if !window.End.IsZero() {
		end = window.End.UnixMilli()
	}
	var settled, uncertain, leased, silent int64
	if a.budget.Unit == budget.USD {
		b.Queue(sumHistory, a.spender.id, bucketOf(start), end, a.budget.Upstream, a.budget.Except).QueryRow(func(row pgx.Row) error {
			return row.Scan(&settled, &uncertain)
		})
	}
	b.Queue(sumLeases, a.id, start, end).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&leased, &silent)
		*into = store.Spend{
			Settled:   money.FromNano(settled),
			Uncertain: money.FromNano(min(uncertain+silent, store.MaxSum)),
			Leased:    money.FromNano(leased),
		}
		return err
	})
}

// bucketOf returns the bucket of history that a time in milliseconds is in.
func bucketOf(milliseconds int64) int64 {
	return milliseconds - milliseconds%store.Bucket.Milliseconds()
}

// scanWindows returns what takes a row of selectWindows.
func scanWindows(into map[windowKey]*windowRow) func(scan func(into ...any) error) error {
	return func(scan func(into ...any) error) error {
		var key windowKey
		var settled, uncertain, leased int64
		row := &windowRow{}
		err := scan(&key.account, &key.start, &settled, &uncertain, &leased, &row.refusing, &row.contendedUntil)
		row.spend = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased)}
		into[key] = row
		return err
	}
}

// queueWindows reads the rows of all windows of accounts whose scopes were locked before it.
func (w *work) queueWindows(b *pgx.Batch, accounts []*account) {
	ids := make([]int64, 0, len(accounts))
	for _, a := range accounts {
		ids = append(ids, a.id)
	}
	b.Queue(selectWindows+`WHERE account_id = ANY ($1)`, ids).Query(each(scanWindows(w.windows)))
}

// ensureWindows makes sure that the windows of accounts at now have rows, and drops the rows of earlier ones: what they were can always
// be summed again. Nothing that the transaction changes may have been written before it.
func (w *work) ensureWindows(accounts []*account) error {
	missing := map[windowKey]*account{}
	for _, a := range accounts {
		if key := a.keyAt(w.now); w.windows[key] == nil {
			missing[key] = a
		}
	}
	if len(missing) == 0 {
		return nil
	}
	b := w.batch()
	sums := make(map[windowKey]*store.Spend, len(missing))
	for key, a := range missing {
		sums[key] = &store.Spend{}
		queueSum(b, a, a.windowAt(w.now), sums[key])
	}
	if err := w.send(b); err != nil {
		return fmt.Errorf("summing windows: %w", err)
	}
	return w.insertWindows(sums)
}

const (
	dropWindows = `DELETE FROM windows USING unnest($1::bigint[], $2::bigint[]) AS next (id, start)
		WHERE account_id = next.id AND windows.start < next.start`
	insertWindows = `INSERT INTO windows (account_id, start, settled, uncertain, leased)
		SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])`
)

func (w *work) insertWindows(sums map[windowKey]*store.Spend) error {
	ids, starts := make([]int64, 0, len(sums)), make([]int64, 0, len(sums))
	settled, uncertain, leased := make([]int64, 0, len(sums)), make([]int64, 0, len(sums)), make([]int64, 0, len(sums))
	opened := make(map[int64]int64, len(sums))
	for key, sum := range sums {
		ids, starts = append(ids, key.account), append(starts, key.start)
		settled, uncertain = append(settled, sum.Settled.Nano()), append(uncertain, sum.Uncertain.Nano())
		leased = append(leased, sum.Leased.Nano())
		w.windows[key] = &windowRow{spend: *sum}
		opened[key.account] = key.start
	}
	maps.DeleteFunc(w.windows, func(key windowKey, _ *windowRow) bool { return key.start < opened[key.account] })
	b := w.batch()
	b.Queue(dropWindows, ids, starts)
	b.Queue(insertWindows, ids, starts, settled, uncertain, leased)
	if err := w.send(b); err != nil {
		return fmt.Errorf("opening windows: %w", err)
	}
	return nil
}
