package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// leaseLife is how long a lease of which nothing is left is kept after it was last added to. A proxy that draws again after that
	// gets another one.
	leaseLife = time.Hour

	// isOver finds what is of a rate limit's window that ended before $1.
	isOver = `start < (SELECT CASE WHEN unit <> 0 THEN $1 - rtrim(period, 's')::bigint * 1000 END
		FROM accounts WHERE accounts.id = account_id)`

	// isDone finds leases of which nothing is left since $2, and those of which nobody wants to know any more.
	isDone = `(granted = taken AND granted_at < $2 OR ` + isOver + `)`

	selectDone = `SELECT DISTINCT proxies.proxy_id FROM leases JOIN proxies ON proxies.id = leases.proxy_id WHERE ` + isDone
)

// Compact implements store.Store. It takes one proxy after the other, so that nobody waits for long.
func (s *Store) Compact(ctx context.Context, now, keepFrom time.Time) error {
	over, before := now.Add(-store.RateLife).UnixMilli(), now.Add(-leaseLife).UnixMilli()
	err := s.transact(ctx, "forgetting the windows of rate limits", func(t *tx) error {
		// No scope is locked: a window that is over and gone is no longer changed.
		b := t.batch()
		b.Queue(`DELETE FROM windows WHERE `+isOver, over)
		return t.commit(b)
	})
	if err != nil {
		return err
	}
	if err := s.carryHistory(ctx, keepFrom); err != nil {
		return err
	}
	proxies, err := s.doneWith(ctx, over, before)
	for _, proxyID := range proxies {
		if err != nil {
			break
		}
		err = s.transact(ctx, "forgetting leases", func(t *tx) error {
			from := &proxy{}
			b := t.batch()
			queueProxy(b, proxyID, from)
			if err := t.send(b); err != nil {
				return err
			}
			b = t.batch()
			b.Queue(`DELETE FROM leases WHERE proxy_id = $3 AND `+isDone, over, before, from.id)
			return t.commit(b)
		})
	}
	return err
}

// doneWith returns the proxies that have leases to be forgotten.
func (s *Store) doneWith(ctx context.Context, over, before int64) (proxies []string, err error) {
	err = s.transact(ctx, "looking for leases of which nothing is left", func(t *tx) error {
		b := t.batch()
		b.Queue(selectDone, over, before).Query(func(rows pgx.Rows) (err error) {
			proxies, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		if err := t.send(b); err != nil {
			return err
		}
		return errUnchanged
	})
	return proxies, err
}
