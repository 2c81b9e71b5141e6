package controllers

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	testclock "k8s.io/utils/clock/testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// rateLimited adds to a usage, beside each budget, a rate limit of the budget's name: both its limits are used up, and refuse.
func rateLimited(usage *ledgerpb.RouteUsage) *ledgerpb.RouteUsage {
	usage.Budgets = append(usage.Budgets, rateLimitsBeside(usage.Budgets)...)
	for _, consumer := range usage.Consumers {
		consumer.Budgets = append(consumer.Budgets, rateLimitsBeside(consumer.Budgets)...)
	}
	return usage
}

func rateLimitsBeside(budgets []*ledgerpb.BudgetUsage) []*ledgerpb.BudgetUsage {
	var beside []*ledgerpb.BudgetUsage
	for _, one := range budgets {
		for _, unit := range []ledgerpb.Unit{ledgerpb.Unit_UNIT_REQUESTS, ledgerpb.Unit_UNIT_TOKENS} {
			ref := one.GetBudget().GetRef()
			beside = append(beside, &ledgerpb.BudgetUsage{
				Budget: &ledgerpb.Budget{
					Ref: &ledgerpb.BudgetRef{Consumer: ref.GetConsumer(), Name: ref.GetName(), Unit: unit}, Limit: 100,
					Period: ledgerpb.Period_PERIOD_SECONDS, PeriodSeconds: 60, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
				},
				Spend:       &ledgerpb.Spend{SettledNanoUsd: 100, UncertainNanoUsd: 1, HeldNanoUsd: 7, LeasedNanoUsd: 9},
				WindowStart: timestamppb.New(noon), WindowEnd: timestamppb.New(noon.Add(time.Minute)),
				Refusing: true,
			})
		}
	}
	return beside
}

func TestRateLimitsAreNoMoney(t *testing.T) {
	for name, order := range map[string]func([]*ledgerpb.BudgetUsage){
		"when they come after the budgets":  func([]*ledgerpb.BudgetUsage) {},
		"when they come before the budgets": slices.Reverse[[]*ledgerpb.BudgetUsage],
	} {
		t.Run(name, func(t *testing.T) {
			without, with := healthy(), healthy()
			with.usage.usage = rateLimited(with.usage.usage)
			order(with.usage.usage.Budgets)
			order(with.usage.usage.Consumers[0].Budgets)
			// The whole status: budgets, summary, conditions and what consumers spent.
			if diff := cmp.Diff(computeStatus(without), computeStatus(with)); diff != "" {
				t.Errorf("a rate limit that is used up changes the status (-without +with):\n%s", diff)
			}
		})
	}
}

func TestARateLimitThatIsUsedUpIsNotAnnounced(t *testing.T) {
	w := watch(t)
	if alerts := w.step(rateLimited(usageOf(1, 0, 0))); len(alerts) > 0 {
		t.Errorf("alerts %q", alerts)
	}
	select {
	case note := <-w.notes:
		t.Errorf("event %q", note)
	default:
	}
}

func TestARouteIsNotWrittenForItsRateLimits(t *testing.T) {
	clock := testclock.NewFakeClock(noon)
	route := showing(limitedRoute(), usageOf(1, 0, 0), noon)
	usage := &Usage{Ledger: &saying{usage: list(usageOf(1, 0, 0))}, Routes: routesReader(t, route), Clock: clock}
	usage.poll(t.Context())
	usage.Ledger = &saying{usage: list(rateLimited(usageOf(1, 0, 0)))}
	clock.Step(time.Hour)
	if woken := usage.poll(t.Context()); len(woken) > 0 {
		t.Errorf("woken are %v", woken)
	}
	shown, due := projectSpend(route, rateLimited(usageOf(1, 0, 0)), clock.Now())
	if diff := cmp.Diff(figuresShown(route.Status), shown); due || diff != "" {
		t.Errorf("new figures are due (%t):\n%s", due, diff)
	}
}

func TestABudgetIsStillShownBesideARateLimitOfItsName(t *testing.T) {
	with := rateLimited(usageOf(12*usd, 0, 0))
	slices.Reverse(with.Budgets)
	route := limitedRoute()
	got, _ := projectSpend(route, with, noon)
	if len(got.Budgets) != 1 || got.Budgets[0].Limit != "100.00" || got.Budgets[0].Spent != "12.00" {
		t.Errorf("the budgets are %+v", got.Budgets)
	}
	route.Spec.Budgets = nil
	if got, _ := projectSpend(route, with, noon); len(got.Budgets) > 0 {
		t.Errorf("without a budget, the budgets are %+v", got.Budgets)
	}
}
