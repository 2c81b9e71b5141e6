package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Usage is what became of everything.
type Usage struct {
	// Routes are sorted by namespace and name, Shared by owner.
	Routes []RouteUsage
	Shared []SharedUsage
}

// Sort puts routes and shared owners in their order.
func (u *Usage) Sort() {
	slices.SortFunc(u.Routes, func(a, b RouteUsage) int { return a.Route.Compare(b.Route) })
	slices.SortFunc(u.Shared, func(a, b SharedUsage) int { return cmp.Compare(a.Owner, b.Owner) })
}

// RouteUsage is what became of a route.
type RouteUsage struct {
	Route RouteKey
	// Spend is since the ledger began.
	Spend   Spend
	Budgets []BudgetUsage
	// Upstreams are those that have budgets, sorted by name.
	Upstreams []UpstreamUsage
	// Consumers are all that the route ever had, sorted by name.
	Consumers []ConsumerUsage
	// Proxies are sorted by instance; of several with the same instance, only the youngest.
	Proxies []Proxy
}

// ConsumerUsage is what a consumer spent.
type ConsumerUsage struct {
	Name    string
	Spend   Spend
	Budgets []BudgetUsage
}

// UpstreamUsage is an upstream with budgets of its own.
type UpstreamUsage struct {
	Name    string
	Budgets []BudgetUsage
}

// UpstreamSpend is what a route ever spent at an upstream.
type UpstreamSpend struct {
	// Name is that of the upstream, which the route may have no longer.
	Name string
	// Settled is what is known to be spent; Uncertain counts as spent until it is known better.
	Settled, Uncertain money.Amount
}

// SetBudgets takes up the budgets of the route and of its upstreams, which are sorted by CompareBudgets.
func (u *RouteUsage) SetBudgets(all []BudgetUsage) {
	for _, one := range all {
		switch last := len(u.Upstreams) - 1; {
		case one.Budget.Upstream == "":
			u.Budgets = append(u.Budgets, one)
		case last >= 0 && u.Upstreams[last].Name == one.Budget.Upstream:
			u.Upstreams[last].Budgets = append(u.Upstreams[last].Budgets, one)
		default:
			u.Upstreams = append(u.Upstreams, UpstreamUsage{Name: one.Budget.Upstream, Budgets: []BudgetUsage{one}})
		}
	}
}

// BudgetUsage is a budget in its current window. Budgets are sorted by name.
type BudgetUsage struct {
	Budget Budget
	Window budget.Window
	Spend  Spend
	// Refusing is true if the last demand was refused because what is spent leaves too little, though the whole limit would have
	// covered it: the budget is used up for the requests that come. A demand that is granted, or an edit, ends it.
	Refusing bool
}

// Proxy is a proxy that was heard from.
type Proxy struct {
	ProxyID, Instance, ConfigHash string
	LastHeard                     time.Time
}
