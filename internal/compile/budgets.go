package compile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

var periods = map[v1alpha1.Period]ledgerpb.Period{
	"Hour":  ledgerpb.Period_PERIOD_HOUR,
	"Day":   ledgerpb.Period_PERIOD_DAY,
	"Week":  ledgerpb.Period_PERIOD_WEEK,
	"Month": ledgerpb.Period_PERIOD_MONTH,
	"Year":  ledgerpb.Period_PERIOD_YEAR,
	"Total": ledgerpb.Period_PERIOD_TOTAL,
}

var enforcements = map[v1alpha1.Enforcement]ledgerpb.Enforcement{
	v1alpha1.EnforcementDeny: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	v1alpha1.EnforcementWarn: ledgerpb.Enforcement_ENFORCEMENT_WARN,
}

// Budgets is what the ledger is told of a route that Validate has found valid, and of the ModelKeys that it admits: its consumers, all
// budgets, also those of its upstreams, with the credits that count now, all rate limits, on which teams' and ModelKeys' budgets the
// consumers draw, which Shared puts, and the identity that may serve it. An error means that it was not valid.
func Budgets(
	route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey, teams Teams, server string, now time.Time,
) (*ledgerpb.PutRouteRequest, error) {
	request := &ledgerpb.PutRouteRequest{
		Route:   &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name},
		Server:  server,
		Members: members(route, modelKeys, teams),
	}
	budgets, err := ledgerBudgets("spec.budgets", &ledgerpb.BudgetRef{}, route.Spec.Budgets, now)
	if err != nil {
		return nil, err
	}
	request.Budgets = append(budgets, ledgerRateLimits("", route.Spec.RateLimits)...)
	for i, upstream := range route.Spec.Upstreams {
		owner := &ledgerpb.BudgetRef{Upstream: upstream.Name}
		budgets, err := ledgerBudgets(fmt.Sprintf("spec.upstreams[%d].budgets", i), owner, upstream.Budgets, now)
		if err != nil {
			return nil, err
		}
		request.Budgets = append(request.Budgets, budgets...)
	}
	for _, consumer := range Consumers(route, modelKeys) {
		owner := &ledgerpb.BudgetRef{Consumer: consumer.Name}
		budgets, err := ledgerBudgets("budgets of consumer "+consumer.Name, owner, consumer.Budgets, now)
		if err != nil {
			return nil, err
		}
		request.Consumers = append(request.Consumers, consumer.Name)
		request.Budgets = append(request.Budgets, budgets...)
		request.Budgets = append(request.Budgets, ledgerRateLimits(consumer.Name, consumer.RateLimits)...)
	}
	slices.Sort(request.Consumers)
	slices.SortFunc(request.Budgets, func(a, b *ledgerpb.Budget) int { return compareRefs(a.GetRef(), b.GetRef()) })
	return request, nil
}

// compareRefs orders accounts. The unit comes last: a budget and the limits of a rate limit may share a name.
func compareRefs(a, b *ledgerpb.BudgetRef) int {
	return cmp.Or(
		cmp.Compare(a.GetConsumer(), b.GetConsumer()),
		cmp.Compare(a.GetUpstream(), b.GetUpstream()),
		cmp.Compare(a.GetName(), b.GetName()),
		cmp.Compare(a.GetUnit(), b.GetUnit()),
	)
}

// ledgerBudgets are the accounts of an owner's budgets. What is spent at the upstream that serves what a budget refuses does not count
// against it.
func ledgerBudgets(path string, owner *ledgerpb.BudgetRef, budgets []v1alpha1.Budget, now time.Time) ([]*ledgerpb.Budget, error) {
	compiled := make([]*ledgerpb.Budget, 0, len(budgets))
	for i, budget := range budgets {
		limit, err := limitOf(budget, now)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", path, i, err)
		}
		account := &ledgerpb.Budget{
			Ref: &ledgerpb.BudgetRef{
				Consumer: owner.GetConsumer(), Upstream: owner.GetUpstream(), Owner: owner.GetOwner(), Name: budget.Name,
			},
			Limit:       limit.Nano(),
			Period:      periods[budget.Window.Period],
			TimeZone:    budget.Window.TimeZone,
			Enforcement: enforcements[budget.Enforcement],
		}
		if budget.WhenExhausted.Upstream != "" {
			account.ExceptUpstream = budget.WhenExhausted.Upstream
		}
		compiled = append(compiled, account)
	}
	return compiled, nil
}
