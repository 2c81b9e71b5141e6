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

const (
	// leastAttempts is how often a request is sent at the most where its route does not say and has fewer upstreams.
	leastAttempts = 3
	// retryPause is about how long upstreams are left alone before they are asked a second time; each further time it is twice as long.
	retryPause = 100 * time.Millisecond
	// maxRetryAfter is how long an upstream's Retry-After is waited for. A client waits better by itself for longer.
	maxRetryAfter = 3 * time.Second
)

// tries are the attempts at a request's upstreams: first at each in its turn, then again at those that may serve it after all.
type tries struct {
	health *health
	// endpoint is what those upstreams must have that are tried.
	endpoint routeconfig.Endpoint
	// made is how many attempts were made, and rounds how often all upstreams had their turn.
	made, rounds int
	// tried has a bit for each of the route's upstreams, by its place, that had its turn; given up are those that need not be asked again;
	// doubtful are those of which an attempt may have cost money.
	tried, givenUp, doubtful uint64
	// current is the place of the upstream that was picked last.
	current int
	// reserve is where the request goes on that a budget had too little left for; nil before.
	reserve *routeconfig.Upstream
	// after is when upstreams want to be asked again, by their places.
	after map[int]time.Duration
}

// next picks the upstream for the next attempt; nil if there is none left.
func (t *tries) next(route *routeconfig.Route) *routeconfig.Upstream {
	upstream := t.pick(route, t.tried)
	if upstream != nil {
		t.current = placeOf(route, upstream)
		t.tried |= 1 << t.current
	}
	return upstream
}

// pick returns the best of the upstreams that the request may go to, without some of them; nil if none is left.
func (t *tries) pick(route *routeconfig.Route, without uint64) *routeconfig.Upstream {
	switch {
	case t.reserve == nil:
		return t.health.pick(route, t.endpoint, without)
	case without&(1<<placeOf(route, t.reserve)) != 0:
		return nil
	}
	return t.reserve
}

// note takes up how an attempt at the upstream that was picked last has failed.
func (t *tries) note(got outcome) {
	t.made++
	bit := uint64(1) << t.current
	// An attempt whose cost is not known counts as spent in full, so that one that fails so twice would be paid for again and again.
	if !got.again || got.retryAfter > maxRetryAfter || got.uncertain && t.doubtful&bit != 0 {
		t.givenUp |= bit
	}
	if got.uncertain {
		t.doubtful |= bit
	}
	if t.after == nil {
		t.after = map[int]time.Duration{}
	}
	t.after[t.current] = got.retryAfter
}

// giveUp passes over the upstream that was picked last.
func (t *tries) giveUp() { t.givenUp |= 1 << t.current }

// more reports whether there is an attempt left, and waits for its time if all upstreams had their turn. It ends before the deadline, and
// when ctx does.
func (t *tries) more(ctx context.Context, route *routeconfig.Route, deadline, now time.Time) bool {
	switch {
	case t.made >= mostAttempts(route):
		return false
	case t.pick(route, t.tried) != nil:
		return true
	}
	again := t.pick(route, t.givenUp)
	if again == nil {
		return false
	}
	usual := retryPause << t.rounds
	pause := max(usual/2+rand.N(usual), t.after[placeOf(route, again)]) //nolint:gosec // It only spreads retries.
	if !now.Add(pause).Before(deadline) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	t.tried = t.givenUp
	t.rounds++
	return true
}

func placeOf(route *routeconfig.Route, upstream *routeconfig.Upstream) int {
	for i := range route.Upstreams {
		if upstream == &route.Upstreams[i] {
			return i
		}
	}
	return 0
}

// mostAttempts is how often a request of a route is sent at the most.
func mostAttempts(route *routeconfig.Route) int {
	if route.MaxAttempts > 0 {
		return int(route.MaxAttempts)
	}
	return max(leastAttempts, len(route.Upstreams))
}

// outcome is how an attempt ended of which the client has got nothing.
type outcome struct {
	// refusal is what the client is told if nobody else is asked; nil if the client got its answer.
	refusal *openai.Error
	// exhausted is the denial of a budget that has too little left, for which nothing was sent; nil for another outcome.
	exhausted *client.DeniedError
	// elsewhere is true if another upstream may serve the request, again if this one may when it is asked again.
	elsewhere, again bool
	// uncertain is true if the attempt may have cost money, and nobody says how much.
	uncertain bool
	// retryAfter is when the upstream wants to be asked again; 0 if it did not say.
	retryAfter time.Duration
}

// outcomeOf is the outcome of an attempt whose answer has the status 200 and is nothing but an error.
func outcomeOf(said upstreamError, key string) outcome {
	status := said.status()
	return outcome{
		refusal: refusalOf(status, said, key), elsewhere: maySucceedElsewhere(status, said), again: maySucceedAgain(status, said, nil),
	}
}

// longestTime is the time that a request may take in all: the longest that one of the upstreams is given that can be tried.
func (t *tries) longestTime(route *routeconfig.Route) time.Duration {
	longest := int64(0)
	for i := range route.Upstreams {
		if route.Upstreams[i].Has(t.endpoint) {
			longest = max(longest, route.Upstreams[i].TimeoutSeconds)
		}
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

// maySucceedAgain reports whether an upstream's refusal may be over when it is asked again: it was busy, or failed. It may say so itself.
func maySucceedAgain(status int, said upstreamError, header http.Header) bool {
	switch header.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch {
	case said.code == codeNoQuota:
		return false
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
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
