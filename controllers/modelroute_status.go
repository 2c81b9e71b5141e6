package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// finish writes the status if it has changed, tells of what happened, and says when to look again.
func (r *ModelRouteReconciler) finish(ctx context.Context, s *scope) (reconcile.Result, error) {
	if apierrors.IsConflict(s.err) || apierrors.IsAlreadyExists(s.err) {
		return reconcile.Result{RequeueAfter: conflictInterval}, nil // the cache was behind; nothing is known that is worth writing
	}
	if errors.Is(s.err, errGatewayUnknown) {
		return reconcile.Result{RequeueAfter: retryInterval}, nil // it wakes the route when it is known
	}
	if errors.Is(s.err, awaitingLimitError{}) {
		return reconcile.Result{RequeueAfter: conflictInterval}, nil // nothing has happened yet
	}
	changed := s.route.DeepCopy()
	changed.Status = computeStatus(s)
	if !equality.Semantic.DeepEqual(s.route.Status, changed.Status) {
		err := r.Client.Status().Patch(ctx, changed, client.MergeFromWithOptions(s.route, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: conflictInterval}, nil
		case err != nil:
			return reconcile.Result{}, errors.Join(s.err, fmt.Errorf("writing the status: %w", client.IgnoreNotFound(err)))
		}
		r.tell(s.route, changed.Status)
	}
	return result(ctx, s)
}

// result says when to look again. Only an error that a retry may cure, and that nothing else would tell us of, is returned as one.
func result(ctx context.Context, s *scope) (reconcile.Result, error) {
	var (
		notOwned   *apply.NotOwnedError
		unresolved *unresolvedError
		pending    *pendingListError
		ledger     *ledgerError
		write      *apply.WriteError
	)
	switch {
	case s.err == nil:
		return reconcile.Result{RequeueAfter: untilExpiry(s, untilNextLook(s))}, nil
	case errors.Is(s.err, invalidError{}):
		return reconcile.Result{RequeueAfter: idleInterval}, nil
	case errors.As(s.err, &write) && write.NamespaceLeaves():
		return reconcile.Result{RequeueAfter: idleInterval}, nil // should somebody let the namespace stay after all
	case errors.As(s.err, &notOwned), errors.As(s.err, &unresolved), errors.As(s.err, &pending):
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case errors.As(s.err, &ledger):
		log.FromContext(ctx).Info("The ledger could not be told the budgets; this is tried again", "error", s.err.Error())
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	return reconcile.Result{}, s.err
}

// untilNextLook is when to look again at a route where nothing failed that keeps it from serving.
func untilNextLook(s *scope) time.Duration {
	switch {
	case !s.extensions.areFinished():
		return retryInterval
	case !s.isAtRest():
		return pendingInterval
	}
	return s.untilIdleLook()
}

// untilIdleLook is when to look again at a route of which nothing is waited for.
func (s *scope) untilIdleLook() time.Duration {
	if len(s.identities.uids) > 0 {
		return idleInterval // A ServiceAccount that is gone must not be let in for longer, however many routes there are.
	}
	return idleAmong(s.usage.routes)
}

// idleAmong is how often a route is looked at when nothing happens, if it is one of so many.
func idleAmong(routes int) time.Duration {
	return max(idleInterval, time.Duration(routes)*time.Second/idleLooks)
}

// isAtRest reports whether nothing is waited for that nobody would tell us of. Of pods we are told.
func (s *scope) isAtRest() bool {
	isDelivered := len(s.pending) == 0 || s.gateway == nil && len(s.readyPods) == 0
	return s.isSettled() && isDelivered && !s.lacksAccounts()
}

// untilExpiry is the time until a credit or a ModelKey expires, or a key has to be replaced or refused, if that is less than the given one.
func untilExpiry(s *scope, otherwise time.Duration) time.Duration {
	until := func(at time.Time) {
		if !at.IsZero() {
			// A key's time is counted in whole seconds, and a pass that comes too early would come again at once.
			otherwise = min(max(at.Sub(s.now), time.Millisecond), otherwise)
		}
	}
	until(compile.NextExpiry(s.route, s.modelKeys, s.teams, s.now))
	for _, plan := range s.plans {
		until(plan.Next)
	}
	return otherwise
}

// previousKey is how a status shows the key that was replaced; nil for none.
func previousKey(key *routeconfig.Key) *v1alpha1.PreviousKey {
	if key == nil {
		return nil
	}
	return &v1alpha1.PreviousKey{KeyID: key.ID, EndTime: metav1.NewTime(time.Unix(key.Expires, 0))}
}

// computeStatus is the status that a pass leads to. It is pure: what the pass did not observe is unknown, or stays as it was.
func computeStatus(s *scope) v1alpha1.ModelRouteStatus {
	shown := figuresShown(s.route.Status)
	if !s.usage.waits {
		shown, _ = projectSpend(s.route, s.usage.usage, s.now)
	}
	status := v1alpha1.ModelRouteStatus{
		ObservedGeneration: s.route.Generation,
		Conditions:         conditions(s, shown),
		Model:              modelShown(s),
		Summary:            summarise(s.route, shown),
		Endpoint:           s.route.Status.Endpoint,
		Spend:              shown.Spend,
		Budgets:            shown.Budgets,
		Consumers:          consumerStatuses(s, shown),
		Upstreams:          upstreamStatuses(s, shown),
	}
	if s.applied {
		status.Endpoint = s.access().BaseURL
	}
	if s.deployment != nil {
		status.Replicas = new(s.deployment.Status.Replicas)
		status.ReadyReplicas = new(s.deployment.Status.ReadyReplicas)
		status.Selector = labels.FormatLabels(s.owner().ProxyLabels())
	}
	return status
}

// upstreamStatuses are those of the upstreams of which there is anything to show, in the order of the spec.
func upstreamStatuses(s *scope, shown figures) []v1alpha1.UpstreamStatus {
	compared, prices := projectBooks(s.route, s.books, s.now), pricesShown(s)
	var statuses []v1alpha1.UpstreamStatus
	for _, upstream := range s.route.Spec.Upstreams {
		status := v1alpha1.UpstreamStatus{Name: upstream.Name}
		for _, one := range compared {
			if one.Name == upstream.Name {
				status = one
			}
		}
		status = withPrices(status, prices[upstream.Name])
		status.Budgets = shown.Upstreams[upstream.Name]
		status.ProvisionedKey = provisionedKeyShown(s, upstream.Name)
		if len(status.Budgets) > 0 || status.ProvisionedKey != nil || isCompared(status) || status.BaseURL != "" {
			statuses = append(statuses, status)
		}
	}
	return statuses
}

// consumerStatuses are in the order of the spec.
func consumerStatuses(s *scope, shown figures) []v1alpha1.ConsumerStatus {
	served := servedAccountsShown(s)
	statuses := make([]v1alpha1.ConsumerStatus, 0, len(s.route.Spec.Consumers))
	for _, consumer := range s.route.Spec.Consumers {
		status := v1alpha1.ConsumerStatus{
			Name:            consumer.Name,
			ServiceAccounts: served[consumer.Name],
			Spent:           shown.Consumers[consumer.Name].Spent,
			LastUseTime:     shown.Consumers[consumer.Name].LastUse,
			Budgets:         shown.Consumers[consumer.Name].Budgets,
		}
		if key, delivered := s.delivered[consumer.Name]; delivered {
			status.SecretName, status.KeyID = compile.SecretName(s.route, consumer), key.ID
			status.PreviousKey = previousKey(s.plans[consumer.Name].Previous)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// servedAccountsShown are the ServiceAccounts whose tokens the proxies are told to accept, by consumer: those of this pass, or those before
// it if it did not get to tell them.
func servedAccountsShown(s *scope) map[string][]string {
	shown := map[string][]string{}
	if !s.applied {
		for _, consumer := range s.route.Status.Consumers {
			shown[consumer.Name] = consumer.ServiceAccounts
		}
		return shown
	}
	for consumer, accounts := range s.servedAccounts() {
		shown[consumer] = servedNames(accounts)
	}
	return shown
}
