package local

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// Usage is what was spent. Amounts are in USD.
type Usage struct {
	Routes []RouteUsage `json:"routes"`
	// Teams and ModelKeys are those that have budgets, or had.
	Teams     []SharedUsage `json:"teams,omitempty"`
	ModelKeys []SharedUsage `json:"modelKeys,omitempty"`
	// Unreported is true if a run was killed that has not been followed by another one: what it had not reported is not counted yet.
	Unreported bool `json:"-"`
}

// RouteUsage is what a route has spent.
type RouteUsage struct {
	Namespace string        `json:"namespace"`
	Name      string        `json:"name"`
	Spent     money.Amount  `json:"spent"`
	Budgets   []BudgetUsage `json:"budgets"`
	// Upstreams are those that have budgets.
	Upstreams []UpstreamUsage `json:"upstreams,omitempty"`
	Consumers []ConsumerUsage `json:"consumers"`
}

// SharedUsage is what was spent in the name of a team, or with the key of a ModelKey, at all routes together.
type SharedUsage struct {
	// Name is that of the team, or NAMESPACE/NAME of the ModelKey.
	Name    string        `json:"name"`
	Spent   money.Amount  `json:"spent"`
	Budgets []BudgetUsage `json:"budgets"`
	// Routes are those through which it was spent, the most expensive first. Only the pages show them.
	Routes []v1alpha1.RouteSpend `json:"-"`
}

// UpstreamUsage is how the budgets of an upstream stand.
type UpstreamUsage struct {
	Name    string        `json:"name"`
	Budgets []BudgetUsage `json:"budgets"`
}

// ConsumerUsage is what a consumer of a route has spent.
type ConsumerUsage struct {
	Name    string        `json:"name"`
	Spent   money.Amount  `json:"spent"`
	Budgets []BudgetUsage `json:"budgets"`
}

// BudgetUsage is how a budget stands in its current window.
type BudgetUsage struct {
	Name  string       `json:"name"`
	Limit money.Amount `json:"limit"`
	// Spent counts what is uncertain.
	Spent     money.Amount `json:"spent"`
	Uncertain money.Amount `json:"uncertain"`
	Held      money.Amount `json:"held"`
	Remaining money.Amount `json:"remaining"`
	// WindowStart and ResetTime are absent for a window that never ends.
	WindowStart *time.Time   `json:"windowStart,omitempty"`
	ResetTime   *time.Time   `json:"resetTime,omitempty"`
	State       budget.State `json:"state"`
	// TimeZone is the budget's own.
	TimeZone string `json:"-"`
}

// ReadUsage reads what was spent, from the run that has the data directory or from its books.
func ReadUsage(ctx context.Context, dataDir string, ticking clock.WithTicker) (Usage, error) {
	var known *ledgerpb.ListUsageResponse
	running, err := ReadBooks(ctx, dataDir, ticking, func(books history.Service) (err error) {
		known, err = books.ListUsage(ctx, &ledgerpb.ListUsageRequest{})
		return err
	})
	if err != nil {
		return Usage{}, err
	}
	usage := usageOf(known, readRemembered(directory(dataDir)).alerts())
	usage.Unreported = !running && hasLeases(known)
	return usage, nil
}

// usageOf makes what people are told of what the ledger says.
func usageOf(known *ledgerpb.ListUsageResponse, alerts map[budgetName][]int32) Usage {
	usage := Usage{Routes: []RouteUsage{}}
	for _, one := range known.GetRoutes() {
		usage.Routes = append(usage.Routes, routeUsage(one, alerts))
	}
	for _, one := range known.GetShared() {
		owner := budget.Owner(one.GetOwner())
		shared := SharedUsage{
			Spent: spent(one.GetSpend()), Budgets: budgetUsages(budgetName{shared: one.GetOwner()}, one.GetBudgets(), alerts),
			Routes: routeSpends(one.GetRoutes()),
		}
		if team, isTeam := owner.Team(); isTeam {
			shared.Name = team
			usage.Teams = append(usage.Teams, shared)
		} else {
			shared.Name, _ = owner.Key()
			usage.ModelKeys = append(usage.ModelKeys, shared)
		}
	}
	return usage
}

// routeSpends are the routes on which something was spent, the most expensive first.
func routeSpends(routes []*ledgerpb.RouteSpend) []v1alpha1.RouteSpend {
	routes = slices.DeleteFunc(slices.Clone(routes), func(one *ledgerpb.RouteSpend) bool { return spent(one.GetSpend()).IsZero() })
	slices.SortStableFunc(routes, func(a, b *ledgerpb.RouteSpend) int { return spent(b.GetSpend()).Cmp(spent(a.GetSpend())) })
	shown := make([]v1alpha1.RouteSpend, 0, len(routes))
	for _, one := range routes {
		shown = append(shown, v1alpha1.RouteSpend{
			Namespace: one.GetRoute().GetNamespace(), Name: one.GetRoute().GetName(), Spent: spent(one.GetSpend()).String(),
		})
	}
	return shown
}

// hasLeases reports whether money is out with a proxy: a run that ends well brings all of it back.
func hasLeases(known *ledgerpb.ListUsageResponse) bool {
	var budgets []*ledgerpb.BudgetUsage
	for _, route := range known.GetRoutes() {
		budgets = append(budgets, route.GetBudgets()...)
		for _, upstream := range route.GetUpstreams() {
			budgets = append(budgets, upstream.GetBudgets()...)
		}
		for _, consumer := range route.GetConsumers() {
			budgets = append(budgets, consumer.GetBudgets()...)
		}
	}
	for _, shared := range known.GetShared() {
		budgets = append(budgets, shared.GetBudgets()...)
	}
	return slices.ContainsFunc(budgets, func(one *ledgerpb.BudgetUsage) bool {
		return countsMoney(one) && one.GetSpend().GetLeasedNanoUsd() != 0
	})
}

// countsMoney reports whether an account is a budget. Rate limits are accounts of the ledger as well.
func countsMoney(one *ledgerpb.BudgetUsage) bool {
	return one.GetBudget().GetRef().GetUnit() == ledgerpb.Unit_UNIT_UNSPECIFIED
}

// budgetName names a budget of a route, of a consumer or an upstream of it, or of a shared owner.
type budgetName struct{ namespace, route, consumer, upstream, shared, budget string }

// readRemembered is what was served last; nothing if nobody knows.
func readRemembered(dir directory) remembered {
	var all remembered
	content, err := os.ReadFile(dir.routes())
	if err != nil || json.Unmarshal(content, &all) != nil {
		return remembered{}
	}
	return all
}

// alerts are the alert percentages of budgets, which the ledger does not know. Without them the usual ones count.
func (all remembered) alerts() map[budgetName][]int32 {
	alerts := map[budgetName][]int32{}
	note := func(of budgetName, budgets []v1alpha1.Budget) {
		for _, one := range budgets {
			of.budget = one.Name
			alerts[of] = one.AlertPercents
		}
	}
	for _, route := range all.Routes {
		of := budgetName{namespace: route.Namespace, route: route.Name}
		note(of, route.Spec.Budgets)
		for _, upstream := range route.Spec.Upstreams {
			of.upstream = upstream.Name
			note(of, upstream.Budgets)
		}
		of.upstream = ""
		for _, consumer := range route.Spec.Consumers {
			of.consumer = consumer.Name
			note(of, consumer.Budgets)
		}
	}
	for owner, budgets := range all.Shared {
		note(budgetName{shared: owner}, budgets)
	}
	return alerts
}

func routeUsage(usage *ledgerpb.RouteUsage, alerts map[budgetName][]int32) RouteUsage {
	name := budgetName{namespace: usage.GetRoute().GetNamespace(), route: usage.GetRoute().GetName()}
	route := RouteUsage{
		Namespace: name.namespace, Name: name.route, Spent: spent(usage.GetSpend()),
		Budgets: budgetUsages(name, usage.GetBudgets(), alerts), Consumers: []ConsumerUsage{},
	}
	for _, one := range usage.GetUpstreams() {
		of := name
		of.upstream = one.GetName()
		route.Upstreams = append(route.Upstreams, UpstreamUsage{
			Name: one.GetName(), Budgets: budgetUsages(of, one.GetBudgets(), alerts),
		})
	}
	for _, one := range usage.GetConsumers() {
		name.consumer = one.GetName()
		route.Consumers = append(route.Consumers, ConsumerUsage{
			Name: one.GetName(), Spent: spent(one.GetSpend()), Budgets: budgetUsages(name, one.GetBudgets(), alerts),
		})
	}
	return route
}

// budgetUsages leaves out rate limits, which count no money.
func budgetUsages(name budgetName, usages []*ledgerpb.BudgetUsage, alerts map[budgetName][]int32) []BudgetUsage {
	budgets := []BudgetUsage{}
	for _, one := range usages {
		if countsMoney(one) {
			name.budget = one.GetBudget().GetRef().GetName()
			budgets = append(budgets, budgetUsage(one, alerts[name]))
		}
	}
	return budgets
}

func budgetUsage(usage *ledgerpb.BudgetUsage, alerts []int32) BudgetUsage {
	limit, spend := money.FromNano(usage.GetBudget().GetLimit()), usage.GetSpend()
	shown := BudgetUsage{
		Name: usage.GetBudget().GetRef().GetName(), Limit: limit, Spent: spent(spend),
		Uncertain: money.FromNano(spend.GetUncertainNanoUsd()), Held: money.FromNano(spend.GetHeldNanoUsd()),
		TimeZone: usage.GetBudget().GetTimeZone(),
	}
	shown.Remaining = limit.Sub(shown.Spent).Sub(shown.Held)
	shown.State = budget.StateOf(shown.Spent, limit, alerts)
	if usage.GetRefusing() {
		shown.State = budget.Exhausted // What is left is too little for the requests that come.
	}
	if usage.GetBudget().GetPeriod() != ledgerpb.Period_PERIOD_TOTAL {
		shown.WindowStart, shown.ResetTime = timeOf(usage.GetWindowStart()), timeOf(usage.GetWindowEnd())
	}
	return shown
}

// spent is what counts as spent: what is uncertain does, until it is known better.
func spent(spend *ledgerpb.Spend) money.Amount {
	return money.FromNano(spend.GetSettledNanoUsd()).Add(money.FromNano(spend.GetUncertainNanoUsd()))
}

func timeOf(stamp *timestamppb.Timestamp) *time.Time {
	if stamp == nil {
		return nil
	}
	return new(stamp.AsTime().Truncate(time.Second))
}
