package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
)

var _ store.Operable = (*Store)(nil)

// Proxies implements store.Operable.
func (s *Store) Proxies(ctx context.Context) ([]store.ProxyAccount, error) {
	all, err := s.proxyAccounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the proxies: %w", failure(err))
	}
	for i := range all {
		all[i].LastHeard = s.lastHeard(all[i].ProxyID)
	}
	return slices.DeleteFunc(all, func(p store.ProxyAccount) bool {
		return len(p.Out) == 0 && p.LastHeard.IsZero() && !p.Released
	}), nil
}

func (s *Store) proxyAccounts(ctx context.Context) ([]store.ProxyAccount, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	return inspect.Proxies(&snapshot{ctx: ctx, tx: tx})
}

// lastHeard returns when the proxy was heard from; zero if it was not since the books were opened.
func (s *Store) lastHeard(proxyID string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[proxyID]
	if known == nil || known.presumed {
		return time.Time{}
	}
	return known.lastHeard
}
