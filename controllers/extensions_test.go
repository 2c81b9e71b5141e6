package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/desired"
)

// extensionCRDs are the CRDs of the kinds that not every cluster has, as their projects publish them.
var extensionCRDs = filepath.Join("testdata", "crds")

// newExtendedWorld makes a world whose manager looks for these kinds, which are there.
func newExtendedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorldAt(t, testRealClock)
	w.startExtendedManager()
	return w
}

// startExtendedManager starts a manager that looks for kinds often.
func (w *world) startExtendedManager() {
	w.t.Helper()
	w.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		extensions, err := NewExtensions(manager, w.cacheOptions().DefaultNamespaces)
		if err != nil {
			return err
		}
		r.Extensions, extensions.Interval = extensions, 200*time.Millisecond
		return nil
	})
}

// publishedRoute is the route chat with an HTTPRoute and a PodMonitor.
func (w *world) publishedRoute() *v1alpha1.ModelRoute {
	route := w.route()
	route.Spec.Proxy.HTTPRoute = v1alpha1.HTTPRoute{
		ParentRefs: []v1alpha1.ListenerReference{
			{Name: "public", Namespace: "infra", SectionName: "https"}, {Name: "internal", Port: 8080},
		},
		Hostnames:  []string{"llm.example.com"},
		PathPrefix: "/chat",
	}
	route.Spec.Proxy.PodMonitor = &v1alpha1.PodMonitor{Labels: map[string]string{"release": "prometheus"}, IntervalSeconds: 15}
	return route
}

// extension reads an object of the world's namespace.
func (w *world) extension(gvk schema.GroupVersionKind, name string) *unstructured.Unstructured {
	w.t.Helper()
	object := apply.NewExtension(gvk)
	w.get(name, object)
	return object
}

// untilExtension waits until there is an object, or none any more.
func (w *world) untilExtension(gvk schema.GroupVersionKind, name string, wanted bool) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s %s is there: %t", gvk.Kind, name, wanted), func() error {
		err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, apply.NewExtension(gvk))
		if wanted || err == nil {
			return errors.Join(err, map[bool]error{true: nil, false: errors.New("it is there")}[wanted])
		}
		return client.IgnoreNotFound(err)
	})
}

func TestARouteIsPublishedAndMonitoredByObjectsThatItOwns(t *testing.T) {
	w := newExtendedWorld(t)
	w.serve(w.publishedRoute())
	w.untilExtension(desired.HTTPRouteKind, "chat", true)
	route := w.until("chat", v1alpha1.ConditionMonitored, metav1.ConditionTrue, v1alpha1.ReasonMonitored)

	httpRoute, podMonitor := w.extension(desired.HTTPRouteKind, "chat"), w.extension(desired.PodMonitorKind, "chat-proxy")
	for _, object := range []*unstructured.Unstructured{httpRoute, podMonitor} {
		if !metav1.IsControlledBy(object, route) || object.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
			t.Errorf("the %s is not the route's", object.GetKind())
		}
	}
	equalsJSON(t, httpRoute.Object["spec"], `{
		"parentRefs": [
			{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "infra", "sectionName": "https"},
			{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "internal", "port": 8080}],
		"hostnames": ["llm.example.com"],
		"rules": [{
			"matches": [{"path": {"type": "PathPrefix", "value": "/chat"}}],
			"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}],
			"backendRefs": [{"group": "", "kind": "Service", "name": "chat", "port": 80, "weight": 1}],
			"timeouts": {"request": "0s", "backendRequest": "0s"}}]}`)
	equalsJSON(t, podMonitor.Object["spec"], `{
		"selector": {"matchLabels": {"app.kubernetes.io/name": "modelroute-proxy", "modelroute.dev/route": "chat"}},
		"podMetricsEndpoints": [{"port": "admin", "path": "/metrics", "interval": "15s"}]}`)
	if podMonitor.GetLabels()["release"] != "prometheus" {
		t.Errorf("no Prometheus selects the PodMonitor with the labels %v", podMonitor.GetLabels())
	}

	w.quiet("chat")
	w.stopManager()
	writes := w.writes.Load()
	for range 10 {
		w.reconcile()
	}
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("ten passes over an unchanged world wrote %d times", got)
	}
}

// equalsJSON compares what the API server has with JSON.
func equalsJSON(t *testing.T, got any, want string) {
	t.Helper()
	encoded, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var gotValue, wantValue any
	if err := errors.Join(json.Unmarshal(encoded, &gotValue), json.Unmarshal([]byte(want), &wantValue)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantValue, gotValue); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnEditOfAnHTTPRouteIsHealedAndWhatIsNotAskedForIsTakenAway(t *testing.T) {
	w := newExtendedWorld(t)
	w.serve(w.publishedRoute())
	w.untilExtension(desired.HTTPRouteKind, "chat", true)
	change(w, "chat", apply.NewExtension(desired.HTTPRouteKind), func(object *unstructured.Unstructured) {
		_ = unstructured.SetNestedStringSlice(object.Object, []string{"evil.example.com"}, "spec", "hostnames")
	})
	w.eventually("the edit is healed", func() error {
		hosts, _, _ := unstructured.NestedStringSlice(w.extension(desired.HTTPRouteKind, "chat").Object, "spec", "hostnames")
		if diff := cmp.Diff([]string{"llm.example.com"}, hosts); diff != "" {
			return errors.New(diff)
		}
		return nil
	})

	w.delete(w.extension(desired.PodMonitorKind, "chat-proxy"))
	w.untilExtension(desired.PodMonitorKind, "chat-proxy", true)

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Proxy.HTTPRoute, r.Spec.Proxy.PodMonitor = v1alpha1.HTTPRoute{}, nil
	})
	w.untilExtension(desired.HTTPRouteKind, "chat", false)
	w.untilExtension(desired.PodMonitorKind, "chat-proxy", false)
	route := w.untilReady("chat")
	for _, condition := range []string{v1alpha1.ConditionPublished, v1alpha1.ConditionMonitored} {
		if have := conditionOf(route, condition); have.Status != "" {
			t.Errorf("it still says of %s: %s", condition, have.Message)
		}
	}
}

func TestWhatTheGatewaysSayIsInTheStatus(t *testing.T) {
	w := newExtendedWorld(t)
	w.serve(w.publishedRoute())
	says := func(reason, part string, status metav1.ConditionStatus) {
		t.Helper()
		w.eventually("Published has the reason "+reason+" and says "+part, func() error {
			route := &v1alpha1.ModelRoute{}
			w.get("chat", route)
			have := conditionOf(route, v1alpha1.ConditionPublished)
			if have.Status != status || have.Reason != reason || !strings.Contains(have.Message, part) {
				return fmt.Errorf("it is %s, %s: %s", have.Status, have.Reason, have.Message)
			}
			return nil
		})
	}
	says(v1alpha1.ReasonPending,
		"infra/public (listener https), "+w.namespace+"/internal (port 8080) has not answered", metav1.ConditionFalse)

	yes := map[string]any{"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
	refusal := map[string]any{
		"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "there is no such Service",
	}
	w.answerAsGateways(yes)
	says(v1alpha1.ReasonPublished, "for llm.example.com, under /chat/v1", metav1.ConditionTrue)
	w.untilReady("chat")

	w.answerAsGateways(yes, refusal)
	says(v1alpha1.ReasonGatewayRefused,
		"Gateway infra/public (listener https) does not serve the HTTPRoute: there is no such Service (BackendNotFound).",
		metav1.ConditionFalse)
	w.untilReady("chat") // all the same

	w.answerAsGateways(yes)
	says(v1alpha1.ReasonPublished, "", metav1.ConditionTrue)
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Proxy.HTTPRoute.Hostnames = []string{"models.example.com"}
	})
	says(v1alpha1.ReasonPending, "has not answered", metav1.ConditionFalse) // since the answers are to what was before
}

// answerAsGateways has the Gateways of the route chat answer, as their controllers do.
func (w *world) answerAsGateways(conditions ...map[string]any) {
	w.t.Helper()
	w.eventually("the Gateways have answered", func() error {
		object := w.extension(desired.HTTPRouteKind, "chat")
		var answers []any
		for _, condition := range conditions {
			condition["observedGeneration"], condition["lastTransitionTime"] = object.GetGeneration(), "2026-11-23T12:00:00Z"
			answers = append(answers, condition)
		}
		parents, _, _ := unstructured.NestedSlice(object.Object, "spec", "parentRefs")
		var all []any
		for _, parent := range parents {
			all = append(all, map[string]any{"parentRef": parent, "controllerName": "example.com/gateways", "conditions": answers})
		}
		if err := unstructured.SetNestedSlice(object.Object, all, "status", "parents"); err != nil {
			return err
		}
		return w.client.Status().Update(w.t.Context(), object)
	})
}

func TestAnHTTPRouteOfSomebodyElseIsLeftAloneAndTheRouteServes(t *testing.T) {
	w := newExtendedWorld(t)
	foreign := apply.NewExtension(desired.HTTPRouteKind)
	foreign.SetNamespace(w.namespace)
	foreign.SetName("chat")
	foreign.Object["spec"] = map[string]any{}
	w.create(foreign)
	w.serve(w.publishedRoute())
	w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonChildNotOwned)
	if after := w.extension(desired.HTTPRouteKind, "chat"); after.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("it was written to")
	}
}

func TestAnHTTPRouteThatTheAPIServerRefusesIsSaidAndTheRouteServes(t *testing.T) {
	w := newExtendedWorld(t)
	route := w.publishedRoute()
	route.Spec.Proxy.HTTPRoute.ParentRefs = []v1alpha1.ListenerReference{{Name: "public"}, {Name: "public", SectionName: "https"}}
	w.serve(route)
	refused := w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonChildRefused)
	if message := conditionOf(refused, v1alpha1.ConditionPublished).Message; !strings.Contains(message, "sectionName") {
		t.Errorf("it does not say what is wrong: %s", message)
	}
	w.until("chat", v1alpha1.ConditionMonitored, metav1.ConditionTrue, v1alpha1.ReasonMonitored)
}

// The manager's rights may be those of an older version.
func TestWithoutTheRightToAKindTheRouteServesAndTheStatusSaysWhatIsMissing(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.narrowRights(func(rule rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(desired.ExtensionKinds(), func(gvk schema.GroupVersionKind) bool {
			return slices.Contains(rule.APIGroups, gvk.Group)
		})
	})
	w.startExtendedManager()
	w.serve(w.publishedRoute())
	route := w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionUnknown, v1alpha1.ReasonPending)
	if message := conditionOf(route, v1alpha1.ConditionPublished).Message; !strings.Contains(message, "lacks the right to list and watch") {
		t.Errorf("it says %s", message)
	}
}

func TestAKindIsTakenUpWhenItIsInstalledAndLeftWhenItGoes(t *testing.T) {
	t.Parallel()
	environment := &envtest.Environment{
		BinaryAssetsDirectory:    assetsDirectory(),
		CRDDirectoryPaths:        []string{filepath.Join("..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * patience,
	}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	grantRights(t, config)
	w := newWorldOn(t, testRealClock, config)
	w.startExtendedManager()
	w.serve(w.publishedRoute())
	missing := w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonKindNotInstalled)
	w.until("chat", v1alpha1.ConditionMonitored, metav1.ConditionFalse, v1alpha1.ReasonKindNotInstalled)
	if message := conditionOf(missing, v1alpha1.ConditionPublished).Message; !strings.Contains(message, "install the Gateway API") {
		t.Errorf("it does not say what to do: %s", message)
	}

	for range 2 { // The second time, the manager has known the kinds before.
		crds, err := envtest.InstallCRDs(w.config, envtest.CRDInstallOptions{Paths: []string{extensionCRDs}})
		if err != nil {
			t.Fatal(err)
		}
		w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonPending)
		w.until("chat", v1alpha1.ConditionMonitored, metav1.ConditionTrue, v1alpha1.ReasonMonitored)
		w.untilExtension(desired.HTTPRouteKind, "chat", true)
		w.untilReady("chat")

		if err := envtest.UninstallCRDs(w.config, envtest.CRDInstallOptions{CRDs: crds}); err != nil {
			t.Fatal(err)
		}
		w.until("chat", v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonKindNotInstalled)
		w.until("chat", v1alpha1.ConditionMonitored, metav1.ConditionFalse, v1alpha1.ReasonKindNotInstalled)
		w.untilReady("chat")
		w.eventually("the CRDs are gone", func() error { return w.areGone(crds) })
	}
}

// areGone reports whether the API server has none of the CRDs any more.
func (w *world) areGone(crds []*apiextensionsv1.CustomResourceDefinition) error {
	for _, crd := range crds {
		there := &metav1.PartialObjectMetadata{}
		there.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
		if err := w.client.Get(w.t.Context(), types.NamespacedName{Name: crd.Name}, there); !apierrors.IsNotFound(err) {
			return errors.Join(err, errors.New(crd.Name+" is there"))
		}
	}
	return nil
}
