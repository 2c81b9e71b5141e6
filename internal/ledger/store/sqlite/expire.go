package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ExpireSilent implements store.Store.
func (s *Store) ExpireSilent(ctx context.Context, heardAfter time.Time) (store.Lapsed, error) {
	var total store.Lapsed
	for _, proxyID := range s.silent(heardAfter) {
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
func (s *Store) silent(heardAfter time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var silent []string
	for id, known := range s.proxies {
		if !known.expired && !known.lastHeard.After(heardAfter) {
			silent = append(silent, id)
		}
	}
	return silent
}

func (s *Store) expire(ctx context.Context, proxyID string, heardAfter time.Time) (amount money.Amount, lapsed bool, err error) {
	err = s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		if lapsed = s.markExpired(proxyID, heardAfter); !lapsed {
			return nil, nil // It was heard from in the meantime.
		}
		amount, err = t.lapse(proxyID)
		if err != nil {
			s.unmarkExpired(proxyID)
			return nil, fmt.Errorf("making what is out with a silent proxy uncertain: %w", err)
		}
		return nil, nil
	}})
	if err != nil {
		s.unmarkExpired(proxyID)
		return money.Amount{}, false, err // The call may still be at work on the outcome if only the context ended.
	}
	return amount, lapsed, nil
}

// lapse turns what is out with a proxy from leased into uncertain.
func (t *tx) lapse(proxyID string) (money.Amount, error) {
	known, err := t.state(proxyID)
	if err != nil || known == nil || known.silent {
		return money.Amount{}, err
	}
	leases, err := t.leasesOf(known.id)
	if err != nil {
		return money.Amount{}, err
	}
	amount := moneyOut(leases)
	return amount, t.setSilent(known, true)
}

// markExpired notes that the proxy's leases are uncertain now, unless it was heard from.
func (s *Store) markExpired(proxyID string, heardAfter time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[proxyID]
	if known == nil || known.lastHeard.After(heardAfter) {
		return false
	}
	known.expired = true
	return true
}

func (s *Store) unmarkExpired(proxyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.proxies[proxyID]; known != nil {
		known.expired = false
	}
}
