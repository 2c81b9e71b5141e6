package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ExpireSilent implements store.Store.
func (s *Store) ExpireSilent(ctx context.Context, heardAfter time.Time) (int, error) {
	total := 0
	for _, proxyID := range s.silent(heardAfter) {
		count, err := s.expire(ctx, proxyID, heardAfter)
		if err != nil {
			return total, err
		}
		total += count
	}
	return total, nil
}

// silent returns the proxies that were not heard from after the instant and whose holds are not uncertain yet.
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

func (s *Store) expire(ctx context.Context, proxyID string, heardAfter time.Time) (int, error) {
	count := 0
	err := s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		if count = 0; !s.markExpired(proxyID, heardAfter) {
			return nil, nil // It was heard from in the meantime.
		}
		if count, err = t.lapse(proxyID); err != nil {
			s.unmarkExpired(proxyID)
			return nil, fmt.Errorf("making the holds of a silent proxy uncertain: %w", err)
		}
		return nil, nil
	}})
	if err != nil {
		s.unmarkExpired(proxyID)
		return 0, err // The call may still be at work on count if only the context ended.
	}
	return count, nil
}

// markExpired notes that the proxy's holds are uncertain now, unless it was heard from.
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

// lapse turns every open hold of the proxy, of whatever epoch, from held into uncertain.
func (t *tx) lapse(proxyID string) (int, error) {
	type key struct{ session, sequence int64 }
	holds := map[key]hold{}
	err := t.rows(`SELECT session_id, sequence, amount, opened_at, namespace, name, consumer
		FROM sessions JOIN holds ON session_id = sessions.id JOIN scopes ON scopes.id = consumer_scope JOIN routes ON routes.id = route_id
		WHERE proxy_id = ? AND state = 'Open'`, []any{proxyID},
		func(rows *sql.Rows) error {
			var k key
			var amount, openedAt int64
			var route store.RouteKey
			var consumer string
			if err := rows.Scan(&k.session, &k.sequence, &amount, &openedAt, &route.Namespace, &route.Name, &consumer); err != nil {
				return err
			}
			owner := t.routes[route]
			holds[k] = hold{
				owner: owner, spender: owner.scopes[consumer], amount: money.FromNano(amount), openedAt: time.UnixMilli(openedAt).UTC(),
			}
			return nil
		})
	if err != nil {
		return 0, err
	}
	for k, held := range holds {
		t.book(held.owner, held.spender, held.openedAt, change{uncertain: held.amount, held: money.Amount{}.Sub(held.amount)})
		if _, err := t.exec(`UPDATE holds SET state = 'Lapsed' WHERE session_id = ? AND sequence = ?`, k.session, k.sequence); err != nil {
			return 0, err
		}
	}
	return len(holds), nil
}
