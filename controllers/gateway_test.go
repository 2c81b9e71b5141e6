package controllers

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestOneKeyAndOneURLReachAllRoutesOfAGateway(t *testing.T) {
	w := newWorld(t)
	p := serveFront(t, w, "chat", "code")

	w.create(w.modelKey(w.namespace, "chat", "code"))
	w.untilKeyReady(w.namespace)
	data := textOf(w.keySecret(w.namespace).Data)
	url := "http://front-gateway." + w.namespace + ".svc/v1"
	if data["OPENAI_BASE_URL"] != url || data["OPENAI_BASE_URL_2"] != url || data["MODEL"] != "chat" || data["MODEL_2"] != "code" {
		t.Errorf("the Secret has %v", data)
	}
	p.untilModels(data["OPENAI_API_KEY"], "chat", "code")

	own := textOf(w.consumerSecret("code", "search").Data)
	p.untilModels(own["OPENAI_API_KEY"], "code")
	if own["OPENAI_BASE_URL"] != url {
		t.Errorf("a consumer's Secret has %v", own)
	}

	route := w.untilReady("code")
	if route.Status.Endpoint != url || !strings.Contains(conditionOf(route, v1alpha1.ConditionReady).Message, "by ModelGateway front") {
		t.Errorf("the route's status is %+v", route.Status)
	}
	for _, name := range w.ownedBy(route) {
		if !strings.HasPrefix(name, "Secret ") {
			t.Errorf("the route has a %s of its own", name)
		}
	}
	gateway := w.untilGatewayReady()
	if gateway.Status.Endpoint != url || gateway.Status.Summary.Routes != "2/2" || gateway.Status.Summary.Replicas != "1/1" {
		t.Errorf("the gateway's status is %+v", gateway.Status)
	}

	w.delete(w.modelKey(w.namespace))
	p.untilModels(data["OPENAI_API_KEY"])
}

func TestARouteWhoseGatewayIsMissingSaysSoAndIsServedOnceItIsThere(t *testing.T) {
	w := newWorld(t)
	w.create(w.routeInFront("chat"))
	route := w.until("chat", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonGatewayNotFound)
	if message := conditionOf(route, v1alpha1.ConditionResolvedRefs).Message; !strings.Contains(message, `ModelGateway "front" does not exist: create it`) {
		t.Errorf("the message is %q", message)
	}
	w.create(w.gateway())
	w.untilTakenUp(1)
	w.runGatewayPod("front-pod")
	w.untilReady("chat")
}

func TestABadRouteOfAGatewayHarmsNoOther(t *testing.T) {
	w := newWorld(t)
	p := serveFront(t, w, "chat", "code")
	key := keyOf(w.consumerSecret("chat", "search"))

	change(w, "code", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Upstreams[0].APIKeySecretRef.Name = "nowhere" })
	w.until("code", v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	w.until("code", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonLastGood)

	secret := &corev1.Secret{}
	w.get("code.config", secret)
	change(w, "code.config", secret, func(s *corev1.Secret) { s.Data["config.json"] = []byte("no configuration") })
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Name = "gpt" })
	p.untilModels(key, "gpt")
	w.untilReady("chat")
	gateway := w.untilGatewayReady()
	if gateway.Status.Summary.Routes != "1/2" {
		t.Errorf("the gateway says that it serves %s routes", gateway.Status.Summary.Routes)
	}
}

func TestOfTwoRoutesWithOneModelNameAKeyReachesTheOlder(t *testing.T) {
	w := newWorld(t)
	p := serveFront(t, w, "chat", "code")
	change(w, "code", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Aliases = []string{"chat"} })
	w.create(w.modelKey(w.namespace, "code", "chat"))
	key := w.untilKey(w.namespace, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonModelNameTaken)
	if message := key.Status.Routes[0].Message; !strings.Contains(message, "/chat, which is older, has a model \"chat\" in ModelGateway front too") {
		t.Errorf("the message is %q", message)
	}
	w.eventually("the key is delivered", func() error {
		if !w.hasKeySecret(w.namespace) {
			return errIsNot
		}
		return nil
	})
	delivered := keyOf(w.keySecret(w.namespace))
	p.untilModels(delivered, "chat")

	change(w, "code", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Aliases = nil })
	w.untilKeyReady(w.namespace)
	p.untilModels(delivered, "chat", "code")
}

func TestARouteMovesBetweenAGatewayAndProxiesOfItsOwnWithItsSpendAndItsKeys(t *testing.T) {
	w := newWorld(t)
	own := w.serve(w.route())
	own.spend(300_000_000)
	key := keyOf(w.consumerSecret("chat", "search"))
	w.create(w.gateway())
	w.untilGateway(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	p := w.runGatewayPod("front-pod")

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Proxy, r.Spec.GatewayRef.Name = nil, "front"
	})
	w.untilReady("chat")
	p.untilModels(key, "chat")
	w.eventually("nothing is left of the route's own proxies", func() error {
		if w.exists("chat-proxy", &appsv1.Deployment{}) || w.exists("chat", &corev1.Service{}) {
			return errIsThere
		}
		return nil
	})
	secret := textOf(w.consumerSecret("chat", "search").Data)
	if secret["OPENAI_API_KEY"] != key || secret["OPENAI_BASE_URL"] != "http://front-gateway."+w.namespace+".svc/v1" {
		t.Errorf("the consumer's Secret has %v", secret)
	}
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Spec.Proxy, r.Spec.GatewayRef.Name = w.route().Spec.Proxy, ""
	})
	w.rollOut("chat")
	w.untilReady("chat")
	p.untilModels(key)
	own.spend(100_000_000)
	secret = textOf(w.consumerSecret("chat", "search").Data)
	if secret["OPENAI_API_KEY"] != key || secret["OPENAI_BASE_URL"] != "http://chat."+w.namespace+".svc/v1" {
		t.Errorf("the consumer's Secret has %v", secret)
	}
	w.eventually("the ledger has all that was spent", func() error {
		spent := w.reconciler.Usage.of(keyOfRoute(w, "chat")).usage.GetSpend().GetSettledNanoUsd()
		if spent != 400_000_000 {
			return fmt.Errorf("it has %d", spent)
		}
		return nil
	})
}

func TestPassesOverAnUnchangedGatewayWriteNothingAndARestartNeither(t *testing.T) {
	w := newWorld(t)
	serveFront(t, w, "chat", "code")
	w.quiet("chat")
	before := w.versions()
	w.stopManager()
	w.startManager()
	w.eventually("the routes are known again", func() error {
		if report, known := w.gateways.Exchange.of(w.untilGatewayReady()); !known || !report.routes[keyOfRoute(w, "code")].served {
			return errIsNot
		}
		return nil
	})
	w.quiet("chat")
	writes := w.writes.Load()
	for range 10 {
		if _, err := w.gateways.Reconcile(t.Context(), reconcile.Request{NamespacedName: keyOfRoute(w, "front")}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("passes over an unchanged gateway wrote %d times", got)
	}
	for name, version := range w.versions() {
		if before[name] != version {
			t.Errorf("%s was written", name)
		}
	}
}

func TestANameThatIsTakenIsLeftAloneAndSaid(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Name = "front-gateway"
	w.create(route)
	w.eventually("the route has its Service", func() error {
		if !w.exists("front-gateway", &corev1.Service{}) {
			return errIsNot
		}
		return nil
	})
	w.create(w.gateway())
	gateway := w.untilGateway(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonChildNotOwned)
	want := `Service "front-gateway" belongs to somebody else and is left alone: delete it, or give the gateway another name.`
	if message := meta.FindStatusCondition(gateway.Status.Conditions, v1alpha1.ConditionStalled).Message; message != want {
		t.Errorf("the message is %q", message)
	}
}
