package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
)

// team is a TeamBudget of a team that no other test has, with a budget of so many USD a day; every namespace may spend in its name.
func (w *world) team(amount v1alpha1.USD) *v1alpha1.TeamBudget {
	return &v1alpha1.TeamBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "team-of-" + w.namespace},
		Spec: v1alpha1.TeamBudgetSpec{
			Team: w.namespace, NamespaceSelector: &metav1.LabelSelector{}, Budgets: []v1alpha1.Budget{daily(amount)},
		},
	}
}

// teamRoute is a route without limits of its own, whose consumer search spends in the name of the world's team.
func (w *world) teamRoute(name string) *v1alpha1.ModelRoute {
	route := w.route()
	route.Name = name
	route.Spec.Budgets, route.Spec.RateLimits = nil, nil
	route.Spec.Consumers = []v1alpha1.Consumer{{Name: "search", Team: w.namespace}}
	return route
}

// untilTeam waits until the condition of a TeamBudget has the status and reason, and returns it.
func (w *world) untilTeam(name, condition string, status metav1.ConditionStatus, reason string) *v1alpha1.TeamBudget {
	w.t.Helper()
	team := &v1alpha1.TeamBudget{}
	w.eventually(fmt.Sprintf("%s is %s with reason %s", condition, status, reason), func() error {
		w.getIn("", name, team)
		have := meta.FindStatusCondition(team.Status.Conditions, condition)
		if team.Status.ObservedGeneration == team.Generation && have != nil && have.Status == status && have.Reason == reason {
			return nil
		}
		return fmt.Errorf("the conditions are %v, the budgets %v", team.Status.Conditions, team.Status.Budgets)
	})
	checkKstatus(w.t, team.Generation, team.Status.ObservedGeneration, team.Status.Conditions)
	return team
}

// untilDenied waits until so much is too much for a consumer, and returns the denial.
func (p *proxy) untilDenied(consumer string, nano int64) *ledgerclient.DeniedError {
	p.w.t.Helper()
	var denied *ledgerclient.DeniedError
	p.w.eventually("so much is denied", func() error {
		hold, err := p.ledger.Reserve(p.w.t.Context(), ledgerclient.Demand{
			Namespace: p.w.namespace, Route: p.route, Consumer: consumer, Team: p.team, Upstream: "openrouter",
			Amount: money.FromNano(nano),
		})
		if errors.As(err, &denied) {
			return nil
		}
		if hold != nil {
			return errors.Join(errors.New("it is held"), hold.Settle(ledgerclient.Cost{Certainty: ledgerclient.Exact}))
		}
		return err
	})
	return denied
}

func TestATeamsBudgetHoldsOverAllItsRoutes(t *testing.T) {
	w := newWorld(t)
	w.create(w.team("1.00"))
	w.untilTeam("team-of-"+w.namespace, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	chat, code := w.serve(w.teamRoute("chat")), w.serve(w.teamRoute("code"))
	chat.spend(usd * 3 / 4)
	if denied := code.untilDenied("search", usd/2); denied.Budget != "daily" {
		t.Errorf("budget %q denies, want that of the team", denied.Budget)
	}
	code.spend(usd / 4) // What is left is still there.
	team := w.untilTeam("team-of-"+w.namespace, v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, v1alpha1.ReasonBudgetExhausted)
	if got := team.Status.Spend.Total; got != "1.00" {
		t.Errorf("the team has spent %s USD in all, want 1.00", got)
	}
	want := []v1alpha1.RouteSpend{
		{Namespace: w.namespace, Name: "chat", Spent: "0.75"}, {Namespace: w.namespace, Name: "code", Spent: "0.25"},
	}
	if got := team.Status.Routes; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the routes are %v, want %v", got, want)
	}
	if summary := team.Status.Summary; summary.Spend != "1.00" || summary.Budget != "1.00" || summary.Used != "100%" {
		t.Errorf("the columns are %+v", summary)
	}
	w.untilEvent(eventBudgetExhausted)
}

func TestWhatATeamSpentStaysWhenItsBudgetIsDeletedAndMadeAgain(t *testing.T) {
	w := newWorld(t)
	team := w.team("1.00")
	w.create(team)
	chat := w.serve(w.teamRoute("chat"))
	chat.team = w.namespace
	chat.spend(usd)
	w.delete(team)
	chat.spend(usd * 2) // Nothing limits it any more, and it is the team's all the same.
	w.create(w.team("3.50"))
	if denied := chat.untilDenied("search", usd); denied.Remaining.Cmp(money.FromNano(usd/2)) != 0 {
		t.Errorf("%s USD are left, want 0.50 of 3.50", denied.Remaining)
	}
}

func TestNobodySpendsInTheNameOfATeamThatDoesNotSelectTheirNamespace(t *testing.T) {
	w := newWorld(t)
	team := w.team("1.00")
	team.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "search"}}
	w.create(team)
	w.untilTeam(team.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	route := w.teamRoute("chat")
	route.Spec.Consumers = append(route.Spec.Consumers, v1alpha1.Consumer{Name: "other"})
	w.create(route)
	w.runPod("chat", "chat-pod")
	w.runProxy("chat", "chat-pod")
	refused := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonTeamNotAllowed)
	message := meta.FindStatusCondition(refused.Status.Conditions, v1alpha1.ConditionResolvedRefs).Message
	for _, part := range []string{"Consumer search", w.namespace, "namespaceSelector", team.Name} {
		if !strings.Contains(message, part) {
			t.Errorf("the message does not say %q: %s", part, message)
		}
	}
	w.consumerSecret("chat", "other") // The others are served.
	if w.exists("chat-search", &corev1.Secret{}) || len(w.acceptedHashes("chat", "search")) > 0 {
		t.Error("the consumer has a key all the same")
	}

	w.label(w.namespace, "search")
	w.untilReady("chat")
	first := w.consumerSecret("chat", "search")
	w.label(w.namespace, "")
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonTeamNotAllowed)
	w.untilAccepted("chat", "search", 0)
	w.eventually("the key's Secret is gone", func() error {
		if w.exists("chat-search", &corev1.Secret{}) {
			return errors.New("it is there")
		}
		return nil
	})
	w.label(w.namespace, "search")
	w.untilReady("chat")
	if again := w.consumerSecret("chat", "search"); keyOf(again) == keyOf(first) {
		t.Error("the key that was refused is back")
	}
}

func TestOfSeveralBudgetsOfATeamTheOldestIsInForce(t *testing.T) {
	w := newWorld(t)
	first, second := w.team("1.00"), w.team("5.00")
	second.Name = "zz-" + w.namespace
	w.create(first)
	w.create(second)
	w.untilTeam(first.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	late := w.untilTeam(second.Name, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSuperseded)
	if message := meta.FindStatusCondition(late.Status.Conditions, v1alpha1.ConditionReady).Message; !strings.Contains(message, first.Name) {
		t.Errorf("the message does not name the other: %s", message)
	}
	chat := w.serve(w.teamRoute("chat"))
	if denied := chat.untilDenied("search", usd*2); denied.Limit.Nano() != usd {
		t.Errorf("a budget of %s USD denies, want the older one, of 1.00", denied.Limit)
	}
	w.delete(first)
	w.untilTeam(second.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	chat.spend(usd * 2)
}

func TestATeamWhoseBudgetsNeverCouldBeInForceIsNotServed(t *testing.T) {
	w := newWorld(t)
	team := w.team("1.00")
	team.Spec.Budgets[0].Window.TimeZone = "Europe/Atlantis"
	w.create(team)
	w.untilTeam(team.Name, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalid)
	w.create(w.teamRoute("chat"))
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonTeamNotAllowed)
	changeIn(w, "", team.Name, &v1alpha1.TeamBudget{}, func(team *v1alpha1.TeamBudget) {
		team.Spec.Budgets[0].Window.TimeZone = "Europe/Berlin"
	})
	w.untilTeam(team.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
}

func TestAModelKeysBudgetIsOverAllItsRoutes(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	chat, code := w.openRoute(), w.openRoute()
	for _, route := range []*v1alpha1.ModelRoute{chat, code} {
		route.Spec.Budgets, route.Spec.RateLimits, route.Spec.Consumers = nil, nil, nil
	}
	code.Name = "code"
	atChat, atCode := w.serve(chat), w.serve(code)
	key := w.modelKey(tenant, "chat", "code")
	key.Spec.Budgets = []v1alpha1.Budget{daily("1.00")}
	w.create(key)
	w.untilKeyReady(tenant)
	consumer := tenant + "/crawler"
	atChat.spendAs(consumer, "openrouter", usd*3/4)
	if denied := atCode.untilDenied(consumer, usd/2); denied.Remaining.Nano() != usd/4 {
		t.Errorf("%s USD are left, want 0.25", denied.Remaining)
	}
	atCode.spendAs(consumer, "openrouter", usd/4)
	spent := w.untilKey(tenant, v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, v1alpha1.ReasonBudgetExhausted)
	if got := spent.Status.Budgets[0].Spent; got != "1.00" {
		t.Errorf("%s USD count against the ModelKey's budget, want 1.00", got)
	}
}

// A team's budget, or a ModelKey's, holds at no route that knows no price: a request could cost anything.
func TestWhereNoPriceIsKnownNobodyIsServedUnderABudgetThatDenies(t *testing.T) {
	w, tenant := newWorldWithTenant(t, nil)
	w.create(w.team("1.00"))
	w.untilTeam("team-of-"+w.namespace, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	route := w.teamRoute("chat")
	route.Spec.Keys.AllowedNamespaces.From = v1alpha1.NamespacesAll
	route.Spec.Upstreams[0] = v1alpha1.Upstream{
		Name: "own", Provider: v1alpha1.ProviderOpenAICompatible, BaseURL: "http://vllm.models.svc/v1",
		APIKeySecretRef: route.Spec.Upstreams[0].APIKeySecretRef,
	}
	key := w.modelKey(tenant, "chat")
	key.Spec.Budgets = []v1alpha1.Budget{daily("1.00")}
	w.create(route)
	w.create(key)
	refused := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonTeamNotAllowed)
	message := meta.FindStatusCondition(refused.Status.Conditions, v1alpha1.ConditionResolvedRefs).Message
	if want := "no price is known"; !strings.Contains(message, want) {
		t.Errorf("the message is %q", message)
	}
	w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonNotAllowed)

	change(w, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Spec.Upstreams[0].Pricing = v1alpha1.Pricing{Prompt: "1", Completion: "1"}
	})
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.untilKey(tenant, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
}
