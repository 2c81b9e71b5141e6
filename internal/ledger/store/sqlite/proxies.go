package sqlite

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// proxy is what calls are checked against and what is shown of a proxy. The store's mutex guards it.
type proxy struct {
	id         int64
	epoch      int64
	token      store.TokenHash
	instance   string
	configHash string
	// routes are those of the current session.
	routes    []store.RouteKey
	inFlight  []store.InFlight
	lastHeard time.Time
	// presumed is true if lastHeard is only when the books were opened: nobody could be heard before.
	presumed bool
	// expired is true once a silent proxy's leases have become uncertain, until it is heard again.
	expired bool
}

// state is what the writer remembers of a proxy. It belongs to the writer's goroutine, and is read again after a failed transaction.
type state struct {
	id       int64
	epoch    int64
	applied  int64
	lastDraw int64
	// gaveBack is the number of the last record that gave everything back.
	gaveBack int64
	silent   bool
	released bool
	// ever are the routes that it ever had a session for or drew for.
	ever map[store.RouteKey]bool
}

// heard proves the session of a call, and notes that its proxy lives.
func (s *Store) heard(credential store.Credential, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[credential.ProxyID]
	if known == nil || known.epoch != credential.Epoch ||
		subtle.ConstantTimeCompare(known.token[:], credential.Token[:]) != 1 {
		return store.ErrUnknownSession
	}
	known.lastHeard, known.presumed, known.expired = now, false, false
	return nil
}

// proxyOf returns the proxy of a call as the writer knows it. A session that has ended meanwhile is refused; a proxy that was silent
// is so no more.
func (t *tx) proxyOf(credential store.Credential) (found *state, refused, err error) {
	found, err = t.state(credential.ProxyID)
	switch {
	case err != nil:
		return nil, nil, err
	case found == nil || found.epoch != credential.Epoch:
		return nil, store.ErrUnknownSession, nil
	case found.silent:
		return found, nil, t.setSilent(found, false)
	}
	return found, nil, nil
}

// state returns what is known of a proxy; nil if it never had a session.
func (t *tx) state(proxyID string) (*state, error) {
	if known := t.states[proxyID]; known != nil {
		return known, nil
	}
	read := &state{}
	err := t.row(`SELECT id, epoch, applied, gave_back, last_draw, silent, released FROM proxies WHERE proxy_id = ?`, []any{proxyID},
		&read.id, &read.epoch, &read.applied, &read.gaveBack, &read.lastDraw, &read.silent, &read.released)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading proxy %s: %w", proxyID, err)
	}
	if read.ever, err = t.routesOf(read.id); err != nil {
		return nil, fmt.Errorf("reading the routes of proxy %s: %w", proxyID, err)
	}
	t.states[proxyID] = read
	return read, nil
}

// noteServed remembers that a proxy draws for a route that it may serve and has no session for yet, so that what it spends is booked.
func (t *tx) noteServed(by *state, key store.RouteKey, routeID int64) error {
	if by.ever[key] {
		return nil
	}
	if _, err := t.exec(`INSERT INTO proxy_routes (proxy_id, route_id, epoch) VALUES (?, ?, 0)`, by.id, routeID); err != nil {
		return fmt.Errorf("noting a route of a proxy: %w", err)
	}
	by.ever[key] = true
	return nil
}

// OpenSession implements store.Store.
func (s *Store) OpenSession(ctx context.Context, now time.Time, opening store.NewSession) (store.Opened, error) {
	var opened store.Opened
	var id int64
	granted := opening
	err := s.submit(&call{
		ctx:   ctx,
		alone: true,
		do: func(t *tx) (refused, err error) {
			if granted.Routes, opened.LeftOut, refused = t.served(opening); refused != nil {
				return refused, nil
			}
			proxy, err := t.openSession(granted)
			if err != nil {
				return nil, fmt.Errorf("opening a session: %w", err)
			}
			opened.Epoch, opened.Applied, id = proxy.epoch, proxy.applied, proxy.id
			return nil, nil
		},
		committed: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.proxies[opening.ProxyID] = &proxy{
				id: id, epoch: opened.Epoch, token: opening.Token, instance: opening.Instance,
				routes: granted.Routes, lastHeard: now,
			}
		},
	})
	if err != nil {
		return store.Opened{}, err
	}
	return opened, nil
}

// served are the routes of a session that the caller is the server of, and those that it is not. It is an error if there are none: the one
// of the first.
func (t *tx) served(opening store.NewSession) (served, leftOut []store.RouteKey, err error) {
	for _, key := range opening.Routes {
		known := t.routes[key]
		var refused error
		switch {
		case known == nil:
			refused = fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, key.Namespace, key.Name)
		case known.server == "" || known.server != opening.Identity:
			refused = fmt.Errorf("%w %s/%s", store.ErrNotServer, key.Namespace, key.Name)
		default:
			served = append(served, key)
			continue
		}
		leftOut, err = append(leftOut, key), cmp.Or(err, refused)
	}
	if len(served) > 0 {
		err = nil
	}
	return served, leftOut, err
}

func (t *tx) openSession(opening store.NewSession) (*state, error) {
	if _, err := t.exec(`INSERT INTO proxies (proxy_id, instance, config_hash, epoch, token_hash) VALUES (?1, ?2, '', 1, ?3)
		ON CONFLICT (proxy_id) DO UPDATE SET
		instance = ?2, config_hash = '', epoch = epoch + 1, token_hash = ?3, last_draw = 0`,
		opening.ProxyID, opening.Instance, opening.Token[:]); err != nil {
		return nil, err
	}
	delete(t.states, opening.ProxyID)
	opened, err := t.state(opening.ProxyID)
	if err != nil {
		return nil, err
	}
	for _, key := range opening.Routes {
		if _, err := t.exec(`INSERT INTO proxy_routes (proxy_id, route_id, epoch) VALUES (?1, ?2, ?3)
			ON CONFLICT (proxy_id, route_id) DO UPDATE SET epoch = ?3`, opened.id, t.routes[key].id, opened.epoch); err != nil {
			return nil, err
		}
		opened.ever[key] = true
	}
	if opened.silent {
		err = t.setSilent(opened, false)
	}
	return opened, err
}

func (t *tx) routesOf(proxy int64) (map[store.RouteKey]bool, error) {
	ever := map[store.RouteKey]bool{}
	err := t.rows(`SELECT namespace, name FROM proxy_routes JOIN routes ON routes.id = route_id WHERE proxy_id = ?`, []any{proxy},
		func(rows *sql.Rows) error {
			var key store.RouteKey
			err := rows.Scan(&key.Namespace, &key.Name)
			ever[key] = true
			return err
		})
	return ever, err
}

// Heartbeat implements store.Store. It writes only what is news.
func (s *Store) Heartbeat(ctx context.Context, now time.Time, credential store.Credential, beat store.Beat) (store.Pulse, error) {
	if err := s.heard(credential, now); err != nil {
		return store.Pulse{}, err
	}
	known := s.noteInFlight(credential, beat.InFlight)
	var pulse store.Pulse
	err := s.submit(&call{
		ctx: ctx,
		do: func(t *tx) (refused, err error) {
			from, refused, err := t.proxyOf(credential)
			if refused != nil || err != nil {
				return refused, err
			}
			if known.configHash != beat.ConfigHash {
				if _, err := t.exec(`UPDATE proxies SET config_hash = ? WHERE id = ?`, beat.ConfigHash, from.id); err != nil {
					return nil, fmt.Errorf("noting a heartbeat: %w", err)
				}
			}
			pulse = store.Pulse{Versions: t.versions(known.routes)}
			pulse.Recall, err = t.recalled(now, from)
			return nil, err
		},
		committed: func() { s.noteConfig(credential, beat.ConfigHash) },
	})
	if err != nil {
		return store.Pulse{}, err // The call may still be at work on pulse if only the context ended.
	}
	return pulse, nil
}

func (t *tx) versions(routes []store.RouteKey) map[store.RouteKey]int64 {
	versions := make(map[store.RouteKey]int64, len(routes))
	for _, key := range routes {
		versions[key] = t.routes[key].version
	}
	return versions
}

// noteInFlight remembers what requests under way can cost, unless another session was opened meanwhile, and returns what is known of the
// proxy.
func (s *Store) noteInFlight(credential store.Credential, inFlight []store.InFlight) proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.proxies[credential.ProxyID]
	if known.epoch == credential.Epoch {
		known.inFlight = slices.Clone(inFlight)
	}
	return *known
}

func (s *Store) noteConfig(credential store.Credential, hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.proxies[credential.ProxyID]; known.epoch == credential.Epoch {
		known.configHash = hash
	}
}

// sharers counts the proxies that serve a route, or any of those that share an owner, and are not silent.
func (s *Store) sharers(key store.RouteKey) int {
	serves := func(route store.RouteKey) bool { return route == key }
	if key.Owner() != "" {
		serves = func(route store.RouteKey) bool { return s.sharing[key][route] }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for _, known := range s.proxies {
		if !known.expired && slices.ContainsFunc(known.routes, serves) {
			count++
		}
	}
	return max(count, 1)
}

// loadProxies fills the memory of proxies before the writer runs. None of them counts as silent yet: while the ledger was away,
// nobody could be heard.
func (s *Store) loadProxies(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, `SELECT proxy_id, id, epoch, token_hash, instance, config_hash, silent FROM proxies`)
	if err != nil {
		return err
	}
	err = scanAll(rows, func(rows *sql.Rows) error {
		var proxyID string
		var token []byte
		loaded := &proxy{lastHeard: s.options.Now(), presumed: true}
		if err := rows.Scan(&proxyID, &loaded.id, &loaded.epoch, &token, &loaded.instance, &loaded.configHash,
			&loaded.expired); err != nil {
			return err
		}
		if loaded.expired {
			loaded.lastHeard = time.Time{}
		}
		if copy(loaded.token[:], token) != len(loaded.token) {
			return fmt.Errorf("the token of proxy %s is damaged", proxyID)
		}
		s.proxies[proxyID] = loaded
		return nil
	})
	if err != nil {
		return err
	}
	return s.loadProxyRoutes(ctx)
}

func (s *Store) loadProxyRoutes(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, `SELECT proxies.proxy_id, proxy_routes.epoch, namespace, name FROM proxy_routes
		JOIN proxies ON proxies.id = proxy_routes.proxy_id JOIN routes ON routes.id = route_id ORDER BY proxies.id, namespace, name`)
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
		known := s.proxies[proxyID]
		if known.epoch == epoch {
			known.routes = append(known.routes, key)
		}
		return nil
	})
}

// heldNow sums up what requests under way can cost, as the proxies that live said last.
func (s *Store) heldNow(heardAfter time.Time) store.Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := store.Held{}
	for _, known := range s.proxies {
		if !known.lastHeard.After(heardAfter) {
			continue
		}
		for _, one := range known.inFlight {
			held.Add(one)
		}
	}
	return held
}
