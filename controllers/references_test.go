package controllers

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestTheAuthoritiesOfAnUpstreamAreAskedFor(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w := newWorld(t)
	route := w.route()
	route.Spec.Upstreams[0].CABundleRef = v1alpha1.CABundleReference{Name: "authorities"}
	w.create(route)
	waits := func(reason, want string) {
		t.Helper()
		route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, reason)
		if diff := cmp.Diff(want, conditionOf(route, v1alpha1.ConditionReady).Message); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
		if owned := w.ownedBy(route); len(owned) > 0 {
			t.Errorf("there are children already: %v", owned)
		}
	}
	waits(v1alpha1.ReasonConfigMapNotFound, fmt.Sprintf(`ConfigMap "authorities" does not exist: create it in namespace %s with the `+
		`certificates of the upstream's authorities, in PEM, under "ca.crt".`, w.namespace))

	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "authorities", Namespace: w.namespace}})
	waits(v1alpha1.ReasonConfigMapKeyMissing,
		`ConfigMap "authorities" has nothing under "ca.crt": put the certificates of the upstream's authorities there, in PEM.`)

	put := func(text string) {
		t.Helper()
		change(w, "authorities", &corev1.ConfigMap{}, func(c *corev1.ConfigMap) { c.Data = map[string]string{"ca.crt": text} })
	}
	put("none")
	waits(v1alpha1.ReasonCABundleInvalid,
		`ConfigMap "authorities" has no usable certificates under "ca.crt": there is no certificate in PEM in it.`)

	put(bundle)
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.deployment("chat")
}

func TestTheAuthoritiesOfAnUpstreamMayBeInASecret(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Upstreams[0].CABundleRef = v1alpha1.CABundleReference{Kind: v1alpha1.CABundleSecret, Name: "authorities", Key: "ca.pem"}
	w.create(route)
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "authorities", Namespace: w.namespace}})
	w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyMissing)
}

func TestWhatTheManagerMayNotReadIsSaidAndKeepsNobodyElseFromBeingServed(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.narrowRights(func(rule rbacv1.PolicyRule) bool { return slices.Contains(rule.Resources, "configmaps") })
	w.startManager()
	w.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "authorities", Namespace: w.namespace}})
	route := w.route()
	route.Spec.Upstreams[0].CABundleRef = v1alpha1.CABundleReference{Name: "authorities"}
	w.create(route)
	waiting := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
	want := fmt.Sprintf(`The manager has no right to read ConfigMap "authorities": bind its ClusterRole, modelroute-manager, to its `+
		`ServiceAccount in namespace %s.`, w.namespace)
	if diff := cmp.Diff(want, conditionOf(waiting, v1alpha1.ConditionReady).Message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	other := w.route()
	other.Name = "other"
	w.create(other)
	w.until("other", v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
	w.deployment("other")
}
