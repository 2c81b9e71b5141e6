// Package controllers makes the cluster and the ledger what ModelRoutes say, and their status what is there. It orders what other
// packages do: they compile, build and apply; here is when, and what it means for the status.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/desired"
)

// The manager's rights. It must itself hold what it grants to proxies, which is to read and watch their configuration. A right to Secrets
// cannot be narrowed to those with our label; the manager caches only these and reads others singly, by the name that a route gives. So
// it reads ConfigMaps.
//
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelroutes,verbs=get;list;watch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelroutes/status,verbs=patch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelroutes/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets;services;serviceaccounts,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=podmonitors,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// maxConcurrentReconciles is how many routes are looked at at a time. A pass that writes waits for the API server most of its time.
const maxConcurrentReconciles = 16

// ModelRouteReconciler reconciles ModelRoutes.
type ModelRouteReconciler struct {
	// Client writes, and reads from a cache that holds, of all kinds but ModelRoute, only objects with our label.
	Client client.Client
	// Live reads from the API server what the cache does not hold.
	Live client.Reader
	// Ledger is told the budgets, and Usage knows what it says of the spend.
	Ledger Ledger
	Usage  *Usage
	// Lists keeps the upstreams' lists of models; nil if nobody does.
	Lists *Lists
	// Books compares the spend with what upstreams have billed; nil if nobody does.
	Books *Books
	// UpstreamKeys tell how the keys stand that are made at upstreams; nil if nobody makes any.
	UpstreamKeys *UpstreamKeyReports
	// Authority returns the certificate, as PEM, by which proxies know the ledger; nil where the ledger is reached without TLS.
	Authority func(ctx context.Context) ([]byte, error)
	// Extensions knows which kinds the cluster has that not every one has; nil if it has none of them.
	Extensions *Extensions
	// Exchange has the keys of ModelKeys, and Gateways what gateways do with routes.
	Exchange *KeyExchange
	Gateways *GatewayExchange
	// Issuer knows how tokens of ServiceAccounts are verified; nil if nobody asks.
	Issuer *TokenIssuer
	// Shared puts the budgets of teams and ModelKeys.
	Shared *SharedBudgets
	// Events records what happened to a route.
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Random is where keys come from.
	Random io.Reader
	Config Config

	keyring   keyring
	puts      puts
	sightings keySightings
	// clashes are the new routes, by name, of which it is known that somebody else has a name that they need: types.UID.
	clashes sync.Map
}

// Config is what the reconciler is told when the manager starts.
type Config struct {
	// Namespace is the operator's own.
	Namespace string
	// LedgerURL is where proxies reach the ledger.
	LedgerURL string
	// ProxyImage is the image of the proxies, and ProxyPullPolicy how it is pulled; empty leaves that to the kubelet.
	ProxyImage      string
	ProxyPullPolicy corev1.PullPolicy
	// ProxyEnv are further environment variables of the proxies.
	ProxyEnv []desired.EnvVar
}

// SetupWithManager lets a manager call the reconciler whenever a route, one of its children or pods, or the ledger has something new.
func (r *ModelRouteReconciler) SetupWithManager(ctx context.Context, manager ctrl.Manager) error {
	for _, kind := range []client.Object{&v1alpha1.ModelRoute{}, &v1alpha1.ModelKey{}} {
		if err := manager.GetFieldIndexer().IndexField(ctx, kind, consumerTeamsIndex, indexConsumerTeams); err != nil {
			return fmt.Errorf("indexing consumers by their teams: %w", err)
		}
	}
	if err := manager.GetFieldIndexer().IndexField(ctx, &v1alpha1.ModelRoute{}, gatewayIndex, indexGateway); err != nil {
		return fmt.Errorf("indexing routes by their gateways: %w", err)
	}
	isAuthority := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetNamespace() == r.Config.Namespace && object.GetName() == certs.LedgerSecret
	})
	controlled := ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.ModelRoute{}, builder.WithPredicates(specOrAnnotations())).
		Owns(&corev1.ServiceAccount{}, builder.WithPredicates(notNew())).
		Owns(&corev1.Secret{}, builder.WithPredicates(notNew())).
		Owns(&corev1.Service{}, builder.WithPredicates(notNew())).
		Owns(&rbacv1.Role{}, builder.WithPredicates(notNew())).
		Owns(&rbacv1.RoleBinding{}, builder.WithPredicates(notNew())).
		Owns(&appsv1.Deployment{}, builder.WithPredicates(notNew())).
		Owns(&policyv1.PodDisruptionBudget{}, builder.WithPredicates(notNew())).
		Owns(&networkingv1.NetworkPolicy{}, builder.WithPredicates(notNew())).
		Owns(&autoscalingv2.HorizontalPodAutoscaler{}, builder.WithPredicates(notNew())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(routeOfPod)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.everyRoute), builder.WithPredicates(isAuthority)).
		Watches(&v1alpha1.ModelKey{}, handler.EnqueueRequestsFromMapFunc(routesOfModelKey),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.TeamBudget{}, handler.EnqueueRequestsFromMapFunc(r.routesOfTeam),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.routesOfNamespace),
			builder.WithPredicates(otherLabels())).
		Watches(&v1alpha1.ModelGateway{}, handler.EnqueueRequestsFromMapFunc(r.routesOfGateway),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(&r.Exchange.routes).
		WatchesRawSource(&r.Gateways.routes).
		WatchesRawSource(r.Usage).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles})
	if r.Lists != nil {
		controlled = controlled.WatchesRawSource(r.Lists)
	}
	if r.UpstreamKeys != nil {
		controlled = controlled.WatchesRawSource(&r.UpstreamKeys.routes)
	}
	if r.Books != nil {
		controlled = controlled.WatchesRawSource(r.Books)
	}
	if r.Extensions != nil {
		controlled = controlled.WatchesRawSource(r.Extensions.source("ModelRoute", r.routesWithExtensions))
	}
	return controlled.Complete(r)
}

// notNew leaves out what is new: a child is new because a pass has just made it, or because the manager has just begun, which looks at
// every route anyway. With thousands of routes the passes over what has just been done would take longer than the work.
func notNew() predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}
}

// specOrAnnotations lets through what changes the spec or an annotation: these ask for new keys.
func specOrAnnotations() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// otherLabels lets through what changes the labels of an object that is there. A namespace that is new has no ModelKeys yet.
func otherLabels() predicate.Predicate {
	isUpdate := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
	return predicate.And(isUpdate, predicate.LabelChangedPredicate{})
}

// Reconcile takes one route through all phases. They stop at the first that fails; what is there is observed, and the status written, all
// the same.
func (r *ModelRouteReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	route := &v1alpha1.ModelRoute{}
	if err := r.Client.Get(ctx, request.NamespacedName, route); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, err
		}
		return r.forget(ctx, request.NamespacedName)
	}
	if !route.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, r.showLeaving(ctx, route) // its children go with it, by their owner references
	}
	s := newScope(route, r.Clock.Now())
	s.live = &onceReader{Reader: r.Live}
	s.err = run(ctx, s,
		r.readUpstreamKeys,
		r.complete,
		r.admitTeams,
		r.readKeys,
		r.resolve,
		r.issueKeys,
		r.admitModelKeys,
		r.compile,
		r.buildChildren,
		r.awaitLimits,
		r.putBudgets,
		r.applyChildren,
		r.applyExtensions,
		r.pruneChildren)
	r.noteClash(s)
	if err := r.observe(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	if s.err == nil {
		s.err = r.deliverKeys(ctx, s)
	}
	r.reportModelKeys(s)
	return r.finish(ctx, s)
}

func run(ctx context.Context, s *scope, phases ...func(context.Context, *scope) error) error {
	for _, phase := range phases {
		if err := phase(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// routeOfPod finds the route of a proxy's pod, which belongs to a ReplicaSet and not to the route itself.
func routeOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.LabelRoute]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// everyRoute is called when the ledger's authority has changed, which is in the configuration of every proxy.
func (r *ModelRouteReconciler) everyRoute(ctx context.Context, _ client.Object) []reconcile.Request {
	return requestsOf(ctx, r.Client, &v1alpha1.ModelRouteList{}, nil)
}

// routesWithExtensions are those that ask for an object of a kind that not every cluster has.
func (r *ModelRouteReconciler) routesWithExtensions(ctx context.Context) []reconcile.Request {
	return requestsOf(ctx, r.Client, &v1alpha1.ModelRouteList{}, func(one client.Object) bool {
		route, is := one.(*v1alpha1.ModelRoute)
		return is && len(desired.ExtensionsOf(route)) > 0
	})
}

// isNew reports whether a route was never looked at, but for passes that the cache does not show yet.
func (r *ModelRouteReconciler) isNew(route *v1alpha1.ModelRoute) bool {
	clashed, _ := r.clashes.Load(client.ObjectKeyFromObject(route))
	return len(route.Status.Conditions) == 0 && clashed != route.UID
}

// noteClash has the next pass over a route look for every child before it makes any, if somebody else has the name of one.
func (r *ModelRouteReconciler) noteClash(s *scope) {
	if _, isClash := errors.AsType[*apply.NotOwnedError](s.err); isClash {
		r.clashes.Store(s.name(), s.route.UID)
	}
}

// applier writes the children of one pass.
func (r *ModelRouteReconciler) applier(s *scope) *apply.Applier {
	return &apply.Applier{
		Client: r.Client, Live: s.live, Extensions: r.Extensions.readerOf,
		OwnerIsNew: r.isNew(s.route),
	}
}

const (
	// idleInterval is how often a route is looked at when nothing happens, since nobody tells us when a Secret that is not ours goes: the
	// right to watch Secrets is not used for those of others. A look costs the API server a read at most.
	idleInterval = time.Minute
	// idleLooks is how many routes are looked at in a second because of that, so that thousands of routes do not keep a core busy: above
	// idleLooks times idleInterval of them, each is looked at less often.
	idleLooks = 10
	// pendingInterval is how often a route is looked at that waits for its proxies; what they do wakes it sooner.
	pendingInterval = 10 * time.Second
	// retryInterval is how soon it is tried again when a Secret is missing or the ledger does not answer.
	retryInterval = 5 * time.Second
	// conflictInterval is how soon it is tried again when the cache was behind.
	conflictInterval = time.Second
)
