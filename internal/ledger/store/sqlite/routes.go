package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// route is what the writer remembers of a route or a shared owner, so that a reservation need not read it.
type route struct {
	id      int64
	server  string
	version int64
	// scopes are by consumer; the empty one is the route's own, which is always there.
	scopes map[string]*scope
}

// scope is a route, a consumer or a shared owner, with its accounts sorted by name.
type scope struct {
	id       int64
	active   bool
	accounts []*account
	// members are a consumer's, sorted by owner.
	members []member
}

// account is a scope under one budget; those of upstreams are the route's.
type account struct {
	id       int64
	budget   store.Budget
	calendar budget.Calendar
	// current is the window that was used last; most calls are in it.
	current budget.Window
}

// place is where an account belongs.
type place struct {
	spender *scope
	account *account
}

// calendarKey names a calendar. Calendars are shared, since each holds the history of its time zone.
type calendarKey struct {
	period   budget.Period
	timeZone string
}

func (s *Store) calendar(period budget.Period, timeZone string) (budget.Calendar, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := calendarKey{period: period, timeZone: timeZone}
	if known, ok := s.calendars[key]; ok {
		return known, nil
	}
	made, err := budget.NewCalendar(period, timeZone)
	if err != nil {
		return budget.Calendar{}, err
	}
	s.calendars[key] = made
	return made, nil
}

// PutRoute implements store.Store. A call that changes nothing writes nothing.
func (s *Store) PutRoute(ctx context.Context, put store.Route) error {
	var changed *route
	return s.submit(&call{
		ctx:   ctx,
		alone: true,
		do: func(t *tx) (error, error) {
			changed = nil
			if known := t.routes[routeKey(put)]; known != nil && known.matches(put) {
				return nil, nil
			}
			if refused := t.knowsOwners(put.Members); refused != nil {
				return refused, nil
			}
			if err := t.putRoute(put); err != nil {
				return nil, fmt.Errorf("putting %s: %w", routeKey(put).Words(), err)
			}
			loaded, err := t.loadRoute(routeKey(put))
			changed = loaded
			return nil, err
		},
		committed: func() {
			if changed != nil {
				s.replaceRoute(routeKey(put), changed)
			}
		},
	})
}

// replaceRoute takes up a route as it is now.
func (s *Store) replaceRoute(key store.RouteKey, changed *route) {
	if old := s.routes[key]; old != nil {
		s.unlinkOwners(key, old)
		for _, known := range old.scopes {
			for _, a := range known.accounts {
				delete(s.accounts, a.id)
				delete(s.contended, a.id) // Who is still refused asks again.
			}
		}
	}
	s.routes[key] = changed
	s.placeAccounts(changed)
	s.linkOwners(key, changed)
}

// placeAccounts remembers the accounts of a route by their ids.
func (s *Store) placeAccounts(of *route) {
	for _, known := range of.scopes {
		for _, a := range known.accounts {
			s.accounts[a.id] = place{spender: known, account: a}
		}
	}
}

func routeKey(put store.Route) store.RouteKey {
	return store.RouteKey{Namespace: put.Namespace, Name: put.Name}
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

func (t *tx) putRoute(put store.Route) error {
	if _, err := t.exec(`INSERT INTO routes (namespace, name, server, version) VALUES (?, ?, ?, 1)
		ON CONFLICT (namespace, name) DO UPDATE SET server = excluded.server, version = version + 1`,
		put.Namespace, put.Name, put.Server); err != nil {
		return err
	}
	var routeID int64
	if err := t.row(`SELECT id FROM routes WHERE namespace = ? AND name = ?`, []any{put.Namespace, put.Name}, &routeID); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE scopes SET active = 0 WHERE route_id = ?`, routeID); err != nil {
		return err
	}
	for _, consumer := range append([]string{""}, put.Consumers...) {
		if _, err := t.exec(`INSERT INTO scopes (route_id, consumer, active) VALUES (?, ?, 1)
			ON CONFLICT (route_id, consumer) DO UPDATE SET active = 1`, routeID, consumer); err != nil {
			return err
		}
	}
	if err := t.putMembers(routeID, put.Members); err != nil {
		return err
	}
	return t.putBudgets(routeID, put.Budgets)
}

const putBudget = `INSERT INTO accounts
	(scope_id, name, active, ceiling, period, time_zone, enforcement, unit, upstream, except_upstream)
	SELECT id, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM scopes WHERE route_id = ?1 AND consumer = ?2
	ON CONFLICT (scope_id, upstream, name, unit) DO UPDATE SET active = 1, ceiling = excluded.ceiling, period = excluded.period,
	time_zone = excluded.time_zone, enforcement = excluded.enforcement, except_upstream = excluded.except_upstream`

// putBudgets drops the windows of every account that goes, whose windows now begin elsewhere, or for which other upstreams count now. They
// are summed when they are next needed; those of a rate limit begin with nothing. Accounts stay, since money of them may be out.
func (t *tx) putBudgets(routeID int64, budgets []store.Budget) error {
	clear(t.present)
	const ofRoute = `SELECT accounts.id FROM accounts JOIN scopes ON scopes.id = scope_id WHERE route_id = ?1`
	if _, err := t.exec(`UPDATE accounts SET active = 0 WHERE id IN (`+ofRoute+`)`, routeID); err != nil {
		return err
	}
	for _, b := range budgets {
		if _, err := t.exec(`DELETE FROM windows WHERE account_id IN (
			`+ofRoute+` AND consumer = ?2 AND name = ?3 AND unit = ?4 AND upstream = ?5
			AND (period <> ?6 OR time_zone <> ?7 OR except_upstream <> ?8))`,
			routeID, b.Consumer, b.Name, int(b.Unit), b.Upstream, string(b.Period), b.TimeZone, b.Except); err != nil {
			return err
		}
		if _, err := t.exec(putBudget, routeID, b.Consumer, b.Name, b.Limit.Nano(), string(b.Period), b.TimeZone, string(b.Enforcement),
			int(b.Unit), b.Upstream, b.Except); err != nil {
			return err
		}
	}
	if _, err := t.exec(`DELETE FROM windows WHERE account_id IN (`+ofRoute+` AND accounts.active = 0)`, routeID); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE windows SET refusing = 0 WHERE account_id IN (`+ofRoute+`)`, routeID)
	return err
}

const selectAccounts = `SELECT namespace, routes.name, server, version, routes.id, scopes.id, consumer, scopes.active,
	coalesce(accounts.id, 0), coalesce(accounts.name, ''), coalesce(ceiling, 0),
	coalesce(unit, 0), coalesce(period, ''), coalesce(time_zone, ''), coalesce(enforcement, ''),
	coalesce(upstream, ''), coalesce(except_upstream, '')
	FROM routes JOIN scopes ON route_id = routes.id LEFT JOIN accounts ON scope_id = scopes.id AND accounts.active = 1 `

// loadRoutes fills the writer's memory before it runs.
func (s *Store) loadRoutes(ctx context.Context) error {
	rows, err := s.read.QueryContext(ctx, selectAccounts)
	if err != nil {
		return err
	}
	if err := scanAll(rows, s.scanInto(s.routes)); err != nil {
		return err
	}
	sortAccounts(s.routes)
	if rows, err = s.read.QueryContext(ctx, selectMembers+orderMembers); err != nil {
		return err
	}
	if err := scanAll(rows, scanMembers(s.routes)); err != nil {
		return err
	}
	for key, known := range s.routes {
		s.placeAccounts(known)
		s.linkOwners(key, known)
	}
	return nil
}

func (t *tx) loadRoute(key store.RouteKey) (*route, error) {
	found := map[store.RouteKey]*route{}
	err := t.rows(selectAccounts+`WHERE namespace = ? AND routes.name = ?`, []any{key.Namespace, key.Name}, t.scanInto(found))
	sortAccounts(found)
	if err == nil {
		err = t.rows(selectMembers+`WHERE routes.namespace = ? AND routes.name = ? `+orderMembers, []any{key.Namespace, key.Name},
			scanMembers(found))
	}
	return found[key], err
}

// scanInto returns what takes a row of selectAccounts into the routes.
func (s *Store) scanInto(routes map[store.RouteKey]*route) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var key store.RouteKey
		var server string
		var version, routeID, scopeID, limit int64
		var active bool
		var a account
		if err := rows.Scan(&key.Namespace, &key.Name, &server, &version, &routeID, &scopeID, &a.budget.Consumer, &active,
			&a.id, &a.budget.Name, &limit, &a.budget.Unit, &a.budget.Period, &a.budget.TimeZone, &a.budget.Enforcement,
			&a.budget.Upstream, &a.budget.Except); err != nil {
			return err
		}
		known := routes[key]
		if known == nil {
			known = &route{id: routeID, server: server, version: version, scopes: map[string]*scope{}}
			routes[key] = known
		}
		owner := known.scopes[a.budget.Consumer]
		if owner == nil {
			owner = &scope{id: scopeID, active: active}
			known.scopes[a.budget.Consumer] = owner
		}
		if a.id == 0 {
			return nil
		}
		a.budget.Limit, a.budget.Owner = money.FromNano(limit), key.Owner()
		var err error
		if a.calendar, err = s.calendar(a.budget.Period, a.budget.TimeZone); err != nil {
			return fmt.Errorf("budget %s of %s: %w", a.budget.Name, key.Words(), err)
		}
		owner.accounts = append(owner.accounts, &a)
		return nil
	}
}

func sortAccounts(routes map[store.RouteKey]*route) {
	for _, known := range routes {
		for _, owner := range known.scopes {
			slices.SortFunc(owner.accounts, func(a, b *account) int { return store.CompareBudgets(a.budget, b.budget) })
		}
	}
}
