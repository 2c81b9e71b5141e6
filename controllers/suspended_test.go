package controllers

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func TestASuspendedRouteIsToldToItsProxiesAndSaid(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) {
		r.Annotations = map[string]string{v1alpha1.AnnotationSuspended: "true"}
	})
	w.until("chat", v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	if !w.proxyConfig("chat").Routes[0].Suspended {
		t.Error("it is said, and its proxies are not told")
	}
	w.untilReady("chat")

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { delete(r.Annotations, v1alpha1.AnnotationSuspended) })
	w.eventually("it is resumed", func() error {
		route := &v1alpha1.ModelRoute{}
		if w.get("chat", route); conditionOf(route, v1alpha1.ConditionSuspended).Status != "" {
			return errors.New("it is suspended")
		}
		return nil
	})
	if w.proxyConfig("chat").Routes[0].Suspended {
		t.Error("its proxies are not told")
	}
	w.untilReady("chat")
}
