package sqlite

import (
	"context"
	"time"
)

// leaseLife is how long a lease of which nothing is left is kept after it was last added to. A proxy that draws again after that gets
// another one.
const leaseLife = time.Hour

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, now time.Time) error {
	return s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		if err := t.flush(); err != nil {
			return nil, err
		}
		return nil, t.dropLeases(`granted_at < ?`, now.Add(-leaseLife).UnixMilli())
	}})
}
