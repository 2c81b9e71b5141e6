package store

import (
	"cmp"
	"slices"

	"github.com/modelroute/modelroute/internal/budget"
)

// RouteKey names a route.
type RouteKey struct{ Namespace, Name string }

// OwnerKey is where a store keeps a shared owner, among the routes.
func OwnerKey(owner budget.Owner) RouteKey { return RouteKey{Name: string(owner)} }

// Owner returns the shared owner that is meant; empty if a route is.
func (k RouteKey) Owner() budget.Owner {
	if k.Namespace != "" {
		return ""
	}
	return budget.Owner(k.Name)
}

// Compare orders routes by namespace and name.
func (k RouteKey) Compare(other RouteKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name))
}

// Words names the route or the shared owner for people.
func (k RouteKey) Words() string {
	if owner := k.Owner(); owner != "" {
		return owner.Words()
	}
	return "route " + k.Namespace + "/" + k.Name
}

// Member is a consumer of a route that draws on a shared owner.
type Member struct {
	Consumer string
	Owner    budget.Owner
}

// Shared is an owner that routes share.
type Shared struct {
	Owner budget.Owner
	// Budgets are the owner's. They cover all upstreams, and have no consumer.
	Budgets []Budget
}

// Route is what a store keeps an owner as: a route without a namespace, which nobody serves.
func (s Shared) Route() Route { return Route{Name: string(s.Owner), Budgets: s.Budgets} }

// SharedUsage is what became of a shared owner.
type SharedUsage struct {
	Owner budget.Owner
	// Spend is that of all consumers in the owner's name since the ledger began. What is leased is not in it.
	Spend   Spend
	Budgets []BudgetUsage
	// Routes are those of which a consumer draws on the owner, or ever did, sorted by namespace and name.
	Routes []RouteSpend
}

// RouteSpend is what of a shared owner's spend is one route's.
type RouteSpend struct {
	Route RouteKey
	Spend Spend
}

// MemberSpend is what a member has spent in its owner's name.
type MemberSpend struct {
	Route    RouteKey
	Consumer string
	// Active is true while it draws on the owner.
	Active bool
	Spend  Spend
}

// SetMembers takes up what the members have spent, and what those of them that are active hold.
func (u *SharedUsage) SetMembers(members []MemberSpend, held Held) {
	routes := map[RouteKey]*Spend{}
	for _, one := range members {
		spend := routes[one.Route]
		if spend == nil {
			spend = &Spend{}
			routes[one.Route] = spend
		}
		if one.Active {
			one.Spend.Held = held.Of(one.Route, one.Consumer, budget.Coverage{})
		}
		spend.Settled, spend.Uncertain = spend.Settled.Add(one.Spend.Settled), spend.Uncertain.Add(one.Spend.Uncertain)
		spend.Held = spend.Held.Add(one.Spend.Held)
		u.Spend.Held = u.Spend.Held.Add(one.Spend.Held)
	}
	for key, spend := range routes {
		u.Routes = append(u.Routes, RouteSpend{Route: key, Spend: *spend})
	}
	slices.SortFunc(u.Routes, func(a, b RouteSpend) int { return a.Route.Compare(b.Route) })
	for i := range u.Budgets {
		if u.Budgets[i].Budget.Unit == budget.USD {
			u.Budgets[i].Spend.Held = u.Spend.Held
		}
	}
}
