package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// compactChunk is how many settled holds are forgotten in one go, so that calls that wait behind it do not wait long.
const compactChunk = 1000

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, heardAfter time.Time) error {
	for _, live := range s.currentSessions() {
		if err := s.forget(ctx, live); err != nil {
			return err
		}
	}
	candidates, err := s.closable(ctx, heardAfter)
	if err != nil {
		return fmt.Errorf("looking for sessions to close: %w", failure(err))
	}
	for _, candidate := range candidates {
		if err := s.closeSession(ctx, candidate, heardAfter); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) currentSessions() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions := make([]*session, 0, len(s.proxies))
	for _, known := range s.proxies {
		sessions = append(sessions, known.current)
	}
	return sessions
}

const (
	forgetBelow = `DELETE FROM holds WHERE session_id = ?1 AND sequence IN (
		SELECT sequence FROM holds WHERE session_id = ?1 AND sequence < ?2 AND state = 'Settled' LIMIT ?3)`
	closeIfDone = `UPDATE sessions SET closed = 1, token_hash = x''
		WHERE id = ? AND NOT EXISTS (SELECT 1 FROM holds WHERE session_id = sessions.id)`
)

// forget deletes the settled holds that the proxy is done with, a chunk at a time.
func (s *Store) forget(ctx context.Context, in *session) error {
	for more := true; more; {
		err := s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
			if more = in.forgottenBelow < in.settledBelow; !more {
				return nil, nil
			}
			deleted, err := t.exec(forgetBelow, in.id, in.settledBelow, compactChunk)
			if err != nil {
				return nil, fmt.Errorf("forgetting settled holds: %w", err)
			}
			if more = deleted == compactChunk; !more {
				in.forgottenBelow = in.settledBelow
			}
			return nil, nil
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// candidate is a session that may be closed.
type candidate struct {
	id      int64
	proxyID string
}

// closable returns the sessions that have ended, or whose proxies are silent, and that have nothing open.
func (s *Store) closable(ctx context.Context, heardAfter time.Time) ([]candidate, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, proxy_id, token_hash = x'' FROM sessions WHERE closed = 0
		AND NOT EXISTS (SELECT 1 FROM holds WHERE session_id = sessions.id AND state <> 'Settled')`)
	if err != nil {
		return nil, err
	}
	var candidates []candidate
	err = scanAll(rows, func(rows *sql.Rows) error {
		var one candidate
		var ended bool
		err := rows.Scan(&one.id, &one.proxyID, &ended)
		if ended || s.isSilent(one, heardAfter) {
			candidates = append(candidates, one)
		}
		return err
	})
	return candidates, err
}

// isSilent reports whether the session is the current one of a proxy that was not heard from.
func (s *Store) isSilent(one candidate, heardAfter time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[one.proxyID]
	return known != nil && known.current.id == one.id && !known.lastHeard.After(heardAfter)
}

// end refuses the session from now on if it is the current one of its proxy. It reports false if the proxy was heard from after all.
func (s *Store) end(one candidate, heardAfter time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[one.proxyID]
	if known == nil || known.current.id != one.id {
		return true
	}
	if !known.ended && known.lastHeard.After(heardAfter) {
		return false
	}
	known.ended, known.current.closed = true, true
	return true
}

// closeSession forgets all of the session's holds, a chunk at a time, and then marks it as closed.
func (s *Store) closeSession(ctx context.Context, one candidate, heardAfter time.Time) error {
	for more := true; more; {
		err := s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
			if more = s.end(one, heardAfter); !more {
				return nil, nil
			}
			deleted, err := t.exec(forgetBelow, one.id, never, compactChunk)
			if err != nil {
				return nil, fmt.Errorf("closing a session: %w", err)
			}
			if more = deleted == compactChunk; !more {
				_, err = t.exec(closeIfDone, one.id)
			}
			return nil, err
		}})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.proxies[one.proxyID]; known != nil && known.current.id == one.id && known.ended {
		delete(s.proxies, one.proxyID)
	}
	return nil
}
