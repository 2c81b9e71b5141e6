package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// daily is a budget that denies.
func daily(amount v1alpha1.USD) v1alpha1.Budget {
	return v1alpha1.Budget{Name: "daily", Amount: amount, Window: v1alpha1.Window{Period: "Day"}, Enforcement: v1alpha1.EnforcementDeny}
}

// withReserve gives a route a second upstream, cheap, that has a budget and serves what the route's budget refuses.
func withReserve(route *v1alpha1.ModelRoute) *v1alpha1.ModelRoute {
	cheap := v1alpha1.Upstream{Name: "cheap", Budgets: []v1alpha1.Budget{daily("2.00")}}
	if len(route.Spec.Upstreams) > 0 {
		cheap.Provider, cheap.BaseURL = "OpenAICompatible", "http://cheap.models.svc/v1"
		cheap.APIKeySecretRef, cheap.Pricing = route.Spec.Upstreams[0].APIKeySecretRef, v1alpha1.Pricing{Prompt: "0.20", Completion: "0.60"}
	}
	route.Spec.Upstreams = append(route.Spec.Upstreams, cheap)
	route.Spec.Budgets[0].WhenExhausted = v1alpha1.WhenExhausted{Upstream: "cheap"}
	return route
}

func TestTheStatusShowsABudgetThatGoesOnAtItsReserveAndTheReservesBudgets(t *testing.T) {
	w := newWorld(t)
	route := withReserve(w.route())
	route.Spec.Budgets[0].Amount, route.Spec.Budgets[0].AlertPercents = "1.00", nil
	route.Spec.Consumers[0].Budgets = nil
	p := w.serve(route)
	p.spendAt("cheap", usd/2)
	p.spend(usd) // Which is written at once, since it is all.
	shown := &v1alpha1.ModelRoute{}
	w.eventually("the status shows both", func() error {
		w.get("chat", shown)
		if len(shown.Status.Budgets) == 0 || shown.Status.Budgets[0].State != "Exhausted" {
			return fmt.Errorf("the budgets are %+v", shown.Status.Budgets)
		}
		for _, upstream := range shown.Status.Upstreams {
			if upstream.Name == "cheap" && upstream.Budgets[0].Spent == "0.50" {
				return nil
			}
		}
		return fmt.Errorf("the upstreams are %+v", shown.Status.Upstreams)
	})
	if got := shown.Status.Budgets[0].Spent; got != "1.00" {
		t.Errorf("%s USD count against the route's budget, want 1.00", got)
	}
	within := conditionOf(shown, v1alpha1.ConditionWithinBudget)
	if want := "requests go on at upstream cheap until"; within.Status != metav1.ConditionFalse || !strings.Contains(within.Message, want) {
		t.Errorf("WithinBudget is %s: %s", within.Status, within.Message)
	}
	w.untilEvent(eventBudgetExhausted)
	checkStatus(t, shown)

	// Whoever reconciles it again finds that the ledger knows all budgets.
	before := w.puts.Load()
	p.spendAt("cheap", usd*3/2)
	w.untilSpent("chat", "3.00")
	if puts := w.puts.Load() - before; puts != 0 {
		t.Errorf("the budgets were put %d times more", puts)
	}
}

// reserveUsage is what the ledger says when so much was spent within the route's budget, and so much at the reserve.
func reserveUsage(ordinary, reserve int64) *ledgerpb.RouteUsage {
	usage := usageOf(ordinary, 0, 0)
	usage.Spend = &ledgerpb.Spend{SettledNanoUsd: ordinary + reserve}
	usage.Upstreams = []*ledgerpb.UpstreamUsage{{Name: "cheap", Budgets: []*ledgerpb.BudgetUsage{{
		Budget: &ledgerpb.Budget{
			Ref: &ledgerpb.BudgetRef{Upstream: "cheap", Name: "daily"}, Limit: 2_000_000_000,
			Period: ledgerpb.Period_PERIOD_TOTAL, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		},
		Spend: &ledgerpb.Spend{SettledNanoUsd: reserve},
	}}}}
	return usage
}

func TestABudgetOfAnUpstreamIsShownUrgentAnnouncedAndExhaustedAsOthersAre(t *testing.T) {
	route := withReserve(limitedRoute())
	showing(route, reserveUsage(1, 0), noon)
	s := newScope(route, noon)
	s.books = booksSnapshot{off: true}
	shown := figuresShown(route.Status)
	shown.setUpstream("cheap", nil)
	next, due := projectSpend(route, reserveUsage(1, 2_000_000_000), noon)
	if !due {
		t.Error("an upstream's budget that is used up is not written at once")
	}
	status := upstreamStatuses(s, next)
	if len(status) != 1 || status[0].Name != "cheap" || status[0].Budgets[0].State != "Exhausted" || status[0].Since != nil {
		t.Errorf("the upstreams are %+v", status)
	}
	alerts := newAlerts(route, shown, next)
	if len(alerts) != 1 || alerts[0].describe() != "Upstream cheap's budget daily of 2.00 USD is used to 80 percent." ||
		alerts[0].action() != "CountSpend/cheap/daily/80" {
		t.Errorf("the alerts are %+v", alerts)
	}
	exhausted := exhaustedBudgets(route, next)
	want := "Upstream cheap's budget daily of 2.00 USD is used up: " +
		"requests go to the next upstream, if there is one, until its amount is raised."
	if len(exhausted) != 1 || exhausted[0].describe() != want {
		t.Errorf("the exhausted budgets are %+v", exhausted)
	}
	route.Status.Upstreams = status
	if diff := cmp.Diff(next.Upstreams, figuresShown(route.Status).Upstreams); diff != "" {
		t.Errorf("what is shown is not what was written (-written +shown):\n%s", diff)
	}
	if again, due := projectSpend(showing(route, reserveUsage(1, 2_000_000_000), noon), reserveUsage(1, 2_000_000_000), noon); due {
		t.Errorf("the same figures are written again: %+v", again)
	}
}

func TestTheComparisonOfAnUpstreamsBooksStandsBesideItsBudgets(t *testing.T) {
	compared := v1alpha1.UpstreamStatus{Name: "cheap", Since: new(metav1.NewTime(noon)), Drift: "0.00", State: v1alpha1.BooksAgreeing}
	both := compared
	both.Budgets = []v1alpha1.BudgetStatus{{Name: "daily"}}
	onlyBudgets := v1alpha1.UpstreamStatus{Name: "main", Budgets: both.Budgets}
	if !sameBooks([]v1alpha1.UpstreamStatus{onlyBudgets, both}, []v1alpha1.UpstreamStatus{compared}) {
		t.Error("a budget is taken for another comparison")
	}
	if sameBooks([]v1alpha1.UpstreamStatus{onlyBudgets}, []v1alpha1.UpstreamStatus{compared}) {
		t.Error("a budget is taken for a comparison")
	}
}
