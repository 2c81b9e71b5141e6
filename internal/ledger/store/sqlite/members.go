package sqlite

import (
	"context"
	"database/sql"
	"fmt"

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

// PutShared implements store.Store. A call that changes nothing writes nothing. Every route that shares the owner has another version then,
// so that its proxies learn of it.
func (s *Store) PutShared(ctx context.Context, shared store.Shared) error {
	put, key := shared.Route(), store.OwnerKey(shared.Owner)
	var changed *route
	return s.submit(&call{
		ctx:   ctx,
		alone: true,
		do: func(t *tx) (error, error) {
			changed = nil
			if known := t.routes[key]; known != nil && known.matches(put) {
				return nil, nil
			}
			err := t.putRoute(put)
			if err == nil {
				_, err = t.exec(ageSharing, put.Name)
			}
			if err != nil {
				return nil, fmt.Errorf("putting %s: %w", key.Words(), err)
			}
			loaded, err := t.loadRoute(key)
			changed = loaded
			return nil, err
		},
		committed: func() {
			if changed == nil {
				return
			}
			s.replaceRoute(key, changed)
			for sharing := range s.sharing[key] {
				s.routes[sharing].version++
			}
		},
	})
}

// ageSharing gives the routes that share an owner another version.
const ageSharing = `UPDATE routes SET version = version + 1 WHERE id IN (SELECT scopes.route_id FROM members
	JOIN scopes ON scopes.id = members.scope_id JOIN scopes AS own ON own.id = owner_id JOIN routes AS owners ON owners.id = own.route_id
	WHERE owners.namespace = '' AND owners.name = ? AND members.active = 1)`

// knowsOwners checks that every owner was put.
func (t *tx) knowsOwners(members []store.Member) error {
	for _, m := range members {
		if t.routes[store.OwnerKey(m.Owner)] == nil {
			return fmt.Errorf("%w: %s", store.ErrUnknownOwner, m.Owner)
		}
	}
	return nil
}

const (
	// spentInName finds what of a consumer's history was spent in an owner's name.
	spentInName = ` FROM history WHERE scope_id = ?1 AND (?2 OR team = ?3)`

	sumSpentInName = `SELECT coalesce(sum(settled / 1000000000), 0), coalesce(sum(settled % 1000000000), 0),
		coalesce(sum(uncertain / 1000000000), 0), coalesce(sum(uncertain % 1000000000), 0)` + spentInName

	// addSpentInName takes row after row, so that no sum can overflow.
	addSpentInName = `INSERT INTO history (scope_id, bucket, model, upstream, team, ` + historyColumns + `)
		SELECT ?4, bucket, model, upstream, team, ` + historyColumns + spentInName + plusHistory + `,
		uncertain = min(uncertain + excluded.uncertain, 2000000000000000000)`
)

// putMembers replaces the owners on which the consumers of a route draw.
func (t *tx) putMembers(routeID int64, members []store.Member) error {
	_, err := t.exec(`UPDATE members SET active = 0 WHERE scope_id IN (SELECT id FROM scopes WHERE route_id = ?)`, routeID)
	if err != nil {
		return err
	}
	for _, m := range members {
		key := memberKey{owner: t.routes[store.OwnerKey(m.Owner)].scopes[""].id}
		if err := t.row(`SELECT id FROM scopes WHERE route_id = ? AND consumer = ?`, []any{routeID, m.Consumer}, &key.scope); err != nil {
			return fmt.Errorf("consumer %s: %w", m.Consumer, err)
		}
		known, err := t.exec(`UPDATE members SET active = 1 WHERE owner_id = ? AND scope_id = ?`, key.owner, key.scope)
		if err == nil && known == 0 {
			err = t.addMember(key, m.Owner)
		}
		if err != nil {
			return fmt.Errorf("consumer %s draws on %s: %w", m.Consumer, m.Owner, err)
		}
	}
	return nil
}

// addMember makes a consumer a member of an owner for the first time: what it has spent in the owner's name until now is the owner's, too.
// The owner's windows of money are summed anew when they are next needed.
func (t *tx) addMember(key memberKey, owner budget.Owner) error {
	team, isTeam := owner.Team()
	spent := []any{key.scope, !isTeam, team}
	var whole, fraction, uncertainWhole, uncertainFraction int64
	if err := t.row(sumSpentInName, spent, &whole, &fraction, &uncertainWhole, &uncertainFraction); err != nil {
		return err
	}
	settled, uncertain := sum(whole, fraction), sum(uncertainWhole, uncertainFraction)
	if _, err := t.exec(`INSERT INTO members (owner_id, scope_id, active, settled, uncertain) VALUES (?, ?, 1, ?, ?)`,
		key.owner, key.scope, settled.Nano(), uncertain.Nano()); err != nil {
		return err
	}
	if _, err := t.exec(updateScope, settled.Nano(), uncertain.Nano(), key.owner); err != nil {
		return err
	}
	added, err := t.exec(addSpentInName, append(spent, key.owner)...)
	if err != nil || added == 0 {
		return err
	}
	clear(t.present)
	_, err = t.exec(`DELETE FROM windows WHERE account_id IN (SELECT id FROM accounts WHERE scope_id = ? AND unit = 0)`, key.owner)
	return err
}

const (
	selectMembers = `SELECT routes.namespace, routes.name, scopes.consumer, owners.namespace, owners.name, members.active,
		members.settled, members.uncertain
		FROM members JOIN scopes ON scopes.id = members.scope_id JOIN routes ON routes.id = scopes.route_id
		JOIN scopes AS own ON own.id = owner_id JOIN routes AS owners ON owners.id = own.route_id `
	orderMembers = ` ORDER BY owners.name, routes.id, scopes.consumer`
)

// memberRow is a row of selectMembers.
type memberRow struct {
	owner store.RouteKey
	store.MemberSpend
}

func (m *memberRow) scan(rows *sql.Rows) error {
	var settled, uncertain int64
	err := rows.Scan(&m.Route.Namespace, &m.Route.Name, &m.Consumer, &m.owner.Namespace, &m.owner.Name, &m.Active, &settled, &uncertain)
	m.Spend = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain)}
	return err
}

// scanMembers returns what takes a row of selectMembers into the routes.
func scanMembers(routes map[store.RouteKey]*route) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var row memberRow
		if err := row.scan(rows); err != nil {
			return err
		}
		// The routes may be of a moment before the members'.
		if known := routes[row.Route]; known != nil && known.scopes[row.Consumer] != nil {
			spender := known.scopes[row.Consumer]
			spender.members = append(spender.members, member{owner: row.owner, active: row.Active})
		}
		return nil
	}
}

// linkOwners remembers on which owners the consumers of a route draw.
func (s *Store) linkOwners(key store.RouteKey, of *route) {
	for owner := range of.owners() {
		if s.sharing[owner] == nil {
			s.sharing[owner] = map[store.RouteKey]bool{}
		}
		s.sharing[owner][key] = true
	}
}

func (s *Store) unlinkOwners(key store.RouteKey, of *route) {
	for owner := range of.owners() {
		delete(s.sharing[owner], key)
	}
}

// owners are those on which the consumers of a route draw now.
func (r *route) owners() map[store.RouteKey]bool {
	found := map[store.RouteKey]bool{}
	for _, spender := range r.scopes {
		for _, m := range spender.members {
			if m.active {
				found[m.owner] = true
			}
		}
	}
	return found
}

// payersOf returns the scopes that an attempt is booked on. The route pays alone for a consumer that it never had.
func (t *tx) payersOf(owner *route, one *store.Settlement) []*scope {
	payers := []*scope{owner.scopes[""]}
	spender := owner.scopes[one.Consumer]
	if spender == nil || one.Consumer == "" {
		return payers
	}
	payers = append(payers, spender)
	for _, m := range spender.members {
		if m.owner.Owner().Pays(one.Team) {
			payers = append(payers, t.routes[m.owner].scopes[""])
		}
	}
	return payers
}
