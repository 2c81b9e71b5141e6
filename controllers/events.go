package controllers

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/compile"
)

// The reasons of events, and what the operator was doing.
const (
	eventKeyIssued       = "KeyIssued"
	eventBudgetAlert     = "BudgetAlert"
	eventBudgetExhausted = "BudgetExhausted"
	eventBooksDrift      = "UpstreamBooksDrift"
	eventPriceChanged    = "UpstreamPriceChanged"

	eventUpstreamKeyMade       = "UpstreamKeyMade"
	eventUpstreamKeysAbandoned = "UpstreamKeysAbandoned"

	actionDeliver   = "DeliverKey"
	actionCount     = "CountSpend"
	actionCompare   = "CompareBooks"
	actionPrices    = "ComparePrices"
	actionReconcile = "Reconcile"
	actionProvision = "ProvisionKey"
	actionRevoke    = "RevokeKeys"
)

// secretOf is the Secret of a consumer, as what an event is related to. Events of one object that are alike in everything but their note
// are taken for the same one again, and only the first note is kept: so those about several consumers must differ in something else.
func secretOf(route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: route.Namespace, Name: compile.SecretName(route, consumer)}}
}

// tell records what the new status says and the one before did not: an alert, a budget that is used up, an upstream that
// bills or lists something else, a route that got stuck.
func (r *ModelRouteReconciler) tell(before *v1alpha1.ModelRoute, after v1alpha1.ModelRouteStatus) {
	for _, alert := range newAlerts(before, figuresShown(before.Status), figuresShown(after)) {
		alert.count(before)
		r.Events.Eventf(before, alert.related(before), corev1.EventTypeWarning, eventBudgetAlert, alert.action(), "%s", alert.describe())
	}
	earlier := exhaustedBudgets(before, figuresShown(before.Status))
	for _, budget := range exhaustedBudgets(before, figuresShown(after)) {
		if !slices.ContainsFunc(earlier, budget.isSame) {
			r.Events.Eventf(before, budget.related(before), corev1.EventTypeWarning, eventBudgetExhausted, budget.counting(),
				"%s", budget.describe())
		}
	}
	for _, drift := range newDrifts(before.Status.Upstreams, after.Upstreams) {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, eventBooksDrift, actionCompare+"/"+drift.Name, "%s", describeDrift(drift))
	}
	if prices := newlyFalse(before, after, v1alpha1.ConditionPricesCurrent); prices != nil {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, eventPriceChanged, actionPrices, "%s", clip(prices.Message, maxNote))
	}
	if keys := newlyFalse(before, after, v1alpha1.ConditionUpstreamKeysProvisioned); keys != nil {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, keys.Reason, actionProvision, "%s", clip(keys.Message, maxNote))
	}
	stalled := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionStalled)
	if stalled != nil && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, stalled.Reason, actionReconcile, "%s", clip(stalled.Message, maxNote))
	}
}

// newlyFalse is a condition that is False, and was not for the same reason before; nil if it is none.
func newlyFalse(before *v1alpha1.ModelRoute, after v1alpha1.ModelRouteStatus, name string) *metav1.Condition {
	condition := meta.FindStatusCondition(after.Conditions, name)
	if condition == nil || condition.Status != metav1.ConditionFalse || wasSaid(before, *condition) {
		return nil
	}
	return condition
}

// wasSaid reports whether the status before said the same.
func wasSaid(before *v1alpha1.ModelRoute, condition metav1.Condition) bool {
	said := meta.FindStatusCondition(before.Status.Conditions, condition.Type)
	return said != nil && said.Status == condition.Status && said.Message == condition.Message
}

// maxNote is how many bytes the API server takes as the note of an event.
const maxNote = 1024

// tellOfBudgets records which of an object's budgets have reached an alert or were used up since before. The object's budgets are told
// apart by their actions.
func tellOfBudgets(recorder events.EventRecorder, object runtime.Object, after owned, before []v1alpha1.BudgetStatus) {
	for _, alert := range alertsOf(after, before) {
		recorder.Eventf(object, nil, corev1.EventTypeWarning, eventBudgetAlert, alert.action(), "%s", alert.describe())
	}
	earlier := exhaustedOf(owned{owner: after.owner, specs: after.specs, statuses: before})
	for _, budget := range exhaustedOf(after) {
		if !slices.ContainsFunc(earlier, budget.isSame) {
			recorder.Eventf(object, nil, corev1.EventTypeWarning, eventBudgetExhausted, budget.counting(), "%s", budget.describe())
		}
	}
}

// ownedBudget is a budget of its owner, in its window.
type ownedBudget struct {
	owner
	spec   v1alpha1.Budget
	status v1alpha1.BudgetStatus
}

// counting is what the operator was doing.
func (e ownedBudget) counting() string {
	if e.upstream != "" {
		return actionCount + "/" + e.upstream + "/" + e.spec.Name
	}
	return actionCount + "/" + e.spec.Name
}

// related tells the events of several consumers' budgets apart; their actions tell apart those of several budgets.
func (e ownedBudget) related(route *v1alpha1.ModelRoute) runtime.Object {
	for _, consumer := range route.Spec.Consumers {
		if consumer.Name == e.consumer {
			return secretOf(route, consumer)
		}
	}
	return nil
}

// whose says what kind of budget it is, at the beginning of a sentence.
func (e ownedBudget) whose() string {
	switch {
	case e.consumer != "":
		return "Consumer " + e.consumer + "'s budget"
	case e.upstream != "":
		return "Upstream " + e.upstream + "'s budget"
	case e.team != "":
		return "Team " + e.team + "'s budget"
	}
	return "The budget"
}

// describe says so, with no figure that moves.
func (e ownedBudget) describe() string {
	until := "until its amount is raised"
	if at := resets(e.spec.Window, &e.status); at != never {
		until = "until " + at + ", or until its amount is raised"
	}
	return fmt.Sprintf("%s %s of %s USD is used up: %s %s.", e.whose(), e.spec.Name, e.status.Limit, e.consequence(), until)
}

// consequence is what becomes of the requests that it has too little left for.
func (e ownedBudget) consequence() string {
	switch {
	case e.spec.WhenExhausted.Upstream != "":
		return "requests go on at upstream " + e.spec.WhenExhausted.Upstream
	case e.upstream != "":
		return "requests go to the next upstream, if there is one,"
	}
	return "requests are denied"
}

func (e ownedBudget) isSame(other ownedBudget) bool {
	return e.owner == other.owner && e.spec.Name == other.spec.Name && e.status.WindowStart.Equal(other.status.WindowStart)
}

// exhaustedBudgets are in the order of the spec, those of the route first.
func exhaustedBudgets(route *v1alpha1.ModelRoute, shown figures) []ownedBudget {
	owned := owners(route.Spec, shown)
	all := make([]ownedBudget, 0, len(owned))
	for _, one := range owned {
		all = append(all, exhaustedOf(one)...)
	}
	return all
}

func exhaustedOf(of owned) []ownedBudget {
	var exhausted []ownedBudget
	for _, spec := range of.specs {
		for _, status := range of.statuses {
			if spec.Name == status.Name && denies(spec) && status.State == v1alpha1.BudgetState(budget.Exhausted) {
				exhausted = append(exhausted, ownedBudget{owner: of.owner, spec: spec, status: status})
			}
		}
	}
	return exhausted
}
