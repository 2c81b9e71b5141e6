package postgres

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// work is what a transaction does to the money that is out with one proxy, whose row it has locked. It is worked out in memory and then
// written with a few statements.
type work struct {
	*tx
	now  time.Time
	from *proxy
	// leases are those of the proxy that the transaction is about.
	leases map[int64]*lease
	// accounts are those of the leases, and of whoever else is concerned.
	accounts map[int64]*account
	// windows are the rows that are there, with what the transaction has changed.
	windows map[windowKey]*windowRow
	deltas  deltas
}

func (t *tx) work(now time.Time, from *proxy) *work {
	return &work{
		tx: t, now: now, from: from, leases: map[int64]*lease{}, accounts: map[int64]*account{}, windows: map[windowKey]*windowRow{},
		deltas: newDeltas(),
	}
}

// deltas collects what a transaction changes, so that a row that many records change is written once.
type deltas struct {
	scopes  map[int64]change
	members map[memberKey]change
	history map[historyKey]*store.Sums
	windows map[windowKey]change
	// leases are those whose rows no longer say what they are.
	leases map[int64]*lease
	// dropAll is true if the leases that the proxy had are all given back.
	dropAll bool
}

// change is what is added to a row; it may be negative.
type change struct {
	settled, uncertain, leased money.Amount
}

func (c change) plus(d change) change {
	return change{settled: c.settled.Add(d.settled), uncertain: c.uncertain.Add(d.uncertain), leased: c.leased.Add(d.leased)}
}

func newDeltas() deltas {
	return deltas{
		scopes: map[int64]change{}, members: map[memberKey]change{}, history: map[historyKey]*store.Sums{},
		windows: map[windowKey]change{}, leases: map[int64]*lease{},
	}
}

// changeWindow changes a window: its row in the database, and what is known of it here.
func (w *work) changeWindow(key windowKey, c change) {
	w.deltas.windows[key] = w.deltas.windows[key].plus(c)
	row := w.windows[key]
	if row == nil {
		return // A window without a row is summed when it is next needed.
	}
	row.spend.Settled = within(row.spend.Settled.Add(c.settled))
	row.spend.Uncertain = within(row.spend.Uncertain.Add(c.uncertain))
	row.spend.Leased = within(row.spend.Leased.Add(c.leased))
}

// within keeps a sum between nothing and where the books saturate.
func within(amount money.Amount) money.Amount {
	return money.FromNano(max(0, min(amount.Nano(), store.MaxSum)))
}

// bounded keeps a change so small that adding it to a sum of the books cannot overflow.
func bounded(amount money.Amount) int64 {
	return max(-store.MaxSum, min(amount.Nano(), store.MaxSum))
}

// Sums saturate at store.MaxSum.
const (
	updateScopes = `UPDATE scopes SET settled = greatest(0, least(scopes.settled + d.settled, 2000000000000000000)),
		uncertain = greatest(0, least(scopes.uncertain + d.uncertain, 2000000000000000000))
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (id, settled, uncertain) WHERE scopes.id = d.id`

	updateWindows = `UPDATE windows SET settled = greatest(0, least(windows.settled + d.settled, 2000000000000000000)),
		uncertain = greatest(0, least(windows.uncertain + d.uncertain, 2000000000000000000)),
		leased = greatest(0, least(windows.leased + d.leased, 2000000000000000000))
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS d (id, start, settled, uncertain, leased)
		WHERE account_id = d.id AND windows.start = d.start`

	updateTaken = `UPDATE leases SET taken = d.taken FROM unnest($1::bigint[], $2::bigint[]) AS d (id, taken) WHERE leases.id = d.id`
)

// flush queues the statements that write what was collected.
func (w *work) flush(b *pgx.Batch) {
	w.flushScopes(b)
	w.flushMembers(b)
	w.flushHistory(b)
	w.flushWindows(b)
	ids, taken := make([]int64, 0, len(w.deltas.leases)), make([]int64, 0, len(w.deltas.leases))
	for id, l := range w.deltas.leases {
		ids, taken = append(ids, id), append(taken, l.taken.Nano())
	}
	if len(ids) > 0 {
		b.Queue(updateTaken, ids, taken)
	}
	if w.deltas.dropAll {
		b.Queue(`DELETE FROM leases WHERE proxy_id = $1`, w.from.id)
	}
}

func (w *work) flushScopes(b *pgx.Batch) {
	var ids, settled, uncertain []int64
	for id, c := range w.deltas.scopes {
		if c != (change{}) {
			ids, settled, uncertain = append(ids, id), append(settled, bounded(c.settled)), append(uncertain, bounded(c.uncertain))
		}
	}
	if len(ids) > 0 {
		b.Queue(updateScopes, ids, settled, uncertain)
	}
}

func (w *work) flushWindows(b *pgx.Batch) {
	var ids, starts, settled, uncertain, leased []int64
	for key, c := range w.deltas.windows {
		if c != (change{}) {
			ids, starts = append(ids, key.account), append(starts, key.start)
			settled, uncertain = append(settled, bounded(c.settled)), append(uncertain, bounded(c.uncertain))
			leased = append(leased, bounded(c.leased))
		}
	}
	if len(ids) > 0 {
		b.Queue(updateWindows, ids, starts, settled, uncertain, leased)
	}
}

// lease is a row of leases.
type lease struct {
	id        int64
	account   int64
	start     int64
	granted   money.Amount
	taken     money.Amount
	grantedAt time.Time
	// made is true if the row is not written yet, grown if it was added to.
	made, grown bool
}

// out is what of the lease is not reported yet.
func (l *lease) out() money.Amount { return l.granted.Sub(l.taken) }

const selectLeases = `SELECT leases.id, account_id, start, granted, taken, granted_at FROM leases `

// scanLeases takes rows of selectLeases.
func (w *work) scanLeases(scan func(into ...any) error) error {
	l := &lease{}
	var granted, taken, grantedAt int64
	err := scan(&l.id, &l.account, &l.start, &granted, &taken, &grantedAt)
	l.granted, l.taken, l.grantedAt = money.FromNano(granted), money.FromNano(taken), time.UnixMilli(grantedAt).UTC()
	w.leases[l.id] = l
	return err
}

// count adds an amount to what the window that a lease counts in says is out, or takes it off: from what is uncertain if the proxy is
// silent. An account that is not there any more has no window.
func (w *work) count(l *lease, silent bool, amount money.Amount) {
	a := w.accounts[l.account]
	if a == nil || !a.active {
		return
	}
	c := change{leased: amount}
	if silent {
		c = change{uncertain: amount}
	}
	w.changeWindow(a.keyAt(l.grantedAt), c)
}

// take takes an amount off a lease, as far as there is so much of it.
func (w *work) take(l *lease, amount money.Amount) {
	if amount.Cmp(l.out()) > 0 {
		amount = l.out()
	}
	if amount.IsZero() || amount.IsNegative() {
		return
	}
	l.taken = l.taken.Add(amount)
	w.deltas.leases[l.id] = l
	w.count(l, w.from.silent, money.Amount{}.Sub(amount))
}

// releaseAll gives everything back that is out with the proxy. All of its leases must be known. They are gone then, so that a proxy that
// has forgotten them starts anew.
func (w *work) releaseAll() {
	for _, l := range w.leases {
		w.take(l, l.out())
	}
	clear(w.leases)
	clear(w.deltas.leases)
	w.deltas.dropAll = true
}

// out is all the money that is out with the proxy.
func (w *work) out() money.Amount {
	var sum money.Amount
	for _, l := range w.leases {
		if w.accounts[l.account].budget.Unit == budget.USD {
			sum = sum.Add(l.out())
		}
	}
	return sum
}

// findAccounts finds the accounts of the leases.
func (w *work) findAccounts() error {
	ids := map[int64]bool{}
	for _, l := range w.leases {
		ids[l.account] = true
	}
	var err error
	if w.accounts, err = w.accountsFor(ids); err != nil {
		return err
	}
	for id := range ids {
		if w.accounts[id] == nil {
			return fmt.Errorf("%w: a lease is on account %d, which is not there", errBooks, id)
		}
	}
	return nil
}

// concerned returns the scopes that are to be locked, and the routes that must not have changed, for the accounts that are known.
func (w *work) concerned() (scopes map[int64]bool, routes map[*route]bool) {
	scopes, routes = map[int64]bool{}, map[*route]bool{}
	for _, a := range w.accounts {
		scopes[a.spender.id], routes[a.route] = true, true
	}
	return scopes, routes
}

// wholeProxy reads everything that is out with the proxy and locks what that counts in.
func (w *work) wholeProxy() error {
	b := w.batch()
	b.Queue(selectLeases+`WHERE proxy_id = $1 AND granted > taken`, w.from.id).Query(each(w.scanLeases))
	if err := w.send(b); err != nil {
		return fmt.Errorf("reading what is out with a proxy: %w", err)
	}
	if err := w.findAccounts(); err != nil {
		return err
	}
	b = w.batch()
	scopes, routes := w.concerned()
	w.lock(b, scopes, routes)
	return w.send(b)
}

// setSilent moves everything that is out with the proxy from leased to uncertain, or back. It follows wholeProxy.
func (w *work) setSilent(silent bool) {
	for _, l := range w.leases {
		w.count(l, w.from.silent, money.Amount{}.Sub(l.out()))
		w.count(l, silent, l.out())
	}
	w.from.silent = silent
}
