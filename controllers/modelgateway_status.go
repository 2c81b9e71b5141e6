package controllers

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
)

// finish writes the status if it has changed, tells of what happened, and says when to look again.
func (r *ModelGatewayReconciler) finish(ctx context.Context, s *gatewayScope) (reconcile.Result, error) {
	if apierrors.IsConflict(s.err) || apierrors.IsAlreadyExists(s.err) {
		return reconcile.Result{RequeueAfter: conflictInterval}, nil // the cache was behind
	}
	changed := s.gateway.DeepCopy()
	changed.Status = computeGatewayStatus(s)
	if !equality.Semantic.DeepEqual(s.gateway.Status, changed.Status) {
		err := r.Client.Status().Patch(ctx, changed, client.MergeFromWithOptions(s.gateway, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: conflictInterval}, nil
		case err != nil:
			return reconcile.Result{}, errors.Join(s.err, fmt.Errorf("writing the status: %w", client.IgnoreNotFound(err)))
		}
		r.tell(s.gateway, changed.Status)
	}
	return gatewayResult(ctx, s)
}

// gatewayResult says when to look again, as result does for a route.
func gatewayResult(ctx context.Context, s *gatewayScope) (reconcile.Result, error) {
	var (
		notOwned   *apply.NotOwnedError
		unresolved *unresolvedError
		ledger     *ledgerError
	)
	switch {
	case s.err == nil && !s.extensions.areFinished():
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case s.err == nil && s.acknowledged() == len(s.readyPods), errors.Is(s.err, invalidError{}):
		return reconcile.Result{RequeueAfter: idleInterval}, nil
	case s.err == nil:
		return reconcile.Result{RequeueAfter: pendingInterval}, nil
	case errors.As(s.err, &notOwned), errors.As(s.err, &unresolved):
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case errors.As(s.err, &ledger):
		log.FromContext(ctx).Info("It is not known how the ledger is reached; this is tried again", "error", s.err.Error())
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	return reconcile.Result{}, s.err
}

// tell records that a gateway got stuck.
func (r *ModelGatewayReconciler) tell(before *v1alpha1.ModelGateway, after v1alpha1.ModelGatewayStatus) {
	stalled := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionStalled)
	if stalled != nil && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, stalled.Reason, actionReconcile, "%s", clip(stalled.Message, maxNote))
	}
}

// computeGatewayStatus is the status that a pass leads to. It is pure.
func computeGatewayStatus(s *gatewayScope) v1alpha1.ModelGatewayStatus {
	named, served := int64(len(s.named)), int64(len(s.memory.history.routes))
	status := v1alpha1.ModelGatewayStatus{
		ObservedGeneration: s.gateway.Generation,
		Conditions:         gatewayConditions(s),
		Endpoint:           s.gateway.Status.Endpoint,
		Routes:             &v1alpha1.GatewayRoutes{Named: &named, Served: &served},
		Summary:            &v1alpha1.GatewaySummary{Routes: fmt.Sprintf("%d/%d", served, named)},
	}
	if s.applied && s.unresolved == nil {
		status.Endpoint = compile.GatewayEndpoint(s.gateway)
	}
	if s.deployment != nil {
		status.Replicas = new(s.deployment.Status.Replicas)
		status.ReadyReplicas = new(s.deployment.Status.ReadyReplicas)
		status.Selector = labels.FormatLabels(desired.OwnerOfGateway(s.gateway).ProxyLabels())
		status.Summary.Replicas = fmt.Sprintf("%d/%d", s.deployment.Status.ReadyReplicas, s.wantedReplicas())
	}
	return status
}

// gatewayReplicas is where it stands how many proxies a gateway has.
const gatewayReplicas = "spec.replicas"

// gatewayConditions are all conditions of a pass. That one of its routes cannot be served is that route's to say.
func gatewayConditions(s *gatewayScope) []metav1.Condition {
	verdicts := []verdict{gatewayAccepted(s), gatewayResolved(s), gatewayProgrammed(s), gatewayAvailable(s)}
	message := fmt.Sprintf("%d of %d routes are served at %s.",
		len(s.memory.history.routes), len(s.named), compile.GatewayEndpoint(s.gateway))
	if s.wantedReplicas() == 0 {
		message = paused(gatewayReplicas)
	}
	ready := summary(message, verdicts...)
	condition := func(name string, v verdict) metav1.Condition {
		return makeCondition(s.gateway.Status.Conditions, s.gateway.Generation, s.now, name, v)
	}
	conditions := []metav1.Condition{
		condition(v1alpha1.ConditionAccepted, verdicts[0]),
		condition(v1alpha1.ConditionResolvedRefs, verdicts[1]),
		condition(v1alpha1.ConditionProgrammed, verdicts[2]),
		condition(v1alpha1.ConditionAvailable, verdicts[3]),
		condition(v1alpha1.ConditionReady, ready),
	}
	conditions = append(conditions,
		s.extensions.conditions(compile.GatewayPods(s.gateway), s.gateway.Namespace, failed(s.err), condition)...)
	var notOwned *apply.NotOwnedError
	isStuck := len(s.invalid) > 0 || errors.As(s.err, &notOwned) && !notOwned.Leaving
	switch {
	case ready.status == metav1.ConditionTrue:
	case isStuck:
		conditions = append(conditions, condition(v1alpha1.ConditionStalled, yes(ready.reason, ready.message)))
	default:
		conditions = append(conditions, condition(v1alpha1.ConditionReconciling, yes(ready.reason, ready.message)))
	}
	return conditions
}

func gatewayAccepted(s *gatewayScope) verdict {
	if len(s.invalid) > 0 {
		return no(v1alpha1.ReasonInvalid, s.invalid.ToAggregate().Error()+".")
	}
	return yes(v1alpha1.ReasonAccepted, "The spec is valid.")
}

func gatewayResolved(s *gatewayScope) verdict {
	switch {
	case s.unresolved != nil:
		return no(s.unresolved.Reason, s.unresolved.Message)
	case !s.resolved:
		return failed(s.err)
	}
	return yes(v1alpha1.ReasonResolvedRefs, "All Secrets that the spec names are there.")
}

func gatewayProgrammed(s *gatewayScope) verdict {
	if s.err != nil {
		return notProgrammed(s.err, s.deployment != nil, "gateway")
	}
	acknowledged := s.acknowledged()
	if len(s.memory.history.routes) == 0 {
		acknowledged = len(s.readyPods) // A proxy without routes has nothing to tell the ledger.
	}
	return s.programmed(acknowledged, s.fresh, v1alpha1.LabelGateway, s.gateway.Name, gatewayReplicas)
}

func gatewayAvailable(s *gatewayScope) verdict {
	return s.available(s.err, v1alpha1.LabelGateway, s.gateway.Name, gatewayReplicas)
}
