package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
	"github.com/modelroute/modelroute/internal/money"
)

// snapshot is one consistent reading of the books.
type snapshot struct {
	ctx context.Context
	tx  *sql.Tx
	// routes, scopes and windows are whole tables.
	routes  map[store.RouteKey]*route
	scopes  map[int64]store.Spend
	windows map[windowKey]windowRow
	// members are by their owner.
	members map[store.RouteKey][]store.MemberSpend
	// sums are those of windows that have no rows for some of their accounts.
	sums map[[2]int64]windowSums
	// held is what requests under way can cost.
	held store.Held
}

// windowRow is what a row of windows says.
type windowRow struct {
	spend    store.Spend
	refusing bool
}

func (r *snapshot) row(query string, arguments []any, into ...any) error {
	return r.tx.QueryRowContext(r.ctx, query, arguments...).Scan(into...)
}

func (r *snapshot) rows(query string, each func(*sql.Rows) error, arguments ...any) error {
	rows, err := r.tx.QueryContext(r.ctx, query, arguments...)
	if err != nil {
		return err
	}
	return scanAll(rows, each)
}

// Rows implements inspect.Reading.
func (r *snapshot) Rows(query string, take func(scan inspect.Scan) error, arguments ...any) error {
	return r.rows(strings.ReplaceAll(query, "$", "?"), func(rows *sql.Rows) error { return take(rows.Scan) }, arguments...)
}

// Usage implements store.Store.
func (s *Store) Usage(ctx context.Context, now, heardAfter time.Time) (store.Usage, error) {
	usage, err := s.usage(ctx, now, heardAfter)
	if err != nil {
		return store.Usage{}, fmt.Errorf("reading the usage: %w", failure(err))
	}
	proxies := s.heardFrom(heardAfter)
	for i := range usage.Routes {
		usage.Routes[i].Proxies = proxies[usage.Routes[i].Route]
	}
	return usage, nil
}

func (s *Store) usage(ctx context.Context, now, heardAfter time.Time) (store.Usage, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return store.Usage{}, err
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	r := &snapshot{
		ctx: ctx, tx: tx,
		routes: map[store.RouteKey]*route{}, scopes: map[int64]store.Spend{}, windows: map[windowKey]windowRow{},
		members: map[store.RouteKey][]store.MemberSpend{}, sums: map[[2]int64]windowSums{},
		held: s.heldNow(heardAfter),
	}
	if err := r.load(s); err != nil {
		return store.Usage{}, err
	}
	var usage store.Usage
	for key, owner := range r.routes {
		one, err := r.routeUsage(now, key, owner)
		if err != nil {
			return store.Usage{}, err
		}
		if key.Owner() == "" {
			usage.Routes = append(usage.Routes, one)
			continue
		}
		shared := store.SharedUsage{Owner: key.Owner(), Spend: one.Spend, Budgets: one.Budgets}
		shared.SetMembers(r.members[key], r.held)
		usage.Shared = append(usage.Shared, shared)
	}
	usage.Sort()
	return usage, nil
}

// load reads the tables.
func (r *snapshot) load(s *Store) error {
	if err := r.rows(selectAccounts, s.scanInto(r.routes)); err != nil {
		return err
	}
	sortAccounts(r.routes)
	if err := r.rows(`SELECT id, settled, uncertain FROM scopes`, func(rows *sql.Rows) error {
		var id, settled, uncertain int64
		err := rows.Scan(&id, &settled, &uncertain)
		r.scopes[id] = store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain)}
		return err
	}); err != nil {
		return err
	}
	if err := r.rows(selectMembers, func(rows *sql.Rows) error {
		var row memberRow
		err := row.scan(rows)
		r.members[row.owner] = append(r.members[row.owner], row.MemberSpend)
		return err
	}); err != nil {
		return err
	}
	return r.rows(`SELECT account_id, start, settled, uncertain, leased, refusing FROM windows`, func(rows *sql.Rows) error {
		var key windowKey
		var settled, uncertain, leased int64
		var refusing bool
		err := rows.Scan(&key.account, &key.start, &settled, &uncertain, &leased, &refusing)
		r.windows[key] = windowRow{
			spend:    store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased)},
			refusing: refusing,
		}
		return err
	})
}

func (r *snapshot) routeUsage(now time.Time, key store.RouteKey, owner *route) (store.RouteUsage, error) {
	usage := store.RouteUsage{Route: key}
	for consumer, spender := range owner.scopes {
		budgets, err := r.budgetUsage(now, spender, func(of budget.Coverage) money.Amount { return r.held.Of(key, consumer, of) })
		if err != nil {
			return store.RouteUsage{}, fmt.Errorf("%s: %w", key.Words(), err)
		}
		spend := r.scopes[spender.id]
		spend.Held = r.held.Of(key, consumer, budget.Coverage{})
		if consumer == "" {
			usage.Spend = spend
			usage.SetBudgets(budgets)
			continue
		}
		usage.Consumers = append(usage.Consumers, store.ConsumerUsage{Name: consumer, Spend: spend, Budgets: budgets})
	}
	slices.SortFunc(usage.Consumers, func(a, b store.ConsumerUsage) int { return strings.Compare(a.Name, b.Name) })
	return usage, nil
}

func (r *snapshot) budgetUsage(
	now time.Time, spender *scope, held func(of budget.Coverage) money.Amount,
) ([]store.BudgetUsage, error) {
	var usage []store.BudgetUsage
	for _, a := range spender.accounts {
		window := a.windowAt(now)
		row, ok := r.windows[windowKey{account: a.id, start: window.Start.UnixMilli()}]
		if !ok {
			sums, err := r.sumsOf(window)
			if err != nil {
				return nil, fmt.Errorf("budget %s: %w", a.budget.Name, err)
			}
			row.spend = sums.spend(spender, a)
		}
		if a.budget.Unit == budget.USD {
			row.spend.Held = held(a.budget.Coverage)
		}
		usage = append(usage, store.BudgetUsage{Budget: a.budget, Window: window, Spend: row.spend, Refusing: row.refusing})
	}
	return usage, nil
}

// heardFrom returns the proxies of each route that were heard from, sorted by instance. Of several with one instance, such as a
// restarted container, only the youngest counts.
func (s *Store) heardFrom(heardAfter time.Time) map[store.RouteKey][]store.Proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	type spot struct {
		route    store.RouteKey
		instance string
	}
	youngest := map[spot]string{}
	for id, known := range s.proxies {
		for _, key := range known.routes {
			at := spot{route: key, instance: known.instance}
			other, taken := youngest[at]
			if !taken || s.proxies[other].id < known.id {
				youngest[at] = id
			}
		}
	}
	proxies := map[store.RouteKey][]store.Proxy{}
	for at, id := range youngest {
		known := s.proxies[id]
		if known.lastHeard.After(heardAfter) {
			heard := store.Proxy{ProxyID: id, Instance: at.instance, ConfigHash: known.configHash, LastHeard: known.lastHeard}
			proxies[at.route] = append(proxies[at.route], heard)
		}
	}
	for _, list := range proxies {
		slices.SortFunc(list, func(a, b store.Proxy) int { return strings.Compare(a.Instance, b.Instance) })
	}
	return proxies
}
