package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// Append implements store.Store.
func (s *Store) Append(
	ctx context.Context, now time.Time, credential store.Credential, first int64, records []store.Record,
) (store.Appended, error) {
	if err := s.heard(credential, now); err != nil {
		return store.Appended{}, err
	}
	var outcome store.Appended
	var gap bool
	err := s.submit(&call{ctx: ctx, rank: givesBack, do: func(t *tx) (refused, err error) {
		outcome, gap, refused, err = t.append(now, credential, first, records)
		if err != nil {
			err = fmt.Errorf("applying a proxy's records: %w", err)
		}
		return refused, err
	}})
	if err != nil {
		return store.Appended{}, err // The call may still be at work on outcome if only the context ended.
	}
	if gap {
		return outcome, store.ErrGap
	}
	if len(records) > 0 && records[len(records)-1].ReleaseAll {
		s.noteInFlight(credential, nil) // Nothing is under way there, and there may be no heartbeat any more to say so.
	}
	return outcome, nil
}

func (t *tx) append(
	now time.Time, credential store.Credential, first int64, records []store.Record,
) (outcome store.Appended, gap bool, refused, err error) {
	from, refused, err := t.proxyOf(credential)
	if refused != nil || err != nil {
		return store.Appended{}, false, refused, err
	}
	outcome.Applied = from.applied
	if first > from.applied+1 {
		return outcome, true, nil, nil
	}
	first = max(first, from.applied+1-int64(len(records))) // Before that, all of them are repeated.
	outcome.Repeated = int(from.applied + 1 - first)
	for _, record := range records[outcome.Repeated:] {
		if err := t.apply(now, from, record, &outcome); err != nil {
			return store.Appended{}, false, nil, err
		}
		from.applied++
	}
	if from.applied != outcome.Applied {
		outcome.Applied = from.applied
		t.deltas.logOf(from)
	}
	return outcome, false, nil, nil
}

// apply books one record.
func (t *tx) apply(now time.Time, from *state, record store.Record, outcome *store.Appended) error {
	switch {
	case record.Settlement != nil:
		if !from.ever[record.Settlement.Route] {
			outcome.Foreign++ // It must not keep the records behind it from being booked.
			return nil
		}
		return t.settle(now, from, record.Settlement)
	case record.Return != nil:
		_, err := t.charge(from, *record.Return)
		return err
	case record.ReleaseAll:
		from.gaveBack = from.applied + 1 // The number of this record.
		return t.releaseAll(from)
	}
	return nil
}

// settle books what an attempt cost, and takes it off the leases that it was held in.
func (t *tx) settle(now time.Time, from *state, one *store.Settlement) error {
	openedAt := one.OpenedAt
	// Nothing is older than the window of a budget without end.
	if openedAt.Before(time.Unix(0, 0)) || openedAt.After(now) {
		openedAt = now
	}
	for _, charge := range one.Charges {
		held, err := t.charge(from, charge)
		if err != nil {
			return err
		}
		openedAt = t.withinWindow(held, openedAt)
	}
	return t.book(now, t.payersOf(t.routes[one.Route], one), openedAt, one)
}

// withinWindow moves a time into the window that a lease counts in: a hold settles in the window in which it was opened, and the
// proxy's clock may be a little off.
func (t *tx) withinWindow(l *lease, at time.Time) time.Time {
	if l == nil {
		return at
	}
	in, active := t.accounts[l.account]
	if !active {
		return at
	}
	window := in.account.windowAt(l.grantedAt)
	if at.Before(window.Start) {
		at = window.Start
	}
	if !window.End.IsZero() && !at.Before(window.End) {
		at = window.End.Add(-time.Millisecond)
	}
	return at
}

// charge takes an amount off a lease of the proxy, which it returns. A lease that is not known is one that was lost with a restored backup,
// or released.
func (t *tx) charge(from *state, charge store.Charge) (*lease, error) {
	l, err := t.lease(charge.Lease)
	if err != nil || l == nil || l.proxy != from.id {
		return nil, err
	}
	t.take(l, from.silent, charge.Amount)
	return l, nil
}

// releaseAll gives everything back that is out with the proxy. The leases are gone, so that a proxy that has forgotten them starts anew.
func (t *tx) releaseAll(from *state) error {
	leases, err := t.leasesOf(from.id)
	if err != nil {
		return err
	}
	for _, l := range leases {
		t.take(l, from.silent, l.out())
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.dropLeases(`proxy_id = ?`, from.id)
}

// dropLeases deletes leases, of which nothing is out, and forgets them.
func (t *tx) dropLeases(which string, arguments ...any) error {
	if _, err := t.exec(`DELETE FROM leases WHERE granted = taken AND `+which, arguments...); err != nil {
		return fmt.Errorf("forgetting leases: %w", err)
	}
	clear(t.leases)
	clear(t.leaseIDs)
	return nil
}
