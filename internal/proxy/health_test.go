package proxy

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// three is a route with the upstreams a, b and c.
func three() *routeconfig.Route {
	return &routeconfig.Route{Namespace: "ai", Name: "chat", Upstreams: []routeconfig.Upstream{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
}

// clinic is a health with a clock that is moved by hand.
type clinic struct {
	*health
	at    time.Time
	route *routeconfig.Route
}

func newClinic() *clinic {
	c := &clinic{at: time.Unix(1_790_000_000, 0), route: three()}
	c.health = newHealth(func() time.Time { return c.at })
	return c
}

// order is in which order the upstreams are tried now.
func (c *clinic) order() (names string) {
	return c.orderAt(routeconfig.ChatCompletions)
}

func (c *clinic) orderAt(endpoint routeconfig.Endpoint) (names string) {
	tries := tries{health: c.health, endpoint: endpoint}
	for upstream := tries.next(c.route); upstream != nil; upstream = tries.next(c.route) {
		names += upstream.Name
	}
	return names
}

func (c *clinic) fail(place, times int, retryAfter time.Duration) {
	for range times {
		c.note(c.route, &c.route.Upstreams[place], routeconfig.ChatCompletions, true, retryAfter)
	}
}

func (c *clinic) want(t *testing.T, want, reason string) {
	t.Helper()
	if got := c.order(); got != want {
		t.Errorf("the order is %s, want %s: %s", got, want, reason)
	}
}

func TestAnUpstreamThatFailsAgainAndAgainIsPassedOverForAWhile(t *testing.T) {
	c := newClinic()
	c.want(t, "abc", "none has failed")
	c.fail(0, failuresToEject-1, 0)
	c.want(t, "abc", "that happens")
	c.fail(0, 1, 0)
	c.want(t, "bca", "it has failed three times in a row; it is still there if the others fail")
	c.at = c.at.Add(ejectTime)
	c.want(t, "abc", "its time is over")
	c.fail(0, 1, 0)
	c.at = c.at.Add(ejectTime)
	c.want(t, "bca", "it failed again, and is passed over for twice as long")
	c.at = c.at.Add(ejectTime)
	c.note(c.route, &c.route.Upstreams[0], routeconfig.ChatCompletions, false, 0)
	c.fail(0, failuresToEject-1, 0)
	c.want(t, "abc", "it has served one in between")
	c.fail(0, 60, 0)
	c.at = c.at.Add(maxEjectTime)
	c.want(t, "abc", "nothing is passed over for longer")
}

func TestAnUpstreamThatSaysWhenToComeBackIsPassedOverUntilThen(t *testing.T) {
	c := newClinic()
	c.fail(0, 1, 20*time.Second)
	c.fail(1, 1, 10*time.Second)
	c.want(t, "cba", "the one that comes back first is tried before the other")
	c.at = c.at.Add(10 * time.Second)
	c.want(t, "bca", "one is back")
	c.fail(2, 1, time.Hour)
	c.at = c.at.Add(maxEjectTime)
	c.want(t, "abc", "nobody is believed who wants an hour")
}

func TestOnlyUpstreamsThatHaveTheEndpointAreTried(t *testing.T) {
	c := newClinic()
	c.route.Upstreams[1].Endpoints = []routeconfig.Endpoint{routeconfig.ChatCompletions, routeconfig.Completions}
	c.route.Upstreams[2].Endpoints = []routeconfig.Endpoint{routeconfig.Completions, routeconfig.Embeddings}
	for endpoint, want := range map[routeconfig.Endpoint]string{
		routeconfig.ChatCompletions: "ab", routeconfig.Completions: "bc", routeconfig.Embeddings: "c", routeconfig.Messages: "",
	} {
		if got := c.orderAt(endpoint); got != want {
			t.Errorf("for %s the order is %q, want %q", endpoint, got, want)
		}
	}
}

func TestAnUpstreamThatFailsAtOneEndpointServesTheOthers(t *testing.T) {
	c := newClinic()
	for i := range c.route.Upstreams {
		c.route.Upstreams[i].Endpoints = []routeconfig.Endpoint{routeconfig.ChatCompletions, routeconfig.Completions}
	}
	for range failuresToEject {
		c.note(c.route, &c.route.Upstreams[0], routeconfig.Completions, true, 0)
	}
	if got := c.orderAt(routeconfig.Completions); got != "bca" {
		t.Errorf("where it failed the order is %s", got)
	}
	c.want(t, "abc", "chat did not fail")
}

func TestWhatFailedIsForgottenWithItsRoute(t *testing.T) {
	c := newClinic()
	c.fail(0, 9, 0)
	c.fail(1, 9, 0)
	edited := three()
	edited.Upstreams = edited.Upstreams[1:]
	c.forget(map[client.Route]*routeconfig.Route{{Namespace: "ai", Name: "chat"}: edited})
	if len(c.ailing) != 1 {
		t.Errorf("%d upstreams are remembered, want b alone", len(c.ailing))
	}
	c.forget(nil)
	if len(c.ailing) != 0 {
		t.Errorf("%d upstreams are remembered without a route", len(c.ailing))
	}
}
