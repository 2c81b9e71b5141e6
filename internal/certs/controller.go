package certs

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// SetupWithManager lets the leader keep the Secrets in order: once at its start, whenever one of them changes, and when a renewal is due.
func (i *Issuer) SetupWithManager(manager ctrl.Manager) error {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: i.Namespace, Name: AuthoritySecret}}
	both := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	start := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(request)
		return nil
	})
	return ctrl.NewControllerManagedBy(manager).
		Named("certificates").
		Watches(&corev1.Secret{}, both, builder.WithPredicates(predicate.NewPredicateFuncs(i.isOurs))).
		WatchesRawSource(start).
		Complete(i)
}

// Reconcile is called for the two Secrets together.
func (i *Issuer) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	after, err := i.Ensure(ctx)
	return reconcile.Result{RequeueAfter: after}, err
}

func (i *Issuer) isOurs(object client.Object) bool {
	return object.GetNamespace() == i.Namespace && (object.GetName() == AuthoritySecret || object.GetName() == LedgerSecret)
}
