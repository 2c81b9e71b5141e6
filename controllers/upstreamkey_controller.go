package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/fence"
	"github.com/modelroute/modelroute/internal/openrouter"
)

// Of a route's spec this never writes anything: the right to patch is for its finalizers.
//
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelroutes,verbs=patch

const (
	// upstreamKeyInterval is how often a key is looked at at the upstream when nothing happens, about: somebody may have deleted, disabled
	// or changed it there.
	upstreamKeyInterval = 15 * time.Minute
	upstreamKeyJitter   = 0.2
	// upstreamKeyRetry is how soon it is tried again at first when an upstream did not answer, and upstreamKeyMaxRetry after many times.
	upstreamKeyRetry    = 5 * time.Second
	upstreamKeyMaxRetry = 5 * time.Minute
	// upstreamKeyTimeout bounds one pass over a route, whatever an upstream does: a long list of keys takes seconds.
	upstreamKeyTimeout = time.Minute
)

// UpstreamKeyReconciler makes the API keys that routes have made at their upstreams. It stands beside the routes' reconciler, which knows
// only the Secrets with the keys, so that nothing that is said to an upstream keeps a route waiting that needs no answer.
type UpstreamKeyReconciler struct {
	// Client writes, and reads from a cache; Live reads from the API server.
	Client client.Client
	Live   client.Reader
	// Keys makes them.
	Keys UpstreamKeyMaker
	// Reports tell the routes' reconciler.
	Reports *UpstreamKeyReports
	// Events records what happened to a route.
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// RetryInterval is how soon it is tried again at first; 0 is 5 seconds.
	RetryInterval time.Duration

	remembered managementKeys
	listings   keyListings
}

// UpstreamKeyMaker makes and changes keys at an upstream. Its errors never have a key in them.
type UpstreamKeyMaker interface {
	Create(ctx context.Context, at openrouter.Account, name string, ask fence.Ask) (key, hash string, err error)
	Get(ctx context.Context, at openrouter.Account, hash string) (openrouter.Key, error)
	Change(ctx context.Context, at openrouter.Account, hash string, ask fence.Ask) error
	Delete(ctx context.Context, at openrouter.Account, hash string) error
	Named(ctx context.Context, at openrouter.Account, matches func(name string) bool) ([]openrouter.Key, error)
}

// managementKeys are those that were last read, by route and reference: when a namespace is deleted, the Secrets may go before the routes.
type managementKeys struct {
	mu   sync.Mutex
	keys map[types.NamespacedName]map[v1alpha1.SecretKeyReference]string
}

func (m *managementKeys) note(route types.NamespacedName, ref v1alpha1.SecretKeyReference, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[types.NamespacedName]map[v1alpha1.SecretKeyReference]string{}
	}
	if m.keys[route] == nil {
		m.keys[route] = map[v1alpha1.SecretKeyReference]string{}
	}
	m.keys[route][ref] = key
}

func (m *managementKeys) of(route types.NamespacedName, ref v1alpha1.SecretKeyReference) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[route][ref]
}

func (m *managementKeys) forget(route types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, route)
}

// SetupWithManager lets a manager call the reconciler whenever a route's spec changes, comes to be in force, or is being deleted, and when
// a Secret with a key is others than before.
func (r *UpstreamKeyReconciler) SetupWithManager(manager ctrl.Manager) error {
	retry := r.RetryInterval
	if retry == 0 {
		retry = upstreamKeyRetry
	}
	isUpstreamKey := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetLabels()[v1alpha1.LabelUpstreamKey] != ""
	})
	return ctrl.NewControllerManagedBy(manager).
		Named("upstreamkey").
		For(&v1alpha1.ModelRoute{}, builder.WithPredicates(predicate.Or(specOrAnnotations(), comesToBeInForce(), isNewlyDeleted()))).
		Owns(&corev1.Secret{}, builder.WithPredicates(isUpstreamKey)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentReconciles,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retry, upstreamKeyMaxRetry),
		}).
		Complete(r)
}

// comesToBeInForce lets through that a route's generation is enforced: a limit that was to be lowered waits for that.
func comesToBeInForce() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(update event.UpdateEvent) bool {
			before, isRoute := update.ObjectOld.(*v1alpha1.ModelRoute)
			after, isStillRoute := update.ObjectNew.(*v1alpha1.ModelRoute)
			return isRoute && isStillRoute && !isEnforced(before) && isEnforced(after)
		},
	}
}

// isNewlyDeleted lets through that an object with finalizers is to go.
func isNewlyDeleted() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(update event.UpdateEvent) bool {
			return update.ObjectOld.GetDeletionTimestamp().IsZero() && !update.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

// Reconcile makes, changes and deletes the keys of one route.
func (r *UpstreamKeyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamKeyTimeout)
	defer cancel()
	route := &v1alpha1.ModelRoute{}
	if err := r.Client.Get(ctx, request.NamespacedName, route); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	switch {
	case !controllerutil.ContainsFinalizer(route, v1alpha1.FinalizerUpstreamKeys) &&
		(len(provisionedUpstreams(route)) == 0 || !route.DeletionTimestamp.IsZero()):
		r.forget(request.NamespacedName)
		return reconcile.Result{}, nil
	case !route.DeletionTimestamp.IsZero():
		return r.revokeAll(ctx, route)
	}
	// Before the finalizer was there, no key was made.
	isFirst, err := r.changeFinalizer(ctx, route, controllerutil.AddFinalizer)
	if err != nil {
		return retryConflict(err)
	}
	return r.provisionAll(ctx, route, isFirst)
}

// provisionAll looks at all upstreams, also at those that had a key before and are to have none.
func (r *UpstreamKeyReconciler) provisionAll(ctx context.Context, route *v1alpha1.ModelRoute, isFirst bool) (reconcile.Result, error) {
	wanted := provisionedUpstreams(route)
	left, err := r.upstreamsWithSecret(ctx, route)
	if err != nil {
		return reconcile.Result{}, err
	}
	report, next := upstreamKeyReport{tried: map[string]string{}}, r.Clock.Now().Add(wait.Jitter(upstreamKeyInterval, upstreamKeyJitter))
	var failures []error
	for _, upstream := range wanted {
		left = slices.DeleteFunc(left, func(name string) bool { return name == upstream.Name })
		p := &upstreamPass{route: route, upstream: upstream.Name, now: r.Clock.Now(), next: next, isFirst: isFirst}
		failures = append(failures, r.provision(ctx, p, upstream))
		report.add(p)
		next = p.next
	}
	remaining := len(wanted)
	for _, name := range left {
		p := &upstreamPass{route: route, upstream: name, now: r.Clock.Now(), next: next}
		failures = append(failures, r.retire(ctx, p))
		report.add(p)
		next = p.next
		if !p.record.isEmpty() || p.problem != nil {
			remaining++
		}
	}
	failure := errors.Join(failures...)
	switch {
	case failure != nil && len(report.problems) == 0: // It is the API server that failed: nothing is known that is worth telling.
		return retryConflict(failure)
	case failure == nil && remaining == 0:
		return retryConflict(r.removeFinalizer(ctx, route))
	}
	r.Reports.report(client.ObjectKeyFromObject(route), report)
	if failure != nil {
		return reconcile.Result{}, failure
	}
	return reconcile.Result{RequeueAfter: max(next.Sub(r.Clock.Now()), time.Second)}, nil
}

// removeFinalizer lets a route go, or be, without keys.
func (r *UpstreamKeyReconciler) removeFinalizer(ctx context.Context, route *v1alpha1.ModelRoute) error {
	r.forget(client.ObjectKeyFromObject(route))
	_, err := r.changeFinalizer(ctx, route, controllerutil.RemoveFinalizer)
	return client.IgnoreNotFound(err)
}

// changeFinalizer adds or removes the finalizer, and writes that and nothing else. It reports whether anything changed.
func (r *UpstreamKeyReconciler) changeFinalizer(
	ctx context.Context, route *v1alpha1.ModelRoute, change func(client.Object, string) bool,
) (bool, error) {
	before := route.DeepCopy()
	if !change(route, v1alpha1.FinalizerUpstreamKeys) {
		return false, nil
	}
	err := r.Client.Patch(ctx, route, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return false, fmt.Errorf("writing the finalizers: %w", err)
	}
	return true, nil
}

// retryConflict says when to try again: soon, where only the cache was behind.
func retryConflict(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return reconcile.Result{RequeueAfter: conflictInterval}, nil
	}
	return reconcile.Result{}, err
}

func (r *UpstreamKeyReconciler) forget(route types.NamespacedName) {
	r.remembered.forget(route)
	r.Reports.forget(route)
}

func (r *UpstreamKeyReconciler) applier() *apply.Applier {
	return &apply.Applier{Client: r.Client, Live: r.Live}
}
