package postgres

import (
	"context"
	"errors"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
)

// UpstreamSpend implements store.Store.
func (s *Store) UpstreamSpend(ctx context.Context, route store.RouteKey) ([]store.UpstreamSpend, error) {
	var spends []store.UpstreamSpend
	err := s.inspect(ctx, "reading the spend by upstream", func(r reading) (err error) {
		spends, err = inspect.UpstreamSpend(r, route)
		if errors.Is(err, store.ErrUnknownRoute) {
			return refusal{err}
		}
		return err
	})
	return spends, err
}
