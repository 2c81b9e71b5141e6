package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
)

// finish writes the status if it has changed, tells of what happened, and says when to look again.
func (r *ModelKeyReconciler) finish(ctx context.Context, s *keyScope) (reconcile.Result, error) {
	if apierrors.IsConflict(s.err) || apierrors.IsAlreadyExists(s.err) {
		return reconcile.Result{RequeueAfter: conflictInterval}, nil // the cache was behind; nothing is known that is worth writing
	}
	if s.isEarly() {
		return reconcile.Result{RequeueAfter: pendingInterval}, nil // and sooner, when the routes say what they do
	}
	changed := s.key.DeepCopy()
	changed.Status = computeKeyStatus(s)
	if !equality.Semantic.DeepEqual(s.key.Status, changed.Status) {
		err := r.Client.Status().Patch(ctx, changed, client.MergeFromWithOptions(s.key, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: conflictInterval}, nil
		case err != nil:
			return reconcile.Result{}, errors.Join(s.err, fmt.Errorf("writing the status: %w", client.IgnoreNotFound(err)))
		}
		r.tell(s.key, changed.Status)
	}
	return keyResult(s)
}

// isEarly reports whether a route has still to say for the first time since this process began what it does: until then the status that is
// there says more.
func (s *keyScope) isEarly() bool {
	return s.err == nil && s.key.Status.ObservedGeneration == s.key.Generation &&
		slices.ContainsFunc(s.routes, func(one namedRoute) bool { return one.admits && !one.reported })
}

// keyResult says when to look again.
func keyResult(s *keyScope) (reconcile.Result, error) {
	var notOwned *apply.NotOwnedError
	switch {
	case errors.As(s.err, &notOwned):
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case s.err != nil:
		return reconcile.Result{}, s.err
	}
	var next time.Duration
	until := func(at time.Time) {
		if wait := max(at.Sub(s.now), time.Millisecond); !at.IsZero() && (next == 0 || wait < next) {
			next = wait
		}
	}
	until(s.plan.Next)
	if at := s.key.Spec.ExpireTime; at != nil && at.After(s.now) {
		until(at.Time)
	}
	if s.pending != nil && (next == 0 || next > pendingInterval) {
		next = pendingInterval
	}
	return reconcile.Result{RequeueAfter: next}, nil
}

// computeKeyStatus is the status that a pass leads to. It is pure.
func computeKeyStatus(s *keyScope) v1alpha1.ModelKeyStatus {
	shown := keyFiguresShown(s.key.Status)
	if !s.usage.waits {
		shown, _ = projectKeySpend(s.key, s.usage, s.now)
	}
	routes := s.key.Status.Routes
	if s.resolved {
		routes = routeStatuses(s, shown)
	}
	status := v1alpha1.ModelKeyStatus{
		ObservedGeneration: s.key.Generation,
		Conditions:         keyConditions(s, shown),
		Summary:            summariseKey(s.key, routes, shown),
		Spend:              shown.Spend,
		LastUseTime:        shown.LastUse,
		Budgets:            shown.Budgets,
		Routes:             routes,
	}
	if s.delivered != nil {
		status.SecretName, status.KeyID = compile.KeySecretName(s.key), s.delivered.ID
		status.PreviousKey = previousKey(s.plan.Previous)
	}
	return status
}

// routeStatuses are in the order of the spec.
func routeStatuses(s *keyScope, shown keyFigures) []v1alpha1.ModelKeyRouteStatus {
	statuses := make([]v1alpha1.ModelKeyRouteStatus, 0, len(s.routes))
	for _, one := range s.routes {
		its := one.outcome(s)
		status := v1alpha1.ModelKeyRouteStatus{
			Namespace: one.Namespace, Name: one.Name, State: its.state, Message: its.message, Spent: shown.Routes[one.objectKey()],
		}
		if one.admits {
			access := one.access()
			status.Endpoint, status.Model = access.BaseURL, access.Model
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// outcome is what becomes of the ModelKey at a route.
func (n namedRoute) outcome(s *keyScope) refusal {
	switch {
	case !n.admits:
		return n.refusal
	case s.delivered != nil && n.accepts(s.name(), s.delivered.SHA256), !compile.KeyHasKey(s.key) && n.acceptsAccounts(s.key):
		return refusal{state: v1alpha1.KeyAccepted}
	case n.unverified(s) != "":
		return refusal{v1alpha1.KeyPending, n.unverified(s)}
	case n.reported && !n.report.able:
		return refusal{v1alpha1.KeyNotServed, fmt.Sprintf(
			"ModelRoute %s has no ready proxy, or cannot be served as it is: its status says why.", n.objectKey())}
	}
	return refusal{v1alpha1.KeyPending, fmt.Sprintf(
		"Not every ready proxy of ModelRoute %s accepts the %s yet.", n.objectKey(), s.bearer())}
}

// unverified says why tokens of the ModelKey's ServiceAccounts cannot be verified at a route; empty if they can, or it has a key.
func (n namedRoute) unverified(s *keyScope) string {
	report := n.report.keys[s.name()]
	return cmp.Or(strings.Join(report.absent, " "), report.issuer)
}

// bearer is what the ModelKey's programs present.
func (s *keyScope) bearer() string {
	if compile.KeyHasKey(s.key) {
		return "key"
	}
	return "tokens"
}

func summariseKey(key *v1alpha1.ModelKey, routes []v1alpha1.ModelKeyRouteStatus, shown keyFigures) *v1alpha1.ModelKeySummary {
	accepted := 0
	for _, one := range routes {
		if one.State == v1alpha1.KeyAccepted {
			accepted++
		}
	}
	summary := &v1alpha1.ModelKeySummary{Routes: fmt.Sprintf("%d/%d", accepted, len(routes))}
	if shown.Spend == nil {
		return summary
	}
	summary.Spend = columnAmount(shown.Spend.Total)
	if _, status := fullest(key.Spec.Budgets, shown.Budgets); status != nil {
		summary.Spend, summary.Budget = columnAmount(status.Spent), status.Limit
		summary.Used = fmt.Sprintf("%d%%", ptr.Deref(status.PercentUsed, 0))
	}
	return summary
}

// tell records what the new status says and the one before did not.
func (r *ModelKeyReconciler) tell(before *v1alpha1.ModelKey, after v1alpha1.ModelKeyStatus) {
	its := owned{specs: before.Spec.Budgets, statuses: after.Budgets}
	tellOfBudgets(r.Events, before, its, before.Status.Budgets)
	stalled := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionStalled)
	if stalled != nil && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, stalled.Reason, actionReconcile, "%s", clip(stalled.Message, maxNote))
	}
}
