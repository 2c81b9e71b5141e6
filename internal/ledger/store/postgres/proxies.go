package postgres

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// hearing is how exactly it is known when a proxy was last heard, so that not every call writes it.
const hearing = time.Second

// proxy is a proxy's row. It is locked by the transaction that has read it.
type proxy struct {
	id        int64
	proxyID   string
	epoch     int64
	token     []byte
	applied   int64
	gaveBack  int64
	lastDraw  int64
	lastHeard int64
	silent    bool
	released  bool
}

const selectProxy = `SELECT id, proxy_id, epoch, token_hash, applied, gave_back, last_draw, last_heard, silent, released
	FROM proxies WHERE proxy_id = $1 FOR UPDATE`

// queueProxy locks and reads a proxy's row. If there is none, the id stays 0.
func queueProxy(b *pgx.Batch, proxyID string, into *proxy) {
	b.Queue(selectProxy, proxyID).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&into.id, &into.proxyID, &into.epoch, &into.token, &into.applied, &into.gaveBack, &into.lastDraw,
			&into.lastHeard, &into.silent, &into.released)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
}

// check proves the session of a call. A proxy that was silent has to be brought back first.
func (p *proxy) check(credential store.Credential) error {
	switch {
	case p.id == 0 || p.epoch != credential.Epoch || subtle.ConstantTimeCompare(p.token, credential.Token[:]) != 1:
		return refusal{store.ErrUnknownSession}
	case p.silent:
		return errSilent
	}
	return nil
}

// unheard reports whether it has to be written that the proxy was heard now. A clock that is turned back is believed.
func (p *proxy) unheard(now time.Time) bool {
	apart := now.UnixMilli() - p.lastHeard
	return apart >= hearing.Milliseconds() || apart <= -hearing.Milliseconds()
}

// queueHeard writes that the proxy was heard, and how far its log and its draws are.
func (w *work) queueHeard(b *pgx.Batch) {
	b.Queue(`UPDATE proxies SET last_heard = $2, applied = $3, gave_back = $4, last_draw = $5, silent = $6 WHERE id = $1`,
		w.from.id, w.now.UnixMilli(), w.from.applied, w.from.gaveBack, w.from.lastDraw, w.from.silent)
}

// heardOnly ends a transaction that changes nothing else.
func (w *work) heardOnly() error {
	if !w.from.unheard(w.now) {
		return errUnchanged
	}
	b := w.batch()
	w.queueHeard(b)
	return w.commit(b)
}

// asProxy runs do in a transaction for a call of a proxy, again if the proxy was silent until then.
func (s *Store) asProxy(ctx context.Context, now time.Time, credential store.Credential, what string, do func(*tx) error) error {
	for {
		err := s.transact(ctx, what, do)
		if err == nil || errors.Is(err, store.ErrReleased) || errors.Is(err, store.ErrLate) {
			s.noteHeard(credential.ProxyID)
		}
		if !errors.Is(err, errSilent) {
			return err
		}
		if err := s.wake(ctx, now, credential); err != nil {
			return err
		}
	}
}

// wake brings back a proxy that was silent: what is out with it counts as leased again.
func (s *Store) wake(ctx context.Context, now time.Time, credential store.Credential) error {
	return s.transact(ctx, "noting that a proxy is back", func(t *tx) error {
		from := &proxy{}
		b := t.batch()
		queueProxy(b, credential.ProxyID, from)
		if err := t.send(b); err != nil {
			return err
		}
		if err := from.check(credential); !errors.Is(err, errSilent) {
			if err == nil {
				return errUnchanged
			}
			return err
		}
		return t.comeBack(now, from)
	})
}

// comeBack makes what is uncertain because its proxy was silent leased again, and commits.
func (t *tx) comeBack(now time.Time, from *proxy) error {
	w := t.work(now, from)
	if from.silent {
		if err := w.wholeProxy(); err != nil {
			return err
		}
		w.setSilent(false)
	}
	b := w.batch()
	w.flush(b)
	w.queueHeard(b)
	return w.commit(b)
}

// OpenSession implements store.Store.
func (s *Store) OpenSession(ctx context.Context, now time.Time, opening store.NewSession) (store.Opened, error) {
	var opened store.Opened
	err := s.transact(ctx, "opening a session", func(t *tx) error {
		routes, leftOut, err := t.served(opening)
		if err != nil {
			return err
		}
		from, err := t.openSession(now, opening, routes)
		if err != nil {
			return err
		}
		opened = store.Opened{Epoch: from.epoch, Applied: from.applied, LeftOut: leftOut}
		return t.comeBack(now, from)
	})
	if err != nil {
		return store.Opened{}, err
	}
	s.noteHeard(opening.ProxyID)
	return opened, nil
}

// served are the ids of the routes of a session that the caller is the server of, and the routes that it is not. It is an error if there
// are none: the one of the first.
func (t *tx) served(opening store.NewSession) (routes []int64, leftOut []store.RouteKey, err error) {
	namespaces, names := make([]string, len(opening.Routes)), make([]string, len(opening.Routes))
	for i, key := range opening.Routes {
		namespaces[i], names[i] = key.Namespace, key.Name
	}
	ids, servers := map[store.RouteKey]int64{}, map[store.RouteKey]string{}
	b := t.batch()
	b.Queue(`SELECT namespace, name, id, server FROM routes JOIN unnest($1::text[], $2::text[]) AS wanted (n, r)
		ON namespace = n AND name = r`, namespaces, names).Query(each(func(scan func(into ...any) error) error {
		var key store.RouteKey
		var id int64
		var server string
		err := scan(&key.Namespace, &key.Name, &id, &server)
		ids[key], servers[key] = id, server
		return err
	}))
	if err := t.send(b); err != nil {
		return nil, nil, err
	}
	for _, key := range opening.Routes {
		var refused error
		switch {
		case ids[key] == 0:
			refused = refusal{fmt.Errorf("%w: %s/%s", store.ErrUnknownRoute, key.Namespace, key.Name)}
		case servers[key] == "" || servers[key] != opening.Identity:
			refused = refusal{fmt.Errorf("%w %s/%s", store.ErrNotServer, key.Namespace, key.Name)}
		default:
			routes = append(routes, ids[key])
			continue
		}
		leftOut, err = append(leftOut, key), cmp.Or(err, refused)
	}
	if len(routes) > 0 {
		err = nil
	}
	return routes, leftOut, err
}

const (
	openSession = `INSERT INTO proxies AS p (proxy_id, instance, created_at, epoch, token_hash, last_heard) VALUES ($1, $2, $3, 1, $4, $3)
		ON CONFLICT (proxy_id) DO UPDATE
		SET instance = excluded.instance, epoch = p.epoch + 1, token_hash = excluded.token_hash, last_draw = 0
		RETURNING id, epoch, applied, gave_back, last_heard, silent`

	putProxyRoutes = `INSERT INTO proxy_routes (proxy_id, route_id, epoch) SELECT DISTINCT $1::bigint, id, $2::bigint
		FROM unnest($3::bigint[]) AS served (id) ON CONFLICT (proxy_id, route_id) DO UPDATE SET epoch = excluded.epoch`

	putBeat = `INSERT INTO beats (proxy_id, config_hash, in_flight) VALUES ($1, $2, $3)
		ON CONFLICT (proxy_id) DO UPDATE SET config_hash = excluded.config_hash, in_flight = excluded.in_flight`
)

func (t *tx) openSession(now time.Time, opening store.NewSession, routes []int64) (*proxy, error) {
	opened := &proxy{proxyID: opening.ProxyID}
	err := t.row(openSession, []any{opening.ProxyID, opening.Instance, now.UnixMilli(), opening.Token[:]},
		&opened.id, &opened.epoch, &opened.applied, &opened.gaveBack, &opened.lastHeard, &opened.silent)
	if err != nil {
		return nil, err
	}
	b := t.batch()
	b.Queue(putProxyRoutes, opened.id, opened.epoch, routes)
	b.Queue(putBeat, opened.id, "", "")
	return opened, t.send(b)
}
