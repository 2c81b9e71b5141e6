package controllers

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// newWorldWithTenant makes a world with a second namespace, which has these labels, and starts a manager.
func newWorldWithTenant(t *testing.T, labels map[string]string) (w *world, tenant string) {
	t.Helper()
	w, tenant = newWorldWithTenantAt(t, clock.RealClock{}, labels)
	w.startManager()
	return w, tenant
}

func newWorldWithTenantAt(t *testing.T, clock clock.WithTicker, labels map[string]string) (w *world, tenant string) {
	t.Helper()
	w = newWorldAt(t, clock)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-", Labels: labels}}
	w.create(namespace)
	w.tenants = append(w.tenants, namespace.Name)
	return w, namespace.Name
}

// openRoute is the route chat, which accepts ModelKeys of every namespace.
func (w *world) openRoute() *v1alpha1.ModelRoute {
	route := w.route()
	route.Spec.Keys = v1alpha1.RouteKeys{AllowedNamespaces: v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}}
	return route
}

// modelKey is a ModelKey of a namespace for routes of the world's namespace.
func (w *world) modelKey(namespace string, routes ...string) *v1alpha1.ModelKey {
	key := &v1alpha1.ModelKey{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "crawler"}}
	for _, route := range routes {
		key.Spec.RouteRefs = append(key.Spec.RouteRefs, v1alpha1.RouteReference{Namespace: w.namespace, Name: route})
	}
	return key
}

// untilKey waits until the condition of the ModelKey crawler has the status and reason, and returns it.
func (w *world) untilKey(namespace, condition string, status metav1.ConditionStatus, reason string) *v1alpha1.ModelKey {
	w.t.Helper()
	key := &v1alpha1.ModelKey{}
	w.eventually(fmt.Sprintf("%s is %s with reason %s", condition, status, reason), func() error {
		w.getIn(namespace, "crawler", key)
		have := meta.FindStatusCondition(key.Status.Conditions, condition)
		if key.Status.ObservedGeneration == key.Generation && have != nil && have.Status == status && have.Reason == reason {
			return nil
		}
		return fmt.Errorf("the conditions are %v, the routes %v", key.Status.Conditions, key.Status.Routes)
	})
	checkKstatus(w.t, key.Generation, key.Status.ObservedGeneration, key.Status.Conditions)
	return key
}

func (w *world) untilKeyReady(namespace string) *v1alpha1.ModelKey {
	w.t.Helper()
	return w.untilKey(namespace, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// keySecret is the Secret crawler of a namespace.
func (w *world) keySecret(namespace string) *corev1.Secret {
	w.t.Helper()
	secret := &corev1.Secret{}
	w.getIn(namespace, "crawler", secret)
	return secret
}

func (w *world) hasKeySecret(namespace string) bool {
	w.t.Helper()
	return w.client.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: "crawler"}, &corev1.Secret{}) == nil
}

// untilAccepted waits until the proxies of a route are told to accept so many keys of a consumer, and returns their hashes.
func (w *world) untilAccepted(route, consumer string, count int) []string {
	w.t.Helper()
	var hashes []string
	w.eventually(fmt.Sprintf("%d keys of %s are accepted", count, consumer), func() error {
		if hashes = w.acceptedHashes(route, consumer); len(hashes) != count {
			return errors.New(fmt.Sprint(hashes))
		}
		return nil
	})
	return hashes
}

// secretWith finds the Secret that has a key, in any of the world's namespaces.
func (w *world) secretWith(key string) *corev1.Secret {
	w.t.Helper()
	for _, namespace := range append([]string{w.namespace}, w.tenants...) {
		secrets := &corev1.SecretList{}
		if err := w.client.List(w.t.Context(), secrets, client.InNamespace(namespace)); err != nil {
			w.t.Fatal(err)
		}
		for i := range secrets.Items {
			if keyOf(&secrets.Items[i]) == key {
				return &secrets.Items[i]
			}
		}
	}
	w.t.Fatal("no Secret has that key")
	return nil
}
