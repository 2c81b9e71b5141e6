package controllers

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
)

// +kubebuilder:rbac:groups=modelroute.dev,resources=modelkeys,verbs=get;list;watch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelkeys/status,verbs=patch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelkeys/finalizers,verbs=update

// ModelKeyReconciler reconciles ModelKeys: it alone makes their keys and delivers them, while the controller of routes has the proxies
// accept them. See KeyExchange.
type ModelKeyReconciler struct {
	// Client and Live are as those of a ModelRouteReconciler.
	Client client.Client
	Live   client.Reader
	// Usage knows what was spent, and Exchange what routes do with keys.
	Usage    *Usage
	Exchange *KeyExchange
	// Events records what happened to a ModelKey.
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Random is where keys come from.
	Random io.Reader
}

// SetupWithManager lets a manager call the reconciler whenever a ModelKey, its Secret, a route that it names, or the labels of its
// namespace are others than before. It adds the index by which the routes' controller finds ModelKeys, too.
func (r *ModelKeyReconciler) SetupWithManager(ctx context.Context, manager ctrl.Manager) error {
	if err := manager.GetFieldIndexer().IndexField(ctx, &v1alpha1.ModelKey{}, routeRefsIndex, indexRouteRefs); err != nil {
		return fmt.Errorf("indexing ModelKeys by their routes: %w", err)
	}
	return ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.ModelKey{}, builder.WithPredicates(specOrAnnotations())).
		Owns(&corev1.Secret{}).
		Watches(&v1alpha1.ModelRoute{}, handler.EnqueueRequestsFromMapFunc(r.modelKeysOfRoute),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.TeamBudget{}, handler.EnqueueRequestsFromMapFunc(r.modelKeysOfTeam),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.modelKeysOfNamespace),
			builder.WithPredicates(otherLabels())).
		WatchesRawSource(&r.Exchange.modelKeys).
		WatchesRawSource(&r.Usage.modelKeys).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles}).
		Complete(r)
}

// Reconcile takes one ModelKey through all phases, as ModelRouteReconciler does a route.
func (r *ModelKeyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	key := &v1alpha1.ModelKey{}
	if err := r.Client.Get(ctx, request.NamespacedName, key); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.Exchange.withdraw(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !key.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil // its Secret goes with it, by its owner reference, and routes do not admit it any more
	}
	s := newKeyScope(key, r.Clock.Now())
	s.err = runKey(ctx, s,
		r.resolve,
		r.claimSecret,
		r.issue,
		r.deliver,
		r.prune)
	r.observe(ctx, s)
	return r.finish(ctx, s)
}

func runKey(ctx context.Context, s *keyScope, phases ...func(context.Context, *keyScope) error) error {
	for _, phase := range phases {
		if err := phase(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *ModelKeyReconciler) modelKeysOfRoute(ctx context.Context, route client.Object) []reconcile.Request {
	return r.list(ctx, client.MatchingFields{routeRefsIndex: client.ObjectKeyFromObject(route).String()})
}

func (r *ModelKeyReconciler) modelKeysOfTeam(ctx context.Context, team client.Object) []reconcile.Request {
	return r.list(ctx, client.MatchingFields{consumerTeamsIndex: indexTeam(team)[0]})
}

func (r *ModelKeyReconciler) modelKeysOfNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return r.list(ctx, client.InNamespace(namespace.GetName()))
}

func (r *ModelKeyReconciler) list(ctx context.Context, which client.ListOption) []reconcile.Request {
	var list v1alpha1.ModelKeyList
	if err := r.Client.List(ctx, &list, which); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing ModelKeys")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

func (r *ModelKeyReconciler) applier() *apply.Applier {
	return &apply.Applier{Client: r.Client, Live: r.Live}
}
