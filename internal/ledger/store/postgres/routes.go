package postgres

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// route is what is remembered of a route or a shared owner at one version. It does not change: another version is another route. Whoever
// uses it checks, once the rows that it is about are locked, that its version is still the one in the database.
type route struct {
	id      int64
	key     store.RouteKey
	server  string
	version int64
	// scopes are by consumer; the empty one is the route's own, which is always there.
	scopes map[string]*scope
	// accounts are all that it ever had.
	accounts []*account
}

// scope is a route, a consumer or a shared owner.
type scope struct {
	id     int64
	active bool
	route  *route
	// accounts are those that are active, sorted by name.
	accounts []*account
	// members are a consumer's, sorted by owner.
	members []member
}

// account is a scope under one budget; those of upstreams are the route's.
type account struct {
	id       int64
	active   bool
	route    *route
	spender  *scope
	budget   store.Budget
	calendar budget.Calendar
	// current is the window that was used last; most calls are in it.
	current atomic.Pointer[budget.Window]
}

// windowAt returns the account's window at t.
func (a *account) windowAt(t time.Time) budget.Window {
	if w := a.current.Load(); w != nil && !t.Before(w.Start) && (w.End.IsZero() || t.Before(w.End)) {
		return *w
	}
	w := a.calendar.WindowAt(t)
	a.current.Store(&w)
	return w
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
		return budget.Calendar{}, fmt.Errorf("%w: %w", errBooks, err)
	}
	s.calendars[key] = made
	return made, nil
}

// remember keeps routes for the transactions that come.
func (s *Store) remember(routes map[store.RouteKey]*route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, loaded := range routes {
		if known := s.routes[key]; known != nil && known.version > loaded.version {
			continue // Another transaction has read it since.
		}
		s.routes[key] = loaded
		for _, a := range loaded.accounts {
			s.accounts[a.id] = a
		}
	}
}

// forget forgets a route, which is read again when it is next needed.
func (s *Store) forget(old *route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.routes[old.key] == old {
		delete(s.routes, old.key)
	}
	for _, a := range old.accounts {
		if s.accounts[a.id] == a {
			delete(s.accounts, a.id)
		}
	}
}

// routesFor returns the routes of the keys that were ever put.
func (t *tx) routesFor(keys map[store.RouteKey]bool) (map[store.RouteKey]*route, error) {
	found := make(map[store.RouteKey]*route, len(keys))
	var namespaces, names []string
	t.mu.Lock()
	for key := range keys {
		if known := t.routes[key]; known != nil {
			found[key] = known
			continue
		}
		namespaces, names = append(namespaces, key.Namespace), append(names, key.Name)
	}
	t.mu.Unlock()
	if len(names) == 0 {
		return found, nil
	}
	loaded, err := t.load(`JOIN unnest($1::text[], $2::text[]) AS wanted (n, r) ON namespace = n AND routes.name = r`, namespaces, names)
	maps.Copy(found, loaded)
	return found, err
}

// accountsFor returns accounts by their ids.
func (t *tx) accountsFor(ids map[int64]bool) (map[int64]*account, error) {
	found := make(map[int64]*account, len(ids))
	var missing []int64
	t.mu.Lock()
	for id := range ids {
		if known := t.accounts[id]; known != nil {
			found[id] = known
			continue
		}
		missing = append(missing, id)
	}
	t.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	loaded, err := t.load(`WHERE routes.id IN (
		SELECT route_id FROM scopes JOIN accounts ON scope_id = scopes.id WHERE accounts.id = ANY ($1))`, missing)
	for _, one := range loaded {
		for _, a := range one.accounts {
			if ids[a.id] {
				found[a.id] = a
			}
		}
	}
	return found, err
}

// load reads routes and remembers them.
func (t *tx) load(which string, arguments ...any) (map[store.RouteKey]*route, error) {
	loaded := map[store.RouteKey]*route{}
	b := t.batch()
	b.Queue(selectRoutes+which, arguments...).Query(each(t.scanInto(loaded)))
	if err := t.send(b); err != nil {
		return nil, fmt.Errorf("reading routes: %w", err)
	}
	sortAccounts(loaded)
	if err := t.loadMembers(loaded); err != nil {
		return nil, fmt.Errorf("reading who draws on what: %w", err)
	}
	t.remember(loaded)
	return loaded, nil
}

// selectRoutes reads routes with all of their scopes and accounts. It is one statement, so that what it reads is one version. What is read
// of the members after it may be of a later one, which shows when the version is checked.
const selectRoutes = `SELECT namespace, routes.name, server, version, routes.id, scopes.id, consumer, scopes.active,
	coalesce(accounts.id, 0), coalesce(accounts.active, FALSE), coalesce(accounts.name, ''), coalesce(ceiling, 0),
	coalesce(unit, 0), coalesce(period, ''), coalesce(time_zone, ''), coalesce(enforcement, ''),
	coalesce(upstream, ''), coalesce(except_upstream, '')
	FROM routes JOIN scopes ON route_id = routes.id LEFT JOIN accounts ON scope_id = scopes.id `

// scanInto returns what takes a row of selectRoutes into the routes.
func (s *Store) scanInto(routes map[store.RouteKey]*route) func(scan func(into ...any) error) error {
	return func(scan func(into ...any) error) error {
		var one route
		var spender scope
		var limit int64
		a := &account{}
		if err := scan(&one.key.Namespace, &one.key.Name, &one.server, &one.version, &one.id,
			&spender.id, &a.budget.Consumer, &spender.active, &a.id, &a.active, &a.budget.Name,
			&limit, &a.budget.Unit, &a.budget.Period, &a.budget.TimeZone, &a.budget.Enforcement,
			&a.budget.Upstream, &a.budget.Except); err != nil {
			return err
		}
		owner := routes[one.key]
		if owner == nil {
			one.scopes = map[string]*scope{}
			owner = &one
			routes[one.key] = owner
		}
		payer := owner.scopes[a.budget.Consumer]
		if payer == nil {
			spender.route = owner
			payer = &spender
			owner.scopes[a.budget.Consumer] = payer
		}
		if a.id == 0 {
			return nil
		}
		a.budget.Limit, a.budget.Owner, a.route, a.spender = money.FromNano(limit), one.key.Owner(), owner, payer
		var err error
		if a.calendar, err = s.calendar(a.budget.Period, a.budget.TimeZone); err != nil {
			return fmt.Errorf("budget %s of %s: %w", a.budget.Name, one.key.Words(), err)
		}
		owner.accounts = append(owner.accounts, a)
		if a.active {
			payer.accounts = append(payer.accounts, a)
		}
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
