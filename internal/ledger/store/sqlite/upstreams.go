package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
)

// UpstreamSpend implements store.Store.
func (s *Store) UpstreamSpend(ctx context.Context, route store.RouteKey) ([]store.UpstreamSpend, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("reading the spend by upstream: %w", failure(err))
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	spends, err := inspect.UpstreamSpend(&snapshot{ctx: ctx, tx: tx}, route)
	switch {
	case errors.Is(err, store.ErrUnknownRoute):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("reading the spend by upstream: %w", failure(err))
	}
	return spends, nil
}
