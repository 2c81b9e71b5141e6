package proxy

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// tries are the attempts at a request's upstreams.
type tries struct {
	health *health
	// tried has a bit for each of the route's upstreams, by its place.
	tried uint64
	// reserve is where the request goes on that a budget had too little left for; nil before.
	reserve *routeconfig.Upstream
	// again is true once an upstream got a second try, which it does if nothing could be sent to it.
	again bool
}

// next picks the upstream for the next attempt; nil if there is none left.
func (t *tries) next(route *routeconfig.Route) *routeconfig.Upstream {
	upstream := t.reserve
	if upstream == nil {
		upstream = t.health.pick(route, t.tried)
	}
	t.tried |= bitOf(route, upstream)
	return upstream
}

// bitOf is the bit of one of the route's upstreams; 0 for none.
func bitOf(route *routeconfig.Route, upstream *routeconfig.Upstream) uint64 {
	for i := range route.Upstreams {
		if upstream == &route.Upstreams[i] {
			return 1 << i
		}
	}
	return 0
}

// wasTried reports whether the upstream was tried for the request.
func (t *tries) wasTried(route *routeconfig.Route, upstream *routeconfig.Upstream) bool {
	return t.tried&bitOf(route, upstream) != 0
}

// isLast reports whether no other upstream is left for the request.
func (t *tries) isLast(route *routeconfig.Route) bool {
	return t.reserve != nil || t.health.pick(route, t.tried) == nil
}

// retryPause is about how long a lone upstream that could not be reached is left alone before it is tried again.
const retryPause = 100 * time.Millisecond

// allowAgain lets a route's only upstream, or the reserve that a request has come to, be tried a second time after nothing could be sent to
// it, and waits a little for that. It reports whether it does.
func (t *tries) allowAgain(ctx context.Context, route *routeconfig.Route) bool {
	if t.again || t.reserve == nil && ordinary(route) > 1 {
		return false
	}
	t.again, t.tried = true, 0
	timer := time.NewTimer(retryPause/2 + rand.N(retryPause)) //nolint:gosec // It only spreads retries.
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return true
}

// outcome is how an attempt ended of which the client has got nothing.
type outcome struct {
	// refusal is what the client is told if nobody else is asked; nil if the client got its answer.
	refusal *openai.Error
	// exhausted is the denial of a budget that has too little left, for which nothing was sent; nil for another outcome.
	exhausted *client.DeniedError
	// elsewhere is true if another upstream may serve the request, unsent if nothing of it was sent.
	elsewhere, unsent bool
	// retryAfter is when the upstream wants to be asked again; 0 if it did not say.
	retryAfter time.Duration
}

// longestTime is the time that a request may take in all: the longest that one of the route's upstreams is given.
func longestTime(route *routeconfig.Route) time.Duration {
	longest := int64(0)
	for i := range route.Upstreams {
		longest = max(longest, route.Upstreams[i].TimeoutSeconds)
	}
	return time.Duration(longest) * time.Second
}

// maySucceedElsewhere reports whether an upstream's refusal says nothing of what another one would say: it failed, is busy, does not know
// the model, or does not accept our key.
func maySucceedElsewhere(status int, said upstreamError) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusNotFound,
		http.StatusMethodNotAllowed:
		return true
	case http.StatusForbidden:
		return !said.moderated
	}
	return status >= http.StatusInternalServerError || status < http.StatusBadRequest
}

// retryAfterOf reads when an upstream wants to be asked again; 0 if it does not say, or in a form other than seconds.
func retryAfterOf(header http.Header) time.Duration {
	if milliseconds, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil && milliseconds > 0 {
		return time.Duration(min(milliseconds, 1e9) * float64(time.Millisecond))
	}
	seconds, err := strconv.ParseFloat(header.Get("Retry-After"), 64)
	if err != nil || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, 1e6) * float64(time.Second))
}
