package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// snapshot is one consistent reading of the books.
type snapshot struct {
	routes  map[store.RouteKey]*route
	scopes  map[int64]store.Spend
	windows map[windowKey]*windowRow
	// held is what requests under way can cost.
	held store.Held
	// members are by their owner.
	members map[store.RouteKey][]store.MemberSpend
	proxies map[store.RouteKey][]store.Proxy
}

// Usage implements store.Store.
func (s *Store) Usage(ctx context.Context, now, heardAfter time.Time) (store.Usage, error) {
	var usage store.Usage
	err := s.transact(ctx, "reading the usage", func(t *tx) error {
		r := &snapshot{
			routes: map[store.RouteKey]*route{}, scopes: map[int64]store.Spend{}, windows: map[windowKey]*windowRow{},
			held: store.Held{}, members: map[store.RouteKey][]store.MemberSpend{}, proxies: map[store.RouteKey][]store.Proxy{},
		}
		if err := r.load(t, now, heardAfter); err != nil {
			return err
		}
		usage = store.Usage{}
		for key, owner := range r.routes {
			one := r.routeUsage(now, key, owner)
			if key.Owner() == "" {
				usage.Routes = append(usage.Routes, one)
				continue
			}
			shared := store.SharedUsage{Owner: key.Owner(), Spend: one.Spend, Budgets: one.Budgets}
			shared.SetMembers(r.members[key], r.held)
			usage.Shared = append(usage.Shared, shared)
		}
		return errUnchanged
	})
	if err != nil {
		return store.Usage{}, err
	}
	usage.Sort()
	return usage, nil
}

// selectHeard reads the proxies that are the youngest of their instance at a route, such as the one after a restart, and of those that are
// heard from what they said.
const selectHeard = `SELECT namespace, routes.name, proxies.proxy_id, instance,
	coalesce(config_hash, ''), last_heard, silent, coalesce(in_flight, '')
	FROM proxies JOIN proxy_routes ON proxy_routes.proxy_id = proxies.id AND proxy_routes.epoch = proxies.epoch
	JOIN routes ON routes.id = route_id LEFT JOIN beats ON beats.proxy_id = proxies.id
	WHERE NOT silent OR last_heard > $1 ORDER BY instance, created_at, proxies.id`

// load reads the tables.
func (r *snapshot) load(t *tx, now, heardAfter time.Time) error {
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	t.begun = true
	b.Queue(selectRoutes).Query(each(t.scanInto(r.routes)))
	b.Queue(`SELECT id, settled, uncertain FROM scopes`).Query(each(func(scan func(into ...any) error) error {
		var id, settled, uncertain int64
		err := scan(&id, &settled, &uncertain)
		r.scopes[id] = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain)}
		return err
	}))
	b.Queue(selectWindows).Query(each(scanWindows(r.windows)))
	b.Queue(selectMembers).Query(each(func(scan func(into ...any) error) error {
		var row memberRow
		err := row.scan(scan)
		r.members[row.owner] = append(r.members[row.owner], row.MemberSpend)
		return err
	}))
	r.queueHeard(b, t.Store, heardAfter.UnixMilli())
	if err := t.send(b); err != nil {
		return err
	}
	sortAccounts(r.routes)
	return r.sumWindows(t, now)
}

// sumWindows adds what has no row up.
func (r *snapshot) sumWindows(t *tx, now time.Time) error {
	b := t.batch()
	for _, owner := range r.routes {
		for _, a := range owner.accounts {
			if key := a.keyAt(now); a.active && r.windows[key] == nil {
				r.windows[key] = &windowRow{}
				queueSum(b, a, a.windowAt(now), &r.windows[key].spend)
			}
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return t.send(b)
}

// queueHeard reads who was heard from after the instant.
func (r *snapshot) queueHeard(b *pgx.Batch, s *Store, heardAfter int64) {
	inFlight := map[string]string{}
	b.Queue(selectHeard, heardAfter).Query(func(rows pgx.Rows) error {
		err := each(func(scan func(into ...any) error) error {
			var key store.RouteKey
			var one store.Proxy
			var text string
			var lastHeard int64
			var silent bool
			err := scan(&key.Namespace, &key.Name, &one.ProxyID, &one.Instance, &one.ConfigHash, &lastHeard, &silent, &text)
			if err != nil {
				return err
			}
			one.LastHeard = s.lastHeard(one.ProxyID, silent, lastHeard)
			r.proxies[key] = youngest(r.proxies[key], one)
			if one.LastHeard.UnixMilli() > heardAfter {
				inFlight[one.ProxyID] = text
			}
			return nil
		})(rows)
		for key, list := range r.proxies {
			list = slices.DeleteFunc(list, func(one store.Proxy) bool { return one.LastHeard.UnixMilli() <= heardAfter })
			slices.SortFunc(list, func(a, b store.Proxy) int { return strings.Compare(a.Instance, b.Instance) })
			r.proxies[key] = list
		}
		for _, text := range inFlight {
			if err == nil {
				err = decode(text, r.held)
			}
		}
		return err
	})
}

// youngest adds a proxy to a list that is sorted by instance, in the place of an older one of its instance.
func youngest(list []store.Proxy, one store.Proxy) []store.Proxy {
	if last := len(list) - 1; last >= 0 && list[last].Instance == one.Instance {
		list[last] = one
		return list
	}
	return append(list, one)
}

func (r *snapshot) routeUsage(now time.Time, key store.RouteKey, owner *route) store.RouteUsage {
	usage := store.RouteUsage{Route: key, Proxies: r.proxies[key]}
	for consumer, spender := range owner.scopes {
		spend := r.scopes[spender.id]
		spend.Held = r.held.Of(key, consumer, budget.Coverage{})
		budgets := r.budgetUsage(now, spender, func(of budget.Coverage) money.Amount { return r.held.Of(key, consumer, of) })
		if consumer == "" {
			usage.Spend = spend
			usage.SetBudgets(budgets)
			continue
		}
		usage.Consumers = append(usage.Consumers, store.ConsumerUsage{Name: consumer, Spend: spend, Budgets: budgets})
	}
	slices.SortFunc(usage.Consumers, func(a, b store.ConsumerUsage) int { return strings.Compare(a.Name, b.Name) })
	return usage
}

func (r *snapshot) budgetUsage(now time.Time, spender *scope, held func(of budget.Coverage) money.Amount) []store.BudgetUsage {
	usage := make([]store.BudgetUsage, 0, len(spender.accounts))
	for _, a := range spender.accounts {
		row := *r.windows[a.keyAt(now)]
		if a.budget.Unit == budget.USD {
			row.spend.Held = held(a.budget.Coverage)
		}
		usage = append(usage, store.BudgetUsage{Budget: a.budget, Window: a.windowAt(now), Spend: row.spend, Refusing: row.refusing})
	}
	return usage
}
