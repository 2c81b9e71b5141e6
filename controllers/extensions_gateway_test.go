package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
)

func TestAGatewayIsPublishedAndMonitoredAsARouteIs(t *testing.T) {
	w := newExtendedWorld(t)
	gateway := w.gateway()
	gateway.Spec.HTTPRoute = w.publishedRoute().Spec.Proxy.HTTPRoute
	gateway.Spec.PodMonitor = &v1alpha1.PodMonitor{}
	w.create(gateway)
	w.untilGateway(v1alpha1.ConditionPublished, metav1.ConditionFalse, v1alpha1.ReasonPending) // until a controller of the Gateways answers
	made := w.untilGateway(v1alpha1.ConditionMonitored, metav1.ConditionTrue, v1alpha1.ReasonMonitored)
	owner := desired.OwnerOfGateway(made)
	if object := w.extension(desired.HTTPRouteKind, owner.Service); !metav1.IsControlledBy(object, made) {
		t.Error("the HTTPRoute is not the gateway's")
	}
	if object := w.extension(desired.PodMonitorKind, owner.Proxy); !metav1.IsControlledBy(object, made) {
		t.Error("the PodMonitor is not the gateway's")
	}

	change(w, made.Name, &v1alpha1.ModelGateway{}, func(g *v1alpha1.ModelGateway) {
		g.Spec.HTTPRoute, g.Spec.PodMonitor = v1alpha1.HTTPRoute{}, nil
	})
	w.untilExtension(desired.HTTPRouteKind, owner.Service, false)
	w.untilExtension(desired.PodMonitorKind, owner.Proxy, false)
}
