package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// leaseLife is how long a lease of which nothing is left is kept after it was last added to. A proxy that draws again after that gets
	// another one.
	leaseLife = time.Hour

	// isOver finds what is of a rate limit's window that ended before a time.
	isOver = `start < (SELECT CASE WHEN unit <> 0 THEN ? - CAST(rtrim(period, 's') AS INTEGER) * 1000 END
		FROM accounts WHERE accounts.id = account_id)`
)

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, now, keepFrom time.Time) error {
	return s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		if err := t.flush(); err != nil {
			return nil, err
		}
		for _, table := range [...]string{"windows", "leases"} {
			if _, err := t.exec(`DELETE FROM `+table+` WHERE `+isOver, now.Add(-store.RateLife).UnixMilli()); err != nil {
				return nil, fmt.Errorf("forgetting the %s of rate limits: %w", table, err)
			}
		}
		if err := t.carryHistory(keepFrom); err != nil {
			return nil, err
		}
		return nil, t.dropLeases(`granted_at < ?`, now.Add(-leaseLife).UnixMilli())
	}})
}
