package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// leaseLife is how long a lease of which nothing is left is kept after it was last added to. A proxy that draws again after that
	// gets another one.
	leaseLife = time.Hour

	selectDone = `SELECT DISTINCT proxies.proxy_id FROM leases JOIN proxies ON proxies.id = leases.proxy_id
		WHERE granted = taken AND granted_at < $1`
)

// Compact implements store.Store. It takes one proxy after the other, so that nobody waits for long.
func (s *Store) Compact(ctx context.Context, now time.Time) error {
	before := now.Add(-leaseLife).UnixMilli()
	var proxies []string
	err := s.transact(ctx, "looking for leases of which nothing is left", func(t *tx) error {
		b := t.batch()
		b.Queue(selectDone, before).Query(func(rows pgx.Rows) (err error) {
			proxies, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		if err := t.send(b); err != nil {
			return err
		}
		return errUnchanged
	})
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
			b.Queue(`DELETE FROM leases WHERE proxy_id = $1 AND granted = taken AND granted_at < $2`, from.id, before)
			return t.commit(b)
		})
	}
	return err
}
