package sqlite

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// proxy is what is remembered of a proxy whose last session is not closed. The store's mutex guards it.
type proxy struct {
	current    *session
	ended      bool
	token      store.TokenHash
	instance   string
	configHash string
	// routes are those of the current session, ever those of all sessions.
	routes    []store.RouteKey
	ever      map[store.RouteKey]bool
	lastHeard time.Time
	// expired is true once the holds of a silent proxy have become uncertain, until it is heard again.
	expired bool
}

// session is a row of sessions. Only the writer's goroutine changes it after it was made, and only id and epoch are read elsewhere.
type session struct {
	id           int64
	epoch        int64
	settledBelow int64
	// forgottenBelow is how far the settled holds below settledBelow have been deleted.
	forgottenBelow int64
	closed         bool
}

// heard proves the session of a call, and notes that its proxy lives.
func (s *Store) heard(credential store.Credential, now time.Time) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[credential.ProxyID]
	if known == nil || known.ended || known.current.epoch != credential.Epoch ||
		subtle.ConstantTimeCompare(known.token[:], credential.Token[:]) != 1 {
		return nil, store.ErrUnknownSession
	}
	known.lastHeard, known.expired = now, false
	return known.current, nil
}

// everServed reports whether one of the proxy's sessions was for the route.
func (s *Store) everServed(proxyID string, key store.RouteKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[proxyID]
	return known != nil && known.ever[key]
}

// OpenSession implements store.Store.
func (s *Store) OpenSession(ctx context.Context, now time.Time, opening store.NewSession) (int64, error) {
	var opened *session
	var ever map[store.RouteKey]bool
	err := s.submit(&call{
		ctx:   ctx,
		alone: true,
		do: func(t *tx) (refused, err error) {
			if refused := t.mayServe(opening); refused != nil {
				return refused, nil
			}
			if opened, err = t.openSession(opening); err != nil {
				return nil, fmt.Errorf("opening a session: %w", err)
			}
			ever, err = t.routesOf(opening.ProxyID)
			return nil, err
		},
		committed: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.proxies[opening.ProxyID] = &proxy{
				current: opened, token: opening.Token, instance: opening.Instance, routes: opening.Routes, ever: ever, lastHeard: now,
			}
		},
	})
	if err != nil {
		return 0, err
	}
	return opened.epoch, nil
}

// mayServe checks that the caller is the server of every route of the session.
func (t *tx) mayServe(opening store.NewSession) error {
	for _, key := range opening.Routes {
		known := t.routes[key]
		switch {
		case known == nil:
			return fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, key.Namespace, key.Name)
		case known.server == "" || known.server != opening.Identity:
			return fmt.Errorf("%w %s/%s", store.ErrNotServer, key.Namespace, key.Name)
		}
	}
	return nil
}

func (t *tx) openSession(opening store.NewSession) (*session, error) {
	if _, err := t.exec(`UPDATE sessions SET token_hash = x'' WHERE proxy_id = ?`, opening.ProxyID); err != nil {
		return nil, err
	}
	made := &session{}
	err := t.row(`SELECT coalesce(max(epoch), 0) + 1 FROM sessions WHERE proxy_id = ?`, []any{opening.ProxyID}, &made.epoch)
	if err != nil {
		return nil, err
	}
	made.id, err = t.insert(`INSERT INTO sessions (proxy_id, epoch, token_hash, instance, config_hash) VALUES (?, ?, ?, ?, '')`,
		opening.ProxyID, made.epoch, opening.Token[:], opening.Instance)
	if err != nil {
		return nil, err
	}
	for _, key := range opening.Routes {
		if _, err := t.exec(`INSERT INTO session_routes (session_id, route_id) VALUES (?, ?) ON CONFLICT DO NOTHING`,
			made.id, t.routes[key].id); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func (t *tx) routesOf(proxyID string) (map[store.RouteKey]bool, error) {
	ever := map[store.RouteKey]bool{}
	err := t.rows(`SELECT DISTINCT namespace, name
		FROM sessions JOIN session_routes ON session_id = sessions.id JOIN routes ON routes.id = route_id WHERE proxy_id = ?`,
		[]any{proxyID}, func(rows *sql.Rows) error {
			var key store.RouteKey
			err := rows.Scan(&key.Namespace, &key.Name)
			ever[key] = true
			return err
		})
	return ever, err
}

// sessionOf returns the session of that epoch of the proxy whose session is given. One that is not known, as after a restore from a
// backup, is made as one that has ended.
func (t *tx) sessionOf(from *session, epoch int64) (*session, error) {
	if epoch == from.epoch {
		return from, nil
	}
	found := &session{epoch: epoch}
	err := t.row(`SELECT other.id, other.settled_below, other.closed FROM sessions AS mine JOIN sessions AS other USING (proxy_id)
		WHERE mine.id = ? AND other.epoch = ?`, []any{from.id, epoch}, &found.id, &found.settledBelow, &found.closed)
	if errors.Is(err, sql.ErrNoRows) {
		found.id, err = t.insert(`INSERT INTO sessions (proxy_id, epoch, token_hash, instance, config_hash)
			SELECT proxy_id, ?, x'', instance, '' FROM sessions WHERE id = ?`, epoch, from.id)
	}
	return found, err
}

// Heartbeat implements store.Store. It writes only what is news.
func (s *Store) Heartbeat(ctx context.Context, now time.Time, credential store.Credential, beat store.Beat) error {
	from, err := s.heard(credential, now)
	if err != nil {
		return err
	}
	var below int64
	return s.submit(&call{
		ctx: ctx,
		do: func(t *tx) (refused, err error) {
			below = max(from.settledBelow, beat.SettledBelow)
			if below == from.settledBelow && s.configHashOf(credential.ProxyID) == beat.ConfigHash {
				return nil, nil
			}
			_, err = t.exec(`UPDATE sessions SET config_hash = ?, settled_below = ? WHERE id = ?`, beat.ConfigHash, below, from.id)
			if err != nil {
				err = fmt.Errorf("noting a heartbeat: %w", err)
			}
			return nil, err
		},
		committed: func() {
			from.settledBelow = below
			s.mu.Lock()
			defer s.mu.Unlock()
			if known := s.proxies[credential.ProxyID]; known != nil && known.current == from {
				known.configHash = beat.ConfigHash
			}
		},
	})
}

func (s *Store) configHashOf(proxyID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.proxies[proxyID]; known != nil {
		return known.configHash
	}
	return ""
}

// loadSessions fills the memory of proxies before the writer runs. None of them counts as silent yet: while the ledger was away,
// nobody could be heard.
func (s *Store) loadSessions(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, `SELECT proxy_id, id, epoch, token_hash, instance, config_hash, settled_below FROM sessions
		WHERE closed = 0 ORDER BY epoch`)
	if err != nil {
		return err
	}
	err = scanAll(rows, func(rows *sql.Rows) error {
		var proxyID string
		var token []byte
		loaded := &proxy{current: &session{}, ever: map[store.RouteKey]bool{}, lastHeard: s.options.Now()}
		if err := rows.Scan(&proxyID, &loaded.current.id, &loaded.current.epoch, &token, &loaded.instance, &loaded.configHash,
			&loaded.current.settledBelow); err != nil {
			return err
		}
		loaded.ended = copy(loaded.token[:], token) != len(loaded.token)
		s.proxies[proxyID] = loaded
		return nil
	})
	if err != nil {
		return err
	}
	return s.loadSessionRoutes(ctx)
}

func (s *Store) loadSessionRoutes(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, `SELECT proxy_id, epoch, namespace, name FROM sessions
		JOIN session_routes ON session_id = sessions.id JOIN routes ON routes.id = route_id ORDER BY proxy_id, epoch, namespace, name`)
	if err != nil {
		return err
	}
	return scanAll(rows, func(rows *sql.Rows) error {
		var proxyID string
		var epoch int64
		var key store.RouteKey
		if err := rows.Scan(&proxyID, &epoch, &key.Namespace, &key.Name); err != nil {
			return err
		}
		if known := s.proxies[proxyID]; known != nil {
			known.ever[key] = true
			if known.current.epoch == epoch {
				known.routes = append(known.routes, key)
			}
		}
		return nil
	})
}
