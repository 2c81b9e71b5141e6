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

// querier reads: the writer's transaction, or a reader's.
type querier interface {
	row(query string, arguments []any, into ...any) error
}

// Sums are taken in two parts, whole and fraction, so that SQLite's own sum cannot overflow.
const (
	sumHeld = `SELECT coalesce(sum(amount / 1000000000), 0), coalesce(sum(amount % 1000000000), 0) FROM holds WHERE state = 'Open' AND `

	sumRouteHeld    = sumHeld + `route_scope = ? AND opened_at >= ? AND opened_at < ?`
	sumConsumerHeld = sumHeld + `route_scope = ? AND consumer_scope = ? AND opened_at >= ? AND opened_at < ?`

	sumHistory = `SELECT coalesce(sum(settled / 1000000000), 0), coalesce(sum(settled % 1000000000), 0),
		coalesce(sum(uncertain / 1000000000), 0), coalesce(sum(uncertain % 1000000000), 0)
		FROM history WHERE scope_id = ? AND bucket >= ? AND bucket < ?`
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

// sumWindow works out what a window's row has to be, from the history since it began and from the holds opened since then.
func sumWindow(q querier, owner *route, spender *scope, window budget.Window) (store.Spend, error) {
	start, end := window.Start.UnixMilli(), never
	if !window.End.IsZero() {
		end = window.End.UnixMilli()
	}
	var whole, fraction, uncertainWhole, uncertainFraction int64
	err := q.row(sumHistory, []any{spender.id, bucketOf(start), end}, &whole, &fraction, &uncertainWhole, &uncertainFraction)
	if err != nil {
		return store.Spend{}, err
	}
	spend := store.Spend{Settled: sum(whole, fraction), Uncertain: sum(uncertainWhole, uncertainFraction)}
	own := owner.scopes[""]
	if spender == own {
		err = q.row(sumRouteHeld, []any{own.id, start, end}, &whole, &fraction)
	} else {
		err = q.row(sumConsumerHeld, []any{own.id, spender.id, start, end}, &whole, &fraction)
	}
	spend.Held = sum(whole, fraction)
	return spend, err
}

// bucketOf returns the bucket of history that a time in milliseconds is in.
func bucketOf(milliseconds int64) int64 {
	return milliseconds - milliseconds%store.Bucket.Milliseconds()
}

// ensureWindow makes sure that the account's window at now has a row, and drops the rows of earlier ones: what they were can always
// be summed again.
func (t *tx) ensureWindow(owner *route, spender *scope, a *account, now time.Time) (windowKey, error) {
	window := a.windowAt(now)
	key := windowKey{account: a.id, start: window.Start.UnixMilli()}
	if start, ok := t.present[key.account]; ok && start == key.start {
		return key, nil
	}
	var there int
	err := t.row(`SELECT 1 FROM windows WHERE account_id = ? AND start = ?`, []any{key.account, key.start}, &there)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.openWindow(owner, spender, key, window)
	}
	if err != nil {
		return key, err
	}
	t.present[key.account] = key.start
	return key, nil
}

func (t *tx) openWindow(owner *route, spender *scope, key windowKey, window budget.Window) error {
	if err := t.flush(); err != nil {
		return err
	}
	spend, err := sumWindow(t, owner, spender, window)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM windows WHERE account_id = ? AND start < ?`, key.account, key.start); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO windows (account_id, start, settled, uncertain, held) VALUES (?, ?, ?, ?, ?)`,
		key.account, key.start, spend.Settled.Nano(), spend.Uncertain.Nano(), spend.Held.Nano())
	return err
}
