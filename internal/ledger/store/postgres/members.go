package postgres

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// member says that a consumer draws on a shared owner, or did.
type member struct {
	owner  store.RouteKey
	active bool
}

// memberKey names a row of members.
type memberKey struct{ owner, scope int64 }

// hasMembers reports whether a consumer draws on exactly those of the owners that are put for it, and takes these off the set.
func (s *scope) hasMembers(consumer string, put map[store.Member]bool) bool {
	for _, m := range s.members {
		key := store.Member{Consumer: consumer, Owner: m.owner.Owner()}
		if m.active != put[key] {
			return false
		}
		delete(put, key)
	}
	return true
}

// team returns the team on whose accounts a consumer draws, and those on which it drew once.
func (s *scope) team() (now string, former []string) {
	for _, m := range s.members {
		team, is := m.owner.Owner().Team()
		switch {
		case is && m.active:
			now = team
		case is:
			former = append(former, team)
		}
	}
	return now, former
}

const (
	selectMembers = `SELECT routes.namespace, routes.name, scopes.consumer, owners.namespace, owners.name, members.active,
		members.settled, members.uncertain
		FROM members JOIN scopes ON scopes.id = members.scope_id JOIN routes ON routes.id = scopes.route_id
		JOIN scopes AS own ON own.id = owner_id JOIN routes AS owners ON owners.id = own.route_id `
	membersOf = selectMembers + `WHERE routes.id = ANY ($1) ORDER BY owners.name, scopes.id`
)

// memberRow is a row of selectMembers.
type memberRow struct {
	owner store.RouteKey
	store.MemberSpend
}

func (m *memberRow) scan(scan func(into ...any) error) error {
	var settled, uncertain int64
	err := scan(&m.Route.Namespace, &m.Route.Name, &m.Consumer, &m.owner.Namespace, &m.owner.Name, &m.Active, &settled, &uncertain)
	m.Spend = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain)}
	return err
}

// loadMembers reads on which owners the consumers of routes draw.
func (t *tx) loadMembers(of map[store.RouteKey]*route) error {
	ids := make([]int64, 0, len(of))
	for key, one := range of {
		if key.Owner() == "" {
			ids = append(ids, one.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	b := t.batch()
	b.Queue(membersOf, ids).Query(each(func(scan func(into ...any) error) error {
		var row memberRow
		if err := row.scan(scan); err != nil {
			return err
		}
		if spender := of[row.Route].scopes[row.Consumer]; spender != nil {
			spender.members = append(spender.members, member{owner: row.owner, active: row.Active})
		}
		return nil
	}))
	return t.send(b)
}

// addOwners adds shared owners to the routes that were found.
func (t *tx) addOwners(found map[store.RouteKey]*route, owners map[store.RouteKey]bool) error {
	if len(owners) == 0 {
		return nil
	}
	known, err := t.routesFor(owners)
	if err != nil {
		return err
	}
	for key := range owners {
		if known[key] == nil {
			return fmt.Errorf("%w: there is a member of %s, which is not there", errBooks, key.Words())
		}
	}
	maps.Copy(found, known)
	return nil
}

// findOwners adds the owners that pay for settlements to the routes that were found.
func (w *work) findOwners(records []store.Record, routes map[store.RouteKey]*route) error {
	owners := map[store.RouteKey]bool{}
	for _, record := range records {
		if record.Settlement == nil || routes[record.Settlement.Route] == nil {
			continue
		}
		spender := routes[record.Settlement.Route].scopes[record.Settlement.Consumer]
		if spender == nil {
			continue
		}
		for _, m := range spender.members {
			if m.owner.Owner().Pays(record.Settlement.Team) {
				owners[m.owner] = true
			}
		}
	}
	return w.addOwners(routes, owners)
}

// payersOf returns the scopes that an attempt is booked on. The route pays alone for a consumer that it never had.
func payersOf(routes map[store.RouteKey]*route, one *store.Settlement) []*scope {
	owner := routes[one.Route]
	payers := []*scope{owner.scopes[""]}
	spender := owner.scopes[one.Consumer]
	if spender == nil || one.Consumer == "" {
		return payers
	}
	payers = append(payers, spender)
	for _, m := range spender.members {
		if m.owner.Owner().Pays(one.Team) {
			payers = append(payers, routes[m.owner].scopes[""])
		}
	}
	return payers
}

// queueSharers counts the proxies that serve any of the routes that share an owner in their current session and are not silent.
func (d *drawing) queueSharers(b *pgx.Batch, owners []int64) {
	if len(owners) == 0 {
		return
	}
	b.Queue(`SELECT own.route_id, count(DISTINCT proxies.id) FROM members JOIN scopes AS own ON own.id = owner_id
		JOIN scopes ON scopes.id = members.scope_id JOIN proxy_routes ON proxy_routes.route_id = scopes.route_id
		JOIN proxies ON proxies.id = proxy_routes.proxy_id AND proxies.epoch = proxy_routes.epoch
		WHERE NOT silent AND members.active AND own.route_id = ANY ($1) GROUP BY own.route_id`, owners).Query(
		each(func(scan func(into ...any) error) error {
			var id int64
			var count int
			err := scan(&id, &count)
			d.sharers[id] = count
			return err
		}))
}

// flushMembers queues the statement that books what consumers spent in the names of owners.
func (w *work) flushMembers(b *pgx.Batch) {
	var owners, scopes, settled, uncertain []int64
	for key, c := range w.deltas.members {
		if c != (change{}) {
			owners, scopes = append(owners, key.owner), append(scopes, key.scope)
			settled, uncertain = append(settled, bounded(c.settled)), append(uncertain, bounded(c.uncertain))
		}
	}
	if len(owners) > 0 {
		b.Queue(`UPDATE members SET settled = greatest(0, least(members.settled + d.settled, 2000000000000000000)),
			uncertain = greatest(0, least(members.uncertain + d.uncertain, 2000000000000000000))
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS d (owner_id, scope_id, settled, uncertain)
			WHERE members.owner_id = d.owner_id AND members.scope_id = d.scope_id`, owners, scopes, settled, uncertain)
	}
}

// PutShared implements store.Store. A call that changes nothing writes nothing. Every route that shares the owner has another version then,
// so that its proxies learn of it: who becomes a member meanwhile waits for the owner's scope, or is found here.
func (s *Store) PutShared(ctx context.Context, shared store.Shared) error {
	put := shared.Route()
	return s.put(ctx, put, func(t *tx, _ *route) error {
		id, err := t.putRoute(put)
		if err != nil {
			return err
		}
		b := t.batch()
		b.Queue(`SELECT id FROM routes WHERE id IN `+sharingRoutes+` ORDER BY id FOR UPDATE`, id)
		b.Queue(`UPDATE routes SET version = version + 1 WHERE id IN `+sharingRoutes, id)
		return t.send(b)
	})
}

const sharingRoutes = `(SELECT scopes.route_id FROM members JOIN scopes ON scopes.id = members.scope_id
	JOIN scopes AS own ON own.id = owner_id WHERE own.route_id = $1 AND members.active)`

// ownersPut returns the scopes of the owners that are named.
func (t *tx) ownersPut(members []store.Member) (map[budget.Owner]int64, error) {
	keys := map[store.RouteKey]bool{}
	for _, m := range members {
		keys[store.OwnerKey(m.Owner)] = true
	}
	known, err := t.routesFor(keys)
	if err != nil {
		return nil, err
	}
	owners := make(map[budget.Owner]int64, len(keys))
	for key := range keys {
		if known[key] == nil {
			return nil, refusal{fmt.Errorf("%w: %s", store.ErrUnknownOwner, key.Owner())}
		}
		owners[key.Owner()] = known[key].scopes[""].id
	}
	return owners, nil
}

// lockForPut locks the scopes of a route that is put, as far as there are any, and of the owners on which its consumers are to draw.
func (t *tx) lockForPut(known *route, owners map[budget.Owner]int64) error {
	scopes := map[int64]bool{}
	if known != nil {
		for _, one := range known.scopes {
			scopes[one.id] = true
		}
	}
	for _, id := range owners {
		scopes[id] = true
	}
	b := t.batch()
	t.lock(b, scopes, nil)
	return t.send(b)
}

// putMembers replaces the owners on which the consumers of a route draw.
func (t *tx) putMembers(route int64, members []store.Member, owners map[budget.Owner]int64) error {
	scopes, known := map[string]int64{}, map[memberKey]bool{}
	b := t.batch()
	b.Queue(`UPDATE members SET active = FALSE WHERE scope_id IN (SELECT id FROM scopes WHERE route_id = $1)`, route)
	b.Queue(`SELECT id, consumer FROM scopes WHERE route_id = $1`, route).Query(each(func(scan func(into ...any) error) error {
		var id int64
		var consumer string
		err := scan(&id, &consumer)
		scopes[consumer] = id
		return err
	}))
	b.Queue(`SELECT owner_id, scope_id FROM members JOIN scopes ON scopes.id = scope_id WHERE route_id = $1`, route).Query(
		each(func(scan func(into ...any) error) error {
			var key memberKey
			err := scan(&key.owner, &key.scope)
			known[key] = true
			return err
		}))
	if err := t.send(b); err != nil {
		return err
	}
	b = t.batch()
	for _, m := range members {
		key := memberKey{owner: owners[m.Owner], scope: scopes[m.Consumer]}
		if !known[key] {
			queueMember(b, key, m.Owner)
		}
		b.Queue(`UPDATE members SET active = TRUE WHERE owner_id = $1 AND scope_id = $2`, key.owner, key.scope)
	}
	return t.send(b)
}

// spentInName finds what of a consumer's history was spent in an owner's name.
const spentInName = ` FROM history WHERE scope_id = $2 AND ($3::boolean OR team = $4::text)`

const (
	insertMember = `INSERT INTO members (owner_id, scope_id, active, settled, uncertain)
		SELECT $1::bigint, $2::bigint, TRUE, least(coalesce(sum(settled), 0), 2000000000000000000)::bigint,
		least(coalesce(sum(uncertain), 0), 2000000000000000000)::bigint` + spentInName

	addMember = `UPDATE scopes SET settled = least(scopes.settled + members.settled, 2000000000000000000),
		uncertain = least(scopes.uncertain + members.uncertain, 2000000000000000000)
		FROM members WHERE scopes.id = $1 AND owner_id = $1 AND scope_id = $2`

	dropWindowsOfMoney = `DELETE FROM windows WHERE account_id IN (SELECT id FROM accounts WHERE scope_id = $1 AND unit = 0)`
)

var addSpentInName = `INSERT INTO history AS h (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
	SELECT $1::bigint, bucket, model, upstream, team, ` + historyColumns + spentInName + `
	ON CONFLICT (scope_id, bucket, model, upstream, team) DO UPDATE SET ` + historySums("excluded")

// queueMember makes a consumer a member of an owner for the first time: what it has spent in the owner's name until now is the owner's,
// too. The owner's windows of money are summed anew when they are next needed.
func queueMember(b *pgx.Batch, key memberKey, owner budget.Owner) {
	team, isTeam := owner.Team()
	arguments := []any{key.owner, key.scope, !isTeam, team}
	b.Queue(insertMember, arguments...)
	b.Queue(addMember, key.owner, key.scope)
	b.Queue(addSpentInName, arguments...)
	b.Queue(dropWindowsOfMoney, key.owner)
}
