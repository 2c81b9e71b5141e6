package controllers

import (
	"bytes"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// GatewayExchange is what the controllers of gateways and of routes tell each other: the routes' write their configurations, the gateways'
// put them together and find out which of them the proxies serve. It is in memory alone; a gateway looks at everything after a restart.
type GatewayExchange struct {
	mu      sync.Mutex
	reports map[types.NamespacedName]gatewayReport
	// servedBy are the gateways in whose configurations routes are, by the route.
	servedBy map[types.NamespacedName]types.NamespacedName
	// routes and gateways wake what has to follow.
	routes, gateways waker
}

// gatewayReport is what a gateway does with its routes.
type gatewayReport struct {
	// uid tells the gateway from a later one of the same name.
	uid types.UID
	// authority is what the endpoint's certificate is known by, in PEM; empty where any client knows it, or there is none.
	authority []byte
	gatewayState
	// routes are those that it has taken up or refuses, by name.
	routes map[types.NamespacedName]routeState
}

// isLike reports whether two reports differ in nothing that all routes have to know.
func (r gatewayReport) isLike(other gatewayReport) bool {
	return r.uid == other.uid && r.gatewayState == other.gatewayState && bytes.Equal(r.authority, other.authority)
}

// gatewayState is what a gateway's routes have in common.
type gatewayState struct {
	// able is true if there are ready proxies, available if there are as many as are wanted, paused if that is none.
	able, available, paused bool
}

// routeState is what becomes of one route in a gateway.
type routeState struct {
	// hash is that of the route's own configuration as the gateway has taken it up; empty if it has not.
	hash string
	// served is true if every ready proxy serves that one, and has what it refers to.
	served bool
	// problem is why the gateway leaves the route, or some of it, out; empty if it does not.
	problem string
}

// routeInGateway is all that a route is told.
type routeInGateway struct {
	gatewayState
	routeState
}

// of returns what a gateway does; false if it has not been looked at since this process began.
func (e *GatewayExchange) of(gateway *v1alpha1.ModelGateway) (gatewayReport, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	report, known := e.reports[client.ObjectKeyFromObject(gateway)]
	return report, known && report.uid == gateway.UID
}

// route returns what becomes of a route in a gateway.
func (e *GatewayExchange) route(gateway *v1alpha1.ModelGateway, route types.NamespacedName) routeInGateway {
	report, _ := e.of(gateway)
	return routeInGateway{gatewayState: report.gatewayState, routeState: report.routes[route]}
}

// gatewayOf returns the gateway that has a route in its configuration; false if none has. A nil exchange has no gateways.
func (e *GatewayExchange) gatewayOf(route types.NamespacedName) (types.NamespacedName, bool) {
	if e == nil {
		return types.NamespacedName{}, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	gateway, is := e.servedBy[route]
	return gateway, is
}

// wakeAll wakes all gateways.
func (e *GatewayExchange) wakeAll() {
	if e == nil {
		return
	}
	e.mu.Lock()
	names := make([]types.NamespacedName, 0, len(e.reports))
	for name := range e.reports {
		names = append(names, name)
	}
	e.mu.Unlock()
	e.gateways.wake(names...)
}

// report notes what a gateway does, and wakes those of the routes that name it for which that is something else than before.
func (e *GatewayExchange) report(gateway types.NamespacedName, next gatewayReport, named []types.NamespacedName) {
	e.mu.Lock()
	before, known := e.reports[gateway]
	if e.reports == nil {
		e.reports = map[types.NamespacedName]gatewayReport{}
		e.servedBy = map[types.NamespacedName]types.NamespacedName{}
	}
	e.reports[gateway] = next
	e.noteServed(gateway, before, next)
	e.mu.Unlock()
	isSame := known && before.isLike(next)
	for _, route := range named {
		if !isSame || before.routes[route] != next.routes[route] {
			e.routes.wake(route)
		}
	}
}

// noteServed notes which routes a gateway has in its configuration. The caller holds the mutex.
func (e *GatewayExchange) noteServed(gateway types.NamespacedName, before, next gatewayReport) {
	for route := range before.routes {
		if _, is := next.routes[route]; !is && e.servedBy[route] == gateway {
			delete(e.servedBy, route)
		}
	}
	for route, state := range next.routes {
		if state.hash != "" {
			e.servedBy[route] = gateway
		}
	}
}

// forget forgets a gateway that is gone.
func (e *GatewayExchange) forget(gateway types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for route := range e.reports[gateway].routes {
		if e.servedBy[route] == gateway {
			delete(e.servedBy, route)
		}
	}
	delete(e.reports, gateway)
}
