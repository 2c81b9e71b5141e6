package controllers

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// errGatewayUnknown says that the route's gateway has not been looked at since this process began.
var errGatewayUnknown = errors.New("the gateway has not been looked at yet")

// resolveGateway finds the gateway that the route names. Until it is known how clients reach it nothing is done for the route, so that
// consumers' Secrets never have half of it.
func (r *ModelRouteReconciler) resolveGateway(ctx context.Context, s *scope) error {
	gateway, err := gatewayOf(ctx, r.Client, s.route)
	if err != nil || s.route.Spec.GatewayRef.Name == "" {
		return err
	}
	if gateway == nil {
		if s.unresolved == nil {
			s.unresolved = &unresolvedError{Reason: v1alpha1.ReasonGatewayNotFound, Message: fmt.Sprintf(
				"ModelGateway %q does not exist: create it in namespace %s, or take gatewayRef away to have proxies for this route alone.",
				s.route.Spec.GatewayRef.Name, s.route.Namespace)}
		}
		return nil
	}
	report, known := r.Gateways.of(gateway)
	if !known {
		return errGatewayUnknown
	}
	s.gateway, s.endpointCA = gateway, report.authority
	return nil
}

// gatewayOf is the gateway that a route names; nil if it names none, or there is none.
func gatewayOf(ctx context.Context, reader client.Reader, route *v1alpha1.ModelRoute) (*v1alpha1.ModelGateway, error) {
	if route.Spec.GatewayRef.Name == "" {
		return nil, nil
	}
	gateway := &v1alpha1.ModelGateway{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: route.Namespace, Name: route.Spec.GatewayRef.Name}, gateway)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if !gateway.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return gateway, nil
}

// programmedByGateway is the verdict on whether the gateway's proxies serve this pass's configuration of the route.
func programmedByGateway(s *scope) verdict {
	name := s.gateway.Name
	switch {
	case s.inGateway.problem != "":
		return no(v1alpha1.ReasonNotInGateway, "ModelGateway "+name+" does not serve all of the route: "+s.inGateway.problem)
	case s.inGateway.paused:
		return yes(v1alpha1.ReasonProgrammed, pausedGateway(name))
	case !s.usage.fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	case !s.inGateway.able:
		return no(v1alpha1.ReasonPending, "No proxy of ModelGateway "+name+" is ready. Its status says why.")
	case !s.isAcknowledged():
		return no(v1alpha1.ReasonPending, "Not every ready proxy of ModelGateway "+name+" serves this generation yet.")
	}
	return yes(v1alpha1.ReasonProgrammed, "Every ready proxy of ModelGateway "+name+" serves this generation.")
}

func pausedGateway(name string) string {
	return "No proxy of ModelGateway " + name + " runs, since its spec.replicas is 0: nobody is served."
}

// availableInGateway says what the gateway says of its proxies. It counts none of them, or each would have all routes written.
func availableInGateway(s *scope) verdict {
	name := s.gateway.Name
	switch {
	case s.inGateway.paused:
		return yes(v1alpha1.ReasonAvailable, pausedGateway(name))
	case !s.inGateway.available:
		return no(v1alpha1.ReasonUnavailable, "Too few proxies of ModelGateway "+name+" are available. Its status says why.")
	}
	return yes(v1alpha1.ReasonAvailable, "All proxies of ModelGateway "+name+" are available.")
}

// servedAt says where the route is served, of a route that is.
func (s *scope) servedAt() string {
	switch {
	case s.gateway != nil && s.inGateway.paused:
		return pausedGateway(s.gateway.Name)
	case s.gateway != nil:
		return "The route is served at " + s.access().BaseURL + " by ModelGateway " + s.gateway.Name + "."
	case s.wantedReplicas() == 0:
		return paused(routeReplicas)
	}
	return "The route is served at " + s.access().BaseURL + "."
}

// gatewayIndex is the index of routes by the gateways that they name.
const gatewayIndex = "gateway"

func indexGateway(object client.Object) []string {
	route, isRoute := object.(*v1alpha1.ModelRoute)
	if !isRoute || route.Spec.GatewayRef.Name == "" {
		return nil
	}
	return []string{route.Spec.GatewayRef.Name}
}

// routesOf are the routes that name a gateway.
func routesOf(ctx context.Context, reader client.Reader, gateway types.NamespacedName) ([]v1alpha1.ModelRoute, error) {
	var list v1alpha1.ModelRouteList
	// The cache's own objects are only read.
	err := reader.List(ctx, &list, client.InNamespace(gateway.Namespace), client.MatchingFields{gatewayIndex: gateway.Name},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the routes of the gateway: %w", err)
	}
	return list.Items, nil
}

// routesOfGateway are those that name a gateway that came, went or has changed.
func (r *ModelRouteReconciler) routesOfGateway(ctx context.Context, gateway client.Object) []reconcile.Request {
	routes, err := routesOf(ctx, r.Client, client.ObjectKeyFromObject(gateway))
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing routes")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(routes))
	for i := range routes {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&routes[i])})
	}
	return requests
}
