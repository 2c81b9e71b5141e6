package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ExpireSilent implements store.Store.
func (s *Store) ExpireSilent(ctx context.Context, heardAfter time.Time) (store.Lapsed, error) {
	var total store.Lapsed
	silent, err := s.silent(ctx, heardAfter)
	if err != nil {
		return total, err
	}
	for _, proxyID := range silent {
		amount, lapsed, err := s.expire(ctx, proxyID, heardAfter)
		if err != nil {
			return total, err
		}
		if lapsed {
			total.Proxies++
			total.Amount = total.Amount.Add(amount)
		}
	}
	return total, nil
}

// silent returns the proxies that were not heard from after the instant and whose leases are not uncertain yet.
func (s *Store) silent(ctx context.Context, heardAfter time.Time) ([]string, error) {
	var silent []string
	err := s.transact(ctx, "looking for silent proxies", func(t *tx) error {
		silent = nil
		b := t.batch()
		b.Queue(`SELECT proxy_id FROM proxies WHERE NOT silent AND last_heard <= $1 ORDER BY id`, heardAfter.UnixMilli()).Query(
			each(func(scan func(into ...any) error) error {
				var proxyID string
				err := scan(&proxyID)
				silent = append(silent, proxyID)
				return err
			}))
		if err := t.send(b); err != nil {
			return err
		}
		return errUnchanged
	})
	return slices.DeleteFunc(silent, func(proxyID string) bool { return s.unheardOf(proxyID, heardAfter) }), err
}

// noteAbsence notes that no proxy could be heard until now.
func (s *Store) noteAbsence() {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	s.since = s.options.Now().UnixMilli()
	clear(s.heard)
}

// noteHeard notes that a proxy was heard by this replica. From then on the database knows when it was last heard.
func (s *Store) noteHeard(proxyID string) {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	s.heard[proxyID] = true
}

// unheardOf reports whether it is not known that a proxy is silent since the instant, because this replica has not listened for so long.
func (s *Store) unheardOf(proxyID string, heardAfter time.Time) bool {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	return !s.heard[proxyID] && s.since > heardAfter.UnixMilli()
}

// lastHeard is when a proxy was last heard as far as this replica can tell, given what the database says.
func (s *Store) lastHeard(proxyID string, silent bool, milliseconds int64) time.Time {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	if !silent && !s.heard[proxyID] {
		milliseconds = max(milliseconds, s.since)
	}
	return time.UnixMilli(milliseconds).UTC()
}

func (s *Store) forgetHeard(proxyID string) {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	delete(s.heard, proxyID)
}

// expire turns what is out with a proxy from leased into uncertain, unless it was heard from in the meantime.
func (s *Store) expire(ctx context.Context, proxyID string, heardAfter time.Time) (amount money.Amount, lapsed bool, err error) {
	err = s.transact(ctx, "making what is out with a silent proxy uncertain", func(t *tx) error {
		amount, lapsed = money.Amount{}, false
		from := &proxy{}
		b := t.batch()
		queueProxy(b, proxyID, from)
		if err := t.send(b); err != nil {
			return err
		}
		if from.silent || from.lastHeard > heardAfter.UnixMilli() {
			return errUnchanged
		}
		w := t.work(time.UnixMilli(from.lastHeard), from)
		if err := w.wholeProxy(); err != nil {
			return err
		}
		amount, lapsed = w.out(), true
		w.setSilent(true)
		b = w.batch()
		w.flush(b)
		w.queueHeard(b)
		return w.commit(b)
	})
	if lapsed && err == nil {
		s.forgetHeard(proxyID)
	}
	return amount, lapsed, err
}
