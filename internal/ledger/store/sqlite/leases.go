package sqlite

import (
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store/lend"
	"github.com/modelroute/modelroute/internal/money"
)

// lease is a row of leases. It belongs to the writer's goroutine, and is read again after a failed transaction.
type lease struct {
	id        int64
	proxy     int64
	account   int64
	unit      budget.Unit
	start     int64
	granted   money.Amount
	taken     money.Amount
	grantedAt time.Time
}

// out is what of the lease is not reported yet.
func (l *lease) out() money.Amount { return l.granted.Sub(l.taken) }

// leaseKey names the lease that is added to.
type leaseKey struct{ proxy, account, start int64 }

const selectLease = `SELECT id, proxy_id, account_id, (SELECT unit FROM accounts WHERE accounts.id = account_id), start, granted, taken,
	granted_at FROM leases `

func (l *lease) scan(row func(into ...any) error) error {
	var granted, taken, grantedAt int64
	if err := row(&l.id, &l.proxy, &l.account, &l.unit, &l.start, &granted, &taken, &grantedAt); err != nil {
		return err
	}
	l.granted, l.taken, l.grantedAt = money.FromNano(granted), money.FromNano(taken), time.UnixMilli(grantedAt).UTC()
	return nil
}

// remember keeps a lease in the writer's memory.
func (t *tx) remember(l *lease) *lease {
	t.leases[l.id] = l
	t.leaseIDs[leaseKey{proxy: l.proxy, account: l.account, start: l.start}] = l.id
	return l
}

// lease returns a lease by its id; nil if there is none.
func (t *tx) lease(id int64) (*lease, error) {
	if known := t.leases[id]; known != nil {
		return known, nil
	}
	return t.readLease(selectLease+`WHERE id = ?`, id)
}

// leaseFor returns the lease that is added to when the proxy draws from the account in its current window; nil if there is none yet.
func (t *tx) leaseFor(key leaseKey) (*lease, error) {
	if id, known := t.leaseIDs[key]; known {
		return t.leases[id], nil
	}
	return t.readLease(selectLease+`WHERE proxy_id = ? AND account_id = ? AND start = ?`, key.proxy, key.account, key.start)
}

func (t *tx) readLease(query string, arguments ...any) (*lease, error) {
	// What of its row is not written yet is remembered, and then it is not read.
	read := &lease{}
	err := read.scan(func(into ...any) error { return t.row(query, arguments, into...) })
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading a lease: %w", err)
	}
	return t.remember(read), nil
}

// leasesOf returns the leases of a proxy of which something is out.
func (t *tx) leasesOf(proxy int64) ([]*lease, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	var found []*lease
	err := t.rows(selectLease+`WHERE proxy_id = ? AND granted > taken`, []any{proxy}, func(rows *sql.Rows) error {
		read := &lease{}
		if err := read.scan(rows.Scan); err != nil {
			return err
		}
		if known := t.leases[read.id]; known != nil {
			read = known
		}
		found = append(found, t.remember(read))
		return nil
	})
	return found, err
}

// moneyOut is how much money of leases is not reported yet.
func moneyOut(leases []*lease) (sum money.Amount) {
	for _, l := range leases {
		if l.unit == budget.USD {
			sum = sum.Add(l.out())
		}
	}
	return sum
}

// count adds an amount to what the window that a lease counts in says is out, or takes it off: from what is uncertain if the proxy is
// silent. An account that is not there any more has no window.
func (t *tx) count(l *lease, silent bool, amount money.Amount) {
	at, active := t.accounts[l.account]
	if !active {
		return
	}
	key := windowKey{account: l.account, start: at.account.windowAt(l.grantedAt).Start.UnixMilli()}
	c := change{leased: amount}
	if silent {
		c = change{uncertain: amount}
	}
	t.deltas.window(key, c)
}

// take takes an amount off a lease, as far as there is so much of it.
func (t *tx) take(l *lease, silent bool, amount money.Amount) {
	if amount.Cmp(l.out()) > 0 {
		amount = l.out()
	}
	if amount.IsZero() || amount.IsNegative() {
		return
	}
	l.taken = l.taken.Add(amount)
	t.deltas.lease(l)
	t.count(l, silent, money.Amount{}.Sub(amount))
}

// add leases an amount more. The window's row has it already, by the statement that keeps the invariant; a lease that counted in
// another window until now counts in this one.
func (t *tx) add(l *lease, silent bool, amount money.Amount, now time.Time) error {
	t.count(l, silent, money.Amount{}.Sub(l.out()))
	outBefore := l.out()
	l.granted, l.grantedAt = l.granted.Add(amount), now.Truncate(time.Millisecond).UTC()
	t.count(l, silent, outBefore)
	_, err := t.exec(`UPDATE leases SET granted = ?, granted_at = ? WHERE id = ?`, l.granted.Nano(), l.grantedAt.UnixMilli(), l.id)
	if err != nil {
		return fmt.Errorf("adding to a lease: %w", err)
	}
	return nil
}

// randomID returns an id that no other lease has or had, also among those that a backup knows nothing of.
func randomID() int64 {
	var random [8]byte
	rand.Read(random[:]) // It never fails: the process ends if there is no randomness.
	return int64(binary.LittleEndian.Uint64(random[:])>>1) | 1
}

func (t *tx) newLease(key leaseKey, unit budget.Unit, now time.Time) (*lease, error) {
	made := &lease{
		id: randomID(), proxy: key.proxy, account: key.account, unit: unit, start: key.start,
		grantedAt: now.Truncate(time.Millisecond).UTC(),
	}
	_, err := t.exec(`INSERT INTO leases (id, proxy_id, account_id, start, granted, taken, granted_at) VALUES (?, ?, ?, ?, 0, 0, ?)`,
		made.id, key.proxy, key.account, key.start, made.grantedAt.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("making a lease: %w", err)
	}
	return t.remember(made), nil
}

// setSilent moves everything that is out with a proxy from leased to uncertain, or back.
func (t *tx) setSilent(p *state, silent bool) error {
	leases, err := t.leasesOf(p.id)
	if err != nil {
		return err
	}
	for _, l := range leases {
		t.count(l, p.silent, money.Amount{}.Sub(l.out()))
		t.count(l, silent, l.out())
	}
	p.silent = silent
	if _, err := t.exec(`UPDATE proxies SET silent = ? WHERE id = ?`, silent, p.id); err != nil {
		return fmt.Errorf("noting that a proxy is silent, or is not: %w", err)
	}
	return nil
}

// recalled returns the leases of a proxy on accounts that others were lately refused money of.
func (t *tx) recalled(now time.Time, from *state) ([]int64, error) {
	var recall []int64
	for account := range t.contended {
		if !t.isContended(account, now) {
			delete(t.contended, account)
			continue
		}
		if err := t.flush(); err != nil {
			return nil, err
		}
		err := t.rows(`SELECT id FROM leases WHERE proxy_id = ? AND account_id = ? AND granted > taken`, []any{from.id, account},
			func(rows *sql.Rows) error {
				var id int64
				err := rows.Scan(&id)
				recall = append(recall, id)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("reading what is to be given back: %w", err)
		}
	}
	return recall, nil
}

// contend notes that somebody was refused money of an account that others have.
func (t *tx) contend(account int64, now time.Time) {
	t.contended[account] = now.Add(lend.ContentionTime)
}

// isContended reports whether somebody was refused lately.
func (t *tx) isContended(account int64, now time.Time) bool {
	until, noted := t.contended[account]
	// The clock may have been turned back since.
	return noted && !now.After(until) && until.Sub(now) <= lend.ContentionTime
}
