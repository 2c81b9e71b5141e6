package sqlite

import (
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// deltas collects what the calls of a group change, so that a row that many of them change is written once.
type deltas struct {
	scopes  map[int64]change
	members map[memberKey]change
	history map[historyKey]*store.Sums
	windows map[windowKey]change
	// leases and logs are those whose rows no longer say what the writer remembers.
	leases map[int64]*lease
	logs   map[int64]*state
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
		scopes: map[int64]change{}, members: map[memberKey]change{}, history: map[historyKey]*store.Sums{}, windows: map[windowKey]change{},
		leases: map[int64]*lease{}, logs: map[int64]*state{},
	}
}

func (d *deltas) window(key windowKey, c change) { d.windows[key] = d.windows[key].plus(c) }

func (d *deltas) lease(l *lease) { d.leases[l.id] = l }

func (d *deltas) logOf(p *state) { d.logs[p.id] = p }

// book adds what an attempt cost to everything that its payers (see payersOf) count in, at the time at which it was held. Every account
// that is spent from gets a row for its window at now, also where nothing is leased from it: to sum it anew whenever the usage is read
// takes too long.
func (t *tx) book(now time.Time, payers []*scope, openedAt time.Time, one *store.Settlement) error {
	d := &t.deltas
	bucket, sums := bucketOf(openedAt.UnixMilli()), one.Sums()
	for _, s := range payers {
		for _, a := range s.accounts {
			if !a.budget.Covers(one.Upstream) {
				continue
			}
			if _, err := t.ensureWindow(s, a, now); err != nil {
				return fmt.Errorf("opening a window of budget %s: %w", a.budget.Name, err)
			}
		}
	}
	cost := costOf(one, budget.USD)
	for i, s := range payers {
		if i > 1 { // The first two are the route and its consumer.
			key := memberKey{owner: s.id, scope: payers[1].id}
			d.members[key] = d.members[key].plus(cost)
		}
		d.scopes[s.id] = d.scopes[s.id].plus(cost)
		key := historyKey{scope: s.id, bucket: bucket, model: one.Model, upstream: one.Upstream, team: one.Team}
		store.AddTo(d.history, key, &sums)
		for _, a := range s.accounts {
			if !a.budget.Covers(one.Upstream) {
				continue
			}
			d.window(windowKey{account: a.id, start: a.windowAt(openedAt).Start.UnixMilli()}, costOf(one, a.budget.Unit))
		}
	}
	return nil
}

func costOf(one *store.Settlement, unit budget.Unit) (c change) {
	c.settled, c.uncertain = one.Cost(unit)
	return c
}

// Sums saturate at store.MaxSum.
const (
	plusSettled   = `settled = min(settled + ?, 2000000000000000000)`
	plusUncertain = `uncertain = max(0, min(uncertain + ?, 2000000000000000000))`
	plusLeased    = `leased = max(0, min(leased + ?, 2000000000000000000))`

	updateScope  = `UPDATE scopes SET ` + plusSettled + `, ` + plusUncertain + ` WHERE id = ?`
	updateMember = `UPDATE members SET ` + plusSettled + `, ` + plusUncertain + ` WHERE owner_id = ? AND scope_id = ?`
	updateWindow = `UPDATE windows SET ` + plusSettled + `, ` + plusUncertain + `, ` + plusLeased + ` WHERE account_id = ? AND start = ?`
)

// flush writes what was collected.
func (t *tx) flush() error {
	for id, c := range t.deltas.scopes {
		if c == (change{}) {
			continue
		}
		if _, err := t.exec(updateScope, bounded(c.settled), bounded(c.uncertain), id); err != nil {
			return fmt.Errorf("booking on scope %d: %w", id, err)
		}
	}
	if err := t.flushMembers(); err != nil {
		return err
	}
	for key, sums := range t.deltas.history {
		if err := t.addHistory(key, sums); err != nil {
			return fmt.Errorf("booking in the history of scope %d: %w", key.scope, err)
		}
	}
	for key, c := range t.deltas.windows {
		if c == (change{}) {
			continue
		}
		// A window without a row is summed from the history when it is next needed.
		if _, err := t.exec(updateWindow, bounded(c.settled), bounded(c.uncertain), bounded(c.leased), key.account, key.start); err != nil {
			return fmt.Errorf("booking in a window of account %d: %w", key.account, err)
		}
	}
	if err := t.flushProxies(); err != nil {
		return err
	}
	t.deltas.clear()
	return nil
}

// flushMembers writes what consumers spent in the names of owners.
func (t *tx) flushMembers() error {
	for key, c := range t.deltas.members {
		if c == (change{}) {
			continue
		}
		if _, err := t.exec(updateMember, bounded(c.settled), bounded(c.uncertain), key.owner, key.scope); err != nil {
			return fmt.Errorf("booking on a member of scope %d: %w", key.owner, err)
		}
	}
	return nil
}

// flushProxies writes what was taken off leases, and how far the logs are applied.
func (t *tx) flushProxies() error {
	for id, l := range t.deltas.leases {
		if _, err := t.exec(`UPDATE leases SET taken = ? WHERE id = ?`, l.taken.Nano(), id); err != nil {
			return fmt.Errorf("taking off lease %d: %w", id, err)
		}
	}
	for id, p := range t.deltas.logs {
		if _, err := t.exec(`UPDATE proxies SET applied = ?, gave_back = ? WHERE id = ?`, p.applied, p.gaveBack, id); err != nil {
			return fmt.Errorf("noting how far a log is applied: %w", err)
		}
	}
	return nil
}

func (d *deltas) clear() {
	clear(d.scopes)
	clear(d.members)
	clear(d.history)
	clear(d.windows)
	clear(d.leases)
	clear(d.logs)
}

// bounded keeps a change so small that adding it to a sum of the books cannot overflow.
func bounded(amount money.Amount) int64 {
	return max(-store.MaxSum, min(amount.Nano(), store.MaxSum))
}
