package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// PutRoute implements store.Store. A call that changes nothing writes nothing.
func (s *Store) PutRoute(ctx context.Context, put store.Route) error {
	return s.put(ctx, put, func(t *tx, known *route) error {
		owners, err := t.ownersPut(put.Members)
		if err != nil {
			return err
		}
		// All at once, in the order in which everybody locks scopes.
		if err := t.lockForPut(known, owners); err != nil {
			return err
		}
		id, err := t.putRoute(put)
		if err != nil {
			return err
		}
		return t.putMembers(id, put.Members, owners)
	})
}

// put replaces a route or a shared owner by what do writes, unless nothing would change.
func (s *Store) put(ctx context.Context, put store.Route, do func(t *tx, known *route) error) error {
	key := store.RouteKey{Namespace: put.Namespace, Name: put.Name}
	return s.transact(ctx, "putting "+key.Words(), func(t *tx) error {
		known, err := t.readRoute(key)
		if err != nil {
			return err
		}
		if known != nil && known.matches(put) {
			return errUnchanged
		}
		if err := do(t, known); err != nil {
			return err
		}
		if err := t.commit(t.batch()); err != nil {
			return err
		}
		if known != nil {
			s.forget(known)
		}
		return nil
	})
}

// readRoute reads a route as it is now; nil if it was never put.
func (t *tx) readRoute(key store.RouteKey) (*route, error) {
	loaded, err := t.load(`WHERE namespace = $1 AND routes.name = $2`, key.Namespace, key.Name)
	return loaded[key], err
}

// matches reports whether putting the route would change nothing.
func (r *route) matches(put store.Route) bool {
	active := map[string]bool{"": true}
	for _, consumer := range put.Consumers {
		active[consumer] = true
	}
	budgets := map[store.Budget]bool{}
	for _, b := range put.Budgets {
		budgets[b] = true
	}
	members := map[store.Member]bool{}
	for _, m := range put.Members {
		members[m] = true
	}
	accounts := 0
	for consumer, known := range r.scopes {
		if known.active != active[consumer] || !known.hasMembers(consumer, members) {
			return false
		}
		delete(active, consumer)
		for _, a := range known.accounts {
			if !budgets[a.budget] {
				return false
			}
			accounts++
		}
	}
	return len(active) == 0 && len(members) == 0 && accounts == len(budgets) && r.server == put.Server
}

const (
	putRoute = `INSERT INTO routes (namespace, name, server, version) VALUES ($1, $2, $3, 1)
		ON CONFLICT (namespace, name) DO UPDATE SET server = excluded.server, version = routes.version + 1 RETURNING id`

	lockScopesOfRoute = `SELECT id FROM scopes WHERE route_id = $1 ORDER BY id FOR UPDATE`

	putConsumers = `INSERT INTO scopes (route_id, consumer, active)
		SELECT DISTINCT $1::bigint, consumer, TRUE FROM unnest($2::text[]) AS put (consumer)
		ON CONFLICT (route_id, consumer) DO UPDATE SET active = TRUE`

	accountsOfRoute = `(SELECT accounts.id FROM accounts JOIN scopes ON scopes.id = scope_id WHERE route_id = $1)`

	budgetsPut = `unnest($2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
		AS put (consumer, name, unit, ceiling, period, time_zone, enforcement, upstream, except_upstream)`

	// Windows that now begin elsewhere or for which other upstreams count, and those of budgets that go, are summed when they are next
	// needed; those of a rate limit begin with nothing.
	dropMovedWindows = `DELETE FROM windows WHERE account_id IN (SELECT accounts.id FROM ` + budgetsPut + `
		JOIN scopes ON route_id = $1 AND scopes.consumer = put.consumer
		JOIN accounts ON scope_id = scopes.id AND accounts.name = put.name AND accounts.unit = put.unit AND accounts.upstream = put.upstream
		WHERE accounts.period <> put.period OR accounts.time_zone <> put.time_zone OR accounts.except_upstream <> put.except_upstream)`

	putBudgets = `INSERT INTO accounts
		(scope_id, name, unit, active, ceiling, period, time_zone, enforcement, upstream, except_upstream)
		SELECT scopes.id, put.name, put.unit, TRUE, put.ceiling, put.period, put.time_zone, put.enforcement, put.upstream,
		put.except_upstream FROM ` + budgetsPut + `
		JOIN scopes ON route_id = $1 AND scopes.consumer = put.consumer
		ON CONFLICT (scope_id, upstream, name, unit) DO UPDATE SET active = TRUE, ceiling = excluded.ceiling, period = excluded.period,
		time_zone = excluded.time_zone, enforcement = excluded.enforcement, except_upstream = excluded.except_upstream`

	dropGoneWindows = `DELETE FROM windows WHERE account_id IN (
		SELECT accounts.id FROM accounts JOIN scopes ON scopes.id = scope_id WHERE route_id = $1 AND NOT accounts.active)`
)

// putRoute writes a route and returns its id. Accounts stay, since money of them may be out.
func (t *tx) putRoute(put store.Route) (id int64, err error) {
	if err := t.row(putRoute, []any{put.Namespace, put.Name, put.Server}, &id); err != nil {
		return 0, err
	}
	var consumers, names, periods, zones, enforcements, upstreams, excepted []string
	var units []int16
	var limits []int64
	for _, b := range put.Budgets {
		consumers, names, limits = append(consumers, b.Consumer), append(names, b.Name), append(limits, b.Limit.Nano())
		periods, zones = append(periods, string(b.Period)), append(zones, b.TimeZone)
		enforcements, units = append(enforcements, string(b.Enforcement)), append(units, int16(b.Unit)) //nolint:gosec // There are three.
		upstreams, excepted = append(upstreams, b.Upstream), append(excepted, b.Except)
	}
	budgets := []any{id, consumers, names, units, limits, periods, zones, enforcements, upstreams, excepted}
	b := t.batch()
	b.Queue(lockScopesOfRoute, id)
	b.Queue(`UPDATE scopes SET active = FALSE WHERE route_id = $1`, id)
	b.Queue(putConsumers, id, append([]string{""}, put.Consumers...))
	b.Queue(`UPDATE accounts SET active = FALSE WHERE id IN `+accountsOfRoute, id)
	b.Queue(dropMovedWindows, budgets...)
	b.Queue(putBudgets, budgets...)
	b.Queue(dropGoneWindows, id)
	// An edit ends every refusal: who is still refused asks again.
	b.Queue(`UPDATE windows SET refusing = FALSE, contended_until = 0 WHERE (refusing OR contended_until > 0) AND account_id IN `+
		accountsOfRoute, id)
	return id, t.send(b)
}

const lockScopes = `SELECT id FROM scopes WHERE id = ANY ($1) ORDER BY id FOR UPDATE`

// lock locks scopes, and makes sure that the routes are still what they are taken for: whoever edits one locks its scopes too.
func (t *tx) lock(b *pgx.Batch, scopes map[int64]bool, routes map[*route]bool) {
	locked := slices.Sorted(maps.Keys(scopes))
	// Who waits for one scope mostly waits for all that another call has locked. Were it not for this first statement, it would then find
	// every one of them changed since the second one began, which PostgreSQL has to look at one by one.
	if len(locked) > 1 {
		b.Queue(lockScopes, locked[:1])
	}
	b.Queue(lockScopes, locked)
	ids := make([]int64, 0, len(routes))
	for one := range routes {
		ids = append(ids, one.id)
	}
	b.Queue(`SELECT id, version FROM routes WHERE id = ANY ($1)`, ids).Query(func(rows pgx.Rows) error {
		versions := map[int64]int64{}
		err := each(func(scan func(into ...any) error) error {
			var id, version int64
			err := scan(&id, &version)
			versions[id] = version
			return err
		})(rows)
		if err != nil {
			return err
		}
		for one := range routes {
			if versions[one.id] != one.version {
				t.forget(one)
				err = errStale
			}
		}
		return err
	})
}

func keysOf[K comparable](set map[K]bool) []K {
	keys := make([]K, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	return keys
}
