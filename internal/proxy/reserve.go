package proxy

import (
	"slices"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// isOrdinary reports whether an upstream is one of those that are tried in order.
func isOrdinary(upstream *routeconfig.Upstream) bool { return !upstream.Reserve }

// ordinary is how many of a route's upstreams are tried in order for requests at an endpoint.
func ordinary(route *routeconfig.Route, endpoint routeconfig.Endpoint) (count int) {
	for i := range route.Upstreams {
		if isOrdinary(&route.Upstreams[i]) && route.Upstreams[i].Has(endpoint) {
			count++
		}
	}
	return count
}

// mayServe reports whether an upstream may serve the consumer: in its turn, or as the reserve of one of its budgets or of the route's.
func (g *grant) mayServe(upstream *routeconfig.Upstream) bool {
	return isOrdinary(upstream) || slices.ContainsFunc(slices.Concat(g.route.Reserves, g.consumer.Reserves),
		func(one routeconfig.Reserve) bool { return one.Upstream == upstream.Name })
}

// reserveOf is the upstream that serves what a budget refuses; nil if there is none, or if it is no budget of the route or the consumer.
func (g *grant) reserveOf(denied *client.DeniedError) *routeconfig.Upstream {
	if denied.Unit != budget.USD || denied.Upstream != "" || denied.Owner != "" {
		return nil
	}
	reserves := g.route.Reserves
	if denied.Consumer != "" {
		reserves = g.consumer.Reserves
	}
	at := slices.IndexFunc(reserves, func(one routeconfig.Reserve) bool { return one.Budget == denied.Budget })
	if at < 0 {
		return nil
	}
	return g.route.Upstream(reserves[at].Upstream)
}

// goOn finds where a request goes on that a budget has too little left for, and reports whether there is such a place. Where it is the
// budget of one of the upstreams that are tried in order, that is the next of them; where the budget has a reserve that was not tried
// yet, and that has the endpoint, it is that.
func (t *tries) goOn(granted *grant, denied *client.DeniedError) bool {
	if denied.Upstream != "" {
		return t.reserve == nil && t.pick(granted.route, t.tried) != nil
	}
	reserve := granted.reserveOf(denied)
	if reserve == nil || !reserve.Has(t.endpoint) || t.tried&(1<<placeOf(granted.route, reserve)) != 0 {
		return false
	}
	t.reserve = reserve
	return true
}
