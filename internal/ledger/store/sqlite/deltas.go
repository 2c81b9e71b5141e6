package sqlite

import (
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// deltas collects what the calls of a group change, so that a row that many of them change is written once.
type deltas struct {
	scopes  map[int64]change
	history map[bucketKey]change
	windows map[windowKey]change
}

type bucketKey struct {
	scope  int64
	bucket int64
}

// change is what is added to a row; it may be negative.
type change struct {
	settled, uncertain, held money.Amount
}

func (c change) plus(d change) change {
	return change{settled: c.settled.Add(d.settled), uncertain: c.uncertain.Add(d.uncertain), held: c.held.Add(d.held)}
}

// book adds a change to everything that the two scopes of a hold count in, at the time at which the hold was opened.
func (t *tx) book(owner *route, spender *scope, openedAt time.Time, c change) {
	d := &t.deltas
	if d.scopes == nil {
		*d = deltas{scopes: map[int64]change{}, history: map[bucketKey]change{}, windows: map[windowKey]change{}}
	}
	bucket := bucketOf(openedAt.UnixMilli())
	payers := []*scope{owner.scopes[""], spender}
	if payers[0] == spender {
		payers = payers[:1]
	}
	for _, s := range payers {
		d.scopes[s.id] = d.scopes[s.id].plus(c)
		key := bucketKey{scope: s.id, bucket: bucket}
		d.history[key] = d.history[key].plus(c)
		for _, a := range s.accounts {
			key := windowKey{account: a.id, start: a.windowAt(openedAt).Start.UnixMilli()}
			d.windows[key] = d.windows[key].plus(c)
		}
	}
}

// Sums saturate at store.MaxSum.
const (
	plusSettled   = `settled = min(settled + ?, 2000000000000000000)`
	plusUncertain = `uncertain = max(0, min(uncertain + ?, 2000000000000000000))`

	updateScope  = `UPDATE scopes SET ` + plusSettled + `, ` + plusUncertain + ` WHERE id = ?`
	updateWindow = `UPDATE windows SET ` + plusSettled + `, ` + plusUncertain + `, held = held + ? WHERE account_id = ? AND start = ?`
	addHistory   = `INSERT INTO history (scope_id, bucket, settled, uncertain) VALUES (?1, ?2, ?3, max(0, ?4))
		ON CONFLICT (scope_id, bucket) DO UPDATE SET
		settled = min(settled + ?3, 2000000000000000000), uncertain = max(0, min(uncertain + ?4, 2000000000000000000))`
)

// flush writes what was collected.
func (t *tx) flush() error {
	for id, c := range t.deltas.scopes {
		if _, err := t.exec(updateScope, bounded(c.settled), bounded(c.uncertain), id); err != nil {
			return fmt.Errorf("booking on scope %d: %w", id, err)
		}
	}
	for key, c := range t.deltas.history {
		if c.settled.IsZero() && c.uncertain.IsZero() {
			continue
		}
		if _, err := t.exec(addHistory, key.scope, key.bucket, bounded(c.settled), bounded(c.uncertain)); err != nil {
			return fmt.Errorf("booking in the history of scope %d: %w", key.scope, err)
		}
	}
	for key, c := range t.deltas.windows {
		// A window without a row is summed from the history when it is next needed.
		if _, err := t.exec(updateWindow, bounded(c.settled), bounded(c.uncertain), c.held.Nano(), key.account, key.start); err != nil {
			return fmt.Errorf("booking in a window of account %d: %w", key.account, err)
		}
	}
	t.deltas = deltas{}
	return nil
}

// bounded keeps a change so small that adding it to a sum of the books cannot overflow.
func bounded(amount money.Amount) int64 {
	return max(-store.MaxSum, min(amount.Nano(), store.MaxSum))
}
