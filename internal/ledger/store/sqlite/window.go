package sqlite

import (
	"database/sql"
	"errors"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// windowKey names a row of windows.
type windowKey struct {
	account int64
	start   int64
}

// windowAt returns the account's window at t.
func (a *account) windowAt(t time.Time) budget.Window {
	within := !a.current.Start.IsZero() && !t.Before(a.current.Start) && (a.current.End.IsZero() || t.Before(a.current.End))
	if !within {
		a.current = a.calendar.WindowAt(t)
	}
	return a.current
}

// Sums are taken in two parts, whole and fraction, so that SQLite's own sum cannot overflow.
const (
	sumLeases = `SELECT coalesce(sum((granted - taken) / 1000000000), 0), coalesce(sum((granted - taken) % 1000000000), 0)
		FROM leases JOIN proxies ON proxies.id = leases.proxy_id WHERE account_id = ? AND silent = ? AND granted_at >= ? AND granted_at < ?`

	sumHistory = `SELECT coalesce(sum(settled / 1000000000), 0), coalesce(sum(settled % 1000000000), 0),
		coalesce(sum(uncertain / 1000000000), 0), coalesce(sum(uncertain % 1000000000), 0)
		FROM history WHERE scope_id = ?1 AND bucket >= ?2 AND bucket < ?3 AND (?4 = '' OR upstream = ?4) AND (?5 = '' OR upstream <> ?5)`
)

// never is later than every time in the books.
const never = int64(1) << 62

// sum puts the two parts of a sum together, and saturates where the books do.
func sum(whole, fraction int64) money.Amount {
	whole += fraction / money.NanoPerUSD
	if whole >= store.MaxSum/money.NanoPerUSD {
		return money.FromNano(store.MaxSum)
	}
	return money.FromNano(whole*money.NanoPerUSD + fraction%money.NanoPerUSD)
}

// sumWindow works out what the row of an account's window has to be, from the history since the window began, at the upstreams that the
// budget covers, and from the leases that were last added to in it. Of requests and tokens there is no history.
func (t *tx) sumWindow(spender *scope, a *account, window budget.Window) (store.Spend, error) {
	start, end := window.Start.UnixMilli(), never
	if !window.End.IsZero() {
		end = window.End.UnixMilli()
	}
	var whole, fraction, uncertainWhole, uncertainFraction int64
	if a.budget.Unit == budget.USD {
		err := t.row(sumHistory, []any{spender.id, bucketOf(start), end, a.budget.Upstream, a.budget.Except},
			&whole, &fraction, &uncertainWhole, &uncertainFraction)
		if err != nil {
			return store.Spend{}, err
		}
	}
	spend := store.Spend{Settled: sum(whole, fraction), Uncertain: sum(uncertainWhole, uncertainFraction)}
	if err := t.row(sumLeases, []any{a.id, 0, start, end}, &whole, &fraction); err != nil {
		return store.Spend{}, err
	}
	spend.Leased = sum(whole, fraction)
	if err := t.row(sumLeases, []any{a.id, 1, start, end}, &whole, &fraction); err != nil {
		return store.Spend{}, err
	}
	spend.Uncertain = saturated(spend.Uncertain.Add(sum(whole, fraction)))
	return spend, nil
}

func saturated(amount money.Amount) money.Amount {
	return money.FromNano(min(amount.Nano(), store.MaxSum))
}

// readWindow reads a window's row, which must be there.
func (t *tx) readWindow(key windowKey) (windowRow, error) {
	var settled, uncertain, leased int64
	var read windowRow
	err := t.row(`SELECT settled, uncertain, leased, refusing FROM windows WHERE account_id = ? AND start = ?`,
		[]any{key.account, key.start}, &settled, &uncertain, &leased, &read.refusing)
	read.spend = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased)}
	return read, err
}

// bucketOf returns the bucket of history that a time in milliseconds is in.
func bucketOf(milliseconds int64) int64 {
	return milliseconds - milliseconds%store.Bucket.Milliseconds()
}

// ensureWindow makes sure that the account's window at now has a row, and drops the rows of earlier ones: what they were can always
// be summed again.
func (t *tx) ensureWindow(spender *scope, a *account, now time.Time) (windowKey, error) {
	window := a.windowAt(now)
	key := windowKey{account: a.id, start: window.Start.UnixMilli()}
	if start, ok := t.present[key.account]; ok && start == key.start {
		return key, nil
	}
	var there int
	err := t.row(`SELECT 1 FROM windows WHERE account_id = ? AND start = ?`, []any{key.account, key.start}, &there)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.openWindow(spender, a, key, window)
	}
	if err != nil {
		return key, err
	}
	t.present[key.account] = key.start
	return key, nil
}

func (t *tx) openWindow(spender *scope, a *account, key windowKey, window budget.Window) error {
	if err := t.flush(); err != nil {
		return err
	}
	spend, err := t.sumWindow(spender, a, window)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM windows WHERE account_id = ? AND start < ?`, key.account, key.start); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO windows (account_id, start, settled, uncertain, leased) VALUES (?, ?, ?, ?, ?)`,
		key.account, key.start, spend.Settled.Nano(), spend.Uncertain.Nano(), spend.Leased.Nano())
	return err
}
