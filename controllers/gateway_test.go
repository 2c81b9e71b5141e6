package controllers

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
