package proxy

import (
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// failuresToEject is how often in a row an upstream fails before it is passed over for a while.
	failuresToEject = 3
	// ejectTime is how long it is passed over at first; every further failure doubles that, up to maxEjectTime.
	ejectTime    = time.Second
	maxEjectTime = 30 * time.Second
)

// health remembers which upstreams failed lately, from the requests that went there: nothing is sent only to find out.
type health struct {
	now    func() time.Time
	mu     sync.Mutex
	ailing map[upstreamKey]*ailment
}

// upstreamKey names an upstream of a route, as it serves one endpoint: it may well have chat and not know the model elsewhere, and nobody's
// requests there shall send others' away from it.
type upstreamKey struct {
	route    client.Route
	name     string
	endpoint routeconfig.Endpoint
}

// ailment is what is known of an upstream whose last request failed.
type ailment struct {
	failures int
	// until is when it may be tried again before others.
	until time.Time
}

func newHealth(now func() time.Time) *health {
	return &health{now: now, ailing: map[upstreamKey]*ailment{}}
}

func ailmentKey(route *routeconfig.Route, upstream *routeconfig.Upstream, endpoint routeconfig.Endpoint) upstreamKey {
	return upstreamKey{route: client.Route{Namespace: route.Namespace, Name: route.Name}, name: upstream.Name, endpoint: endpoint}
}

// pick returns the first of a route's upstreams that has the endpoint, reserves left aside, that was not tried and is not ejected; if all
// are, the one that is to come back first. It is nil if all that have it were tried.
func (h *health) pick(route *routeconfig.Route, endpoint routeconfig.Endpoint, tried uint64) *routeconfig.Upstream {
	if len(route.Upstreams) == 1 && tried == 0 && route.Upstreams[0].Has(endpoint) {
		return &route.Upstreams[0]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	var soonest *routeconfig.Upstream
	var soonestAt time.Time
	for i := range route.Upstreams {
		upstream := &route.Upstreams[i]
		if tried&(1<<i) != 0 || !isOrdinary(upstream) || !upstream.Has(endpoint) {
			continue
		}
		found := h.ailing[ailmentKey(route, upstream, endpoint)]
		if found == nil || !found.until.After(now) {
			return upstream
		}
		if soonest == nil || found.until.Before(soonestAt) {
			soonest, soonestAt = upstream, found.until
		}
	}
	return soonest
}

// note takes up how a request to an upstream went. An upstream that says when to come back is ejected until then.
func (h *health) note(
	route *routeconfig.Route, upstream *routeconfig.Upstream, endpoint routeconfig.Endpoint, failed bool, retryAfter time.Duration,
) {
	if !isOrdinary(upstream) || ordinary(route, endpoint) == 1 {
		return // There is no other to send requests to.
	}
	key := ailmentKey(route, upstream, endpoint)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !failed {
		delete(h.ailing, key)
		return
	}
	found := h.ailing[key]
	if found == nil {
		found = &ailment{}
		h.ailing[key] = found
	}
	found.failures++
	ejected := min(retryAfter, maxEjectTime)
	if over := found.failures - failuresToEject; over >= 0 {
		ejected = max(ejected, min(ejectTime<<min(over, 5), maxEjectTime))
	}
	if until := h.now().Add(ejected); ejected > 0 && until.After(found.until) {
		found.until = until
	}
}

// forget drops what is known of upstreams that are not in a configuration any more.
func (h *health) forget(routes map[client.Route]*routeconfig.Route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.ailing {
		route := routes[key.route]
		known := false
		for i := 0; route != nil && i < len(route.Upstreams); i++ {
			known = known || route.Upstreams[i].Name == key.name
		}
		if !known {
			delete(h.ailing, key)
		}
	}
}
