package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

var (
	noon       = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	monthStart = time.Date(2026, time.October, 31, 23, 0, 0, 0, time.UTC)
	monthEnd   = time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)
)

// limitedRoute has a budget of 100 USD a month with alerts at 50 and 80 percent, and one consumer with a budget of 10 USD in all.
func limitedRoute() *v1alpha1.ModelRoute {
	return &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "mixtral", Generation: 3},
		Spec: v1alpha1.ModelRouteSpec{
			Budgets: []v1alpha1.Budget{{
				Name: "monthly", Amount: "100.00", Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/Berlin"},
				Enforcement: v1alpha1.EnforcementDeny, AlertPercents: []int32{50, 80},
			}},
			Consumers: []v1alpha1.Consumer{{Name: "search", Budgets: []v1alpha1.Budget{{
				Name: "all", Amount: "10.00", Window: v1alpha1.Window{Period: "Total"}, Enforcement: v1alpha1.EnforcementDeny,
			}}}},
		},
	}
}

// usageOf is what the ledger says when the consumer has spent so many nano-USD, all of it this month.
func usageOf(settled, uncertain, held int64) *ledgerpb.RouteUsage {
	spend := &ledgerpb.Spend{SettledNanoUsd: settled, UncertainNanoUsd: uncertain, HeldNanoUsd: held}
	return &ledgerpb.RouteUsage{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "mixtral"},
		Spend: spend,
		Budgets: []*ledgerpb.BudgetUsage{{
			Budget: &ledgerpb.Budget{
				Ref: &ledgerpb.BudgetRef{Name: "monthly"}, Limit: 100_000_000_000,
				Period: ledgerpb.Period_PERIOD_MONTH, TimeZone: "Europe/Berlin", Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
			},
			Spend: spend, WindowStart: timestamppb.New(monthStart), WindowEnd: timestamppb.New(monthEnd),
		}},
		Consumers: []*ledgerpb.ConsumerUsage{{
			Name: "search", Spend: spend,
			Budgets: []*ledgerpb.BudgetUsage{{
				Budget: &ledgerpb.Budget{
					Ref: &ledgerpb.BudgetRef{Consumer: "search", Name: "all"}, Limit: 10_000_000_000,
					Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
				},
				Spend: spend, WindowStart: timestamppb.New(time.Unix(0, 0)),
			}},
		}},
	}
}

// showing returns the route with the figures of usage in its status, as written at the given time.
func showing(route *v1alpha1.ModelRoute, usage *ledgerpb.RouteUsage, at time.Time) *v1alpha1.ModelRoute {
	shown, _ := projectSpend(route, usage, at)
	s := newScope(route, at)
	route.Status.Spend, route.Status.Budgets, route.Status.Consumers = shown.Spend, shown.Budgets, consumerStatuses(s, shown)
	return route
}

func TestFiguresAreThoseOfTheLedger(t *testing.T) {
	got, due := projectSpend(limitedRoute(), usageOf(12_345_678_900, 1, 31_000_000), noon)
	if !due {
		t.Error("the first figures are not due")
	}
	want := figures{
		Spend: &v1alpha1.Spend{Total: "12.345678901", Uncertain: "0.000000001", UpdateTime: metav1.NewTime(noon)},
		Budgets: []v1alpha1.BudgetStatus{{
			Name: "monthly", Limit: "100.00", Spent: "12.345678901", Uncertain: "0.000000001", Held: "0.031", Remaining: "87.623321099",
			PercentUsed: ptr.To[int32](12), WindowStart: new(metav1.NewTime(monthStart)), ResetTime: new(metav1.NewTime(monthEnd)),
			State: "WithinBudget",
		}},
		Consumers: map[string]consumerFigures{"search": {Spent: "12.345678901", Budgets: []v1alpha1.BudgetStatus{{
			Name: "all", Limit: "10.00", Spent: "12.345678901", Uncertain: "0.000000001", Held: "0.031", Remaining: "-2.376678901",
			PercentUsed: ptr.To[int32](123), AlertedPercent: 80, State: "Exhausted",
		}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestFiguresAreWrittenWhen(t *testing.T) {
	const usd = 1_000_000_000
	nextWindow := usageOf(1*usd, 0, 0)
	nextWindow.Budgets[0].WindowStart = timestamppb.New(monthEnd)
	nextWindow.Budgets[0].WindowEnd = timestamppb.New(monthEnd.AddDate(0, 1, 0))
	raised := usageOf(1*usd, 0, 0)
	raised.Budgets[0].Budget.Limit = 200 * usd
	renamed := usageOf(1*usd, 0, 0)
	renamed.Budgets[0].Budget.Ref.Name = "yearly"

	refusing := usageOf(7*usd, 0, 0)
	refusing.Consumers[0].Budgets[0].Refusing = true

	cases := map[string]struct {
		before, now *ledgerpb.RouteUsage
		after       time.Duration
		want        bool
	}{
		"Refusing: a request that no longer fits, at once":       {usageOf(7*usd, 0, 0), refusing, time.Second, true},
		"SmallerFits: that a smaller request fitted can wait":    {refusing, usageOf(7*usd, 0, 0), time.Second, false},
		"SmallerFitted: it is told with the next figures":        {refusing, usageOf(7*usd, 0, 0), spendInterval, true},
		"NothingChanged: an idle route is never written":         {usageOf(1*usd, 0, 0), usageOf(1*usd, 0, 0), time.Hour, false},
		"SpentALittleSoon: the last figures are too young":       {usageOf(1*usd, 0, 0), usageOf(2*usd, 0, 0), spendInterval - time.Second, false},
		"SpentALittleLater: the last figures are old enough":     {usageOf(1*usd, 0, 0), usageOf(2*usd, 0, 0), spendInterval, true},
		"OnlyHeld: what is held is a figure as well":             {usageOf(1*usd, 0, 0), usageOf(1*usd, 0, 5), spendInterval, true},
		"LowestAlert: the first alert is told at once":           {usageOf(1*usd, 0, 0), usageOf(50*usd, 0, 0), time.Second, true},
		"SecondAlert: so is the second":                          {usageOf(50*usd, 0, 0), usageOf(80*usd, 0, 0), time.Second, true},
		"BetweenAlerts: nothing is reached in between":           {usageOf(50*usd, 0, 0), usageOf(79*usd, 0, 0), time.Second, false},
		"Exhausted: a budget that is used up is told at once":    {usageOf(9*usd, 0, 0), usageOf(10*usd, 0, 0), time.Second, true},
		"UncertainExhausts: what is uncertain counts":            {usageOf(9*usd, 0, 0), usageOf(9*usd, 1*usd, 0), time.Second, true},
		"Relieved: an uncertain cost that proved less, at once":  {usageOf(9*usd, 1*usd, 0), usageOf(9*usd, 0, 0), time.Second, true},
		"WindowRolled: a new window is told at once":             {usageOf(1*usd, 0, 0), nextWindow, time.Second, true},
		"LimitRaised: another limit is told at once":             {usageOf(1*usd, 0, 0), raised, time.Second, true},
		"BudgetGone: a budget that the ledger lost, at once":     {usageOf(1*usd, 0, 0), renamed, time.Second, true},
		"LedgerSilent: without an answer the status stays as is": {usageOf(1*usd, 0, 0), nil, time.Hour, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			route := showing(limitedRoute(), test.before, noon)
			got, due := projectSpend(route, test.now, noon.Add(test.after))
			if due != test.want {
				t.Errorf("due is %t, want %t", due, test.want)
			}
			if !due {
				if diff := cmp.Diff(figuresShown(route.Status), got); diff != "" {
					t.Errorf("figures that are not due have changed:\n%s", diff)
				}
			}
		})
	}
}

func TestABudgetThatIsNotInTheSpecIsNotShown(t *testing.T) {
	route := limitedRoute()
	route.Spec.Budgets, route.Spec.Consumers = nil, nil
	got, _ := projectSpend(route, usageOf(1, 0, 0), noon)
	if len(got.Budgets) > 0 || len(got.Consumers) > 0 {
		t.Errorf("got budgets %v and consumers %v", got.Budgets, got.Consumers)
	}
}

func TestSummaryShows(t *testing.T) {
	const usd = 1_000_000_000
	warning := func(route *v1alpha1.ModelRoute) { route.Spec.Budgets[0].Enforcement = v1alpha1.EnforcementWarn }
	unlimited := func(route *v1alpha1.ModelRoute) { route.Spec.Budgets = nil }
	total := func(route *v1alpha1.ModelRoute) { route.Spec.Budgets[0].Window = v1alpha1.Window{Period: "Total"} }
	tiny := usageOf(128_000, 0, 0)
	forever := usageOf(1*usd, 0, 0)
	forever.Budgets[0].Budget.Period = ledgerpb.Period_PERIOD_TOTAL

	cases := map[string]struct {
		change func(*v1alpha1.ModelRoute)
		usage  *ledgerpb.RouteUsage
		want   v1alpha1.Summary
	}{
		"Nothing before the ledger has answered": {func(*v1alpha1.ModelRoute) {}, nil, v1alpha1.Summary{Model: "mixtral"}},
		"SmallAmounts with what they have of six decimals": {func(*v1alpha1.ModelRoute) {}, tiny,
			v1alpha1.Summary{Model: "mixtral", Spend: "0.000128", Budget: "100.00", Used: "0%", Resets: "2026-12-01 00:00 CET"}},
		"LargeAmounts in cents, rounded up": {func(*v1alpha1.ModelRoute) {}, usageOf(12*usd+345_678_901, 0, 0),
			v1alpha1.Summary{Model: "mixtral", Spend: "12.35", Budget: "100.00", Used: "12%", Resets: "2026-12-01 00:00 CET"}},
		"AWarning where nothing denies": {warning, usageOf(1*usd, 0, 0),
			v1alpha1.Summary{Model: "mixtral", Spend: "1.00", Budget: "100.00", Used: "1%", Resets: "2026-12-01 00:00 CET"}},
		"Never, where the window has no end": {total, forever,
			v1alpha1.Summary{Model: "mixtral", Spend: "1.00", Budget: "100.00", Used: "1%", Resets: "never"}},
		"TheTotal where there is no budget": {unlimited, usageOf(1*usd, 500_000_000, 0), v1alpha1.Summary{Model: "mixtral", Spend: "1.50"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			route := limitedRoute()
			test.change(route)
			shown, _ := projectSpend(route, test.usage, noon)
			if diff := cmp.Diff(test.want, *summarise(route, shown)); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFullestBudgetIs(t *testing.T) {
	deny, warn := v1alpha1.EnforcementDeny, v1alpha1.EnforcementWarn
	spec := func(name string, enforcement v1alpha1.Enforcement) v1alpha1.Budget {
		return v1alpha1.Budget{Name: name, Enforcement: enforcement}
	}
	status := func(name string, percent int32, remaining string) v1alpha1.BudgetStatus {
		return v1alpha1.BudgetStatus{Name: name, PercentUsed: &percent, Remaining: remaining}
	}
	cases := map[string]struct {
		specs    []v1alpha1.Budget
		statuses []v1alpha1.BudgetStatus
		want     string
	}{
		"ADenialBeforeAWarning": {
			[]v1alpha1.Budget{spec("w", warn), spec("d", deny)}, []v1alpha1.BudgetStatus{status("w", 99, "1.00"), status("d", 1, "99.00")}, "d"},
		"TheHigherPercentage": {
			[]v1alpha1.Budget{spec("a", deny), spec("b", deny)}, []v1alpha1.BudgetStatus{status("a", 4, "1.00"), status("b", 5, "99.00")}, "b"},
		"TheSmallerRest": {
			[]v1alpha1.Budget{spec("a", deny), spec("b", deny)}, []v1alpha1.BudgetStatus{status("a", 120, "-0.50"), status("b", 120, "-1.00")}, "b"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got, _ := fullest(test.specs, test.statuses); got.Name != test.want {
				t.Errorf("the fullest is %q, want %q", got.Name, test.want)
			}
		})
	}
}
