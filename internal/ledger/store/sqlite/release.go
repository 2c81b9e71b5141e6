package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ReleaseProxy implements store.Store.
func (s *Store) ReleaseProxy(ctx context.Context, now, heardAfter time.Time, release store.Release) (money.Amount, error) {
	var freed money.Amount
	err := s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		if s.isAlive(release.ProxyID, heardAfter) {
			return store.ErrStillAlive, nil
		}
		freed, refused, err = t.release(now, release)
		return refused, err
	}})
	if err != nil {
		return money.Amount{}, err // The call may still be at work on freed if only the context ended.
	}
	return freed, nil
}

func (s *Store) isAlive(proxyID string, heardAfter time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[proxyID]
	return known != nil && known.lastHeard.After(heardAfter)
}

func (t *tx) release(now time.Time, release store.Release) (freed money.Amount, refused, err error) {
	known, err := t.state(release.ProxyID)
	switch {
	case err != nil:
		return money.Amount{}, nil, err
	case known == nil:
		return money.Amount{}, store.ErrUnknownProxy, nil
	}
	leases, err := t.leasesOf(known.id)
	if err != nil {
		return money.Amount{}, nil, err
	}
	freed = moneyOut(leases)
	if err := t.releaseAll(known); err != nil {
		return money.Amount{}, nil, err
	}
	known.released = true
	if _, err := t.exec(`UPDATE proxies SET released = 1 WHERE id = ?`, known.id); err != nil {
		return money.Amount{}, nil, fmt.Errorf("releasing a proxy: %w", err)
	}
	_, err = t.exec(`INSERT INTO releases (proxy_id, by, reason, amount, at) VALUES (?, ?, ?, ?, ?)`,
		release.ProxyID, release.By, release.Reason, freed.Nano(), now.UnixMilli())
	if err != nil {
		return money.Amount{}, nil, fmt.Errorf("noting a release: %w", err)
	}
	return freed, nil, nil
}
