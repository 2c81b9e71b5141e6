package controllers

import (
	"context"
	"strings"
	"sync"

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
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
)

// +kubebuilder:rbac:groups=modelroute.dev,resources=modelgateways,verbs=get;list;watch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelgateways/status,verbs=patch
// +kubebuilder:rbac:groups=modelroute.dev,resources=modelgateways/finalizers,verbs=update

// ModelGatewayReconciler reconciles ModelGateways. It makes no configuration of routes and puts no budgets: it takes up the configurations
// that the routes' own controller writes, once the ledger knows their budgets.
type ModelGatewayReconciler struct {
	// Client, Live, Extensions, Authority, Issuer and Config are as those of a ModelRouteReconciler.
	Client     client.Client
	Live       client.Reader
	Extensions *Extensions
	Authority  func(ctx context.Context) ([]byte, error)
	Issuer     *TokenIssuer
	Config     Config
	// Usage knows which configuration proxies serve, and Exchange tells routes what becomes of them.
	Usage    *Usage
	Exchange *GatewayExchange
	// Events records what happened to a gateway.
	Events events.EventRecorder
	Clock  clock.PassiveClock

	mu       sync.Mutex
	memories map[types.NamespacedName]*gatewayMemory
}

// gatewayMemory is what is kept of a gateway between passes. It is locked during each.
type gatewayMemory struct {
	sync.Mutex
	uid     types.UID
	history gatewayHistory
	// taken are the routes' configurations as they were last read.
	taken map[types.NamespacedName]takenRoute
	// parts are the hashes of the parts of the version that was applied last.
	parts []string
	// mounted are the files that all proxies have, as of the last time that no rollout was under way.
	mounted map[compile.GatewayFile]bool
}

// memory returns what is kept of a gateway; of an earlier one of the same name that is nothing.
func (r *ModelGatewayReconciler) memory(gateway *v1alpha1.ModelGateway) *gatewayMemory {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(gateway)
	kept := r.memories[name]
	if kept == nil || kept.uid != gateway.UID {
		kept = &gatewayMemory{uid: gateway.UID}
		if r.memories == nil {
			r.memories = map[types.NamespacedName]*gatewayMemory{}
		}
		r.memories[name] = kept
	}
	return kept
}

// SetupWithManager lets a manager call the reconciler whenever a gateway, one of its children or pods, a route that names it or the
// configuration of one, or what its proxies serve is another than before.
func (r *ModelGatewayReconciler) SetupWithManager(manager ctrl.Manager) error {
	isAuthority := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetNamespace() == r.Config.Namespace && object.GetName() == certs.LedgerSecret
	})
	isConfig := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return strings.HasSuffix(object.GetName(), compile.ConfigSecretSuffix)
	})
	controlled := ctrl.NewControllerManagedBy(manager).
		For(&v1alpha1.ModelGateway{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&corev1.ServiceAccount{}).
		Owns(&corev1.Secret{}).
		Owns(&corev1.Service{}).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&appsv1.Deployment{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&autoscalingv2.HorizontalPodAutoscaler{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(gatewayByLabel)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(gatewayByLabel), builder.WithPredicates(isConfig)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.everyGateway), builder.WithPredicates(isAuthority)).
		Watches(&v1alpha1.ModelRoute{}, handler.EnqueueRequestsFromMapFunc(gatewayNamed),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(&r.Exchange.gateways).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles})
	if r.Extensions != nil {
		controlled = controlled.WatchesRawSource(r.Extensions.source("ModelGateway", r.gatewaysWithExtensions))
	}
	return controlled.Complete(r)
}

// Reconcile takes one gateway through all phases, as ModelRouteReconciler does a route.
func (r *ModelGatewayReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	gateway := &v1alpha1.ModelGateway{}
	if err := r.Client.Get(ctx, request.NamespacedName, gateway); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(request.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !gateway.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil // its children go with it, by their owner references
	}
	memory := r.memory(gateway)
	memory.Lock()
	defer memory.Unlock()
	s := &gatewayScope{gateway: gateway, now: r.Clock.Now(), memory: memory}
	s.err = runGateway(ctx, s,
		r.listRoutes,
		r.resolve,
		r.assemble,
		r.buildChildren,
		r.applyChildren,
		r.refuse,
		r.applyExtensions,
		r.pruneChildren)
	if err := r.observe(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	r.report(s)
	return r.finish(ctx, s)
}

func runGateway(ctx context.Context, s *gatewayScope, phases ...func(context.Context, *gatewayScope) error) error {
	for _, phase := range phases {
		if err := phase(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *ModelGatewayReconciler) forget(gateway types.NamespacedName) {
	r.Exchange.forget(gateway)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memories, gateway)
}

// gatewayByLabel finds the gateway that an object was made for, whoever owns it.
func gatewayByLabel(_ context.Context, object client.Object) []reconcile.Request {
	return gatewayRequest(object.GetNamespace(), object.GetLabels()[v1alpha1.LabelGateway])
}

// gatewayNamed finds the gateway that a route names.
func gatewayNamed(_ context.Context, object client.Object) []reconcile.Request {
	route, isRoute := object.(*v1alpha1.ModelRoute)
	if !isRoute {
		return nil
	}
	return gatewayRequest(route.Namespace, route.Spec.GatewayRef.Name)
}

func gatewayRequest(namespace, name string) []reconcile.Request {
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// everyGateway is called when the ledger's authority has changed, which is in the configuration of every proxy.
func (r *ModelGatewayReconciler) everyGateway(ctx context.Context, _ client.Object) []reconcile.Request {
	return requestsOf(ctx, r.Client, &v1alpha1.ModelGatewayList{}, nil)
}

// gatewaysWithExtensions are those that ask for an object of a kind that not every cluster has.
func (r *ModelGatewayReconciler) gatewaysWithExtensions(ctx context.Context) []reconcile.Request {
	return requestsOf(ctx, r.Client, &v1alpha1.ModelGatewayList{}, func(one client.Object) bool {
		gateway, is := one.(*v1alpha1.ModelGateway)
		return is && len(desired.ExtensionsOfGateway(gateway)) > 0
	})
}

func (r *ModelGatewayReconciler) applier() *apply.Applier {
	return &apply.Applier{Client: r.Client, Live: r.Live, Extensions: r.Extensions.readerOf}
}
