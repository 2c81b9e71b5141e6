package proxy

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// reserved is a grant of a route with the upstreams main and other, and with the reserves cheap, of the route's budget, and own, of the
// consumer's.
func reserved() *grant {
	return &grant{
		route: &routeconfig.Route{
			Namespace: "ai", Name: "chat",
			Upstreams: []routeconfig.Upstream{
				{Name: "cheap", Reserve: true}, {Name: "main"}, {Name: "own", Reserve: true}, {Name: "other"},
			},
			Reserves: []routeconfig.Reserve{{Budget: "daily", Upstream: "cheap"}},
		},
		consumer: &routeconfig.Consumer{Name: "search", Reserves: []routeconfig.Reserve{{Budget: "daily", Upstream: "own"}}},
	}
}

var (
	ofRoute    = &client.DeniedError{Budget: "daily"}
	ofConsumer = &client.DeniedError{Budget: "daily", Consumer: "search"}
	ofMain     = &client.DeniedError{Budget: "daily", Upstream: "main"}
	ofReserve  = &client.DeniedError{Budget: "daily", Upstream: "cheap"}
	monthly    = &client.DeniedError{Budget: "monthly"}
	inTokens   = &client.DeniedError{Budget: "daily", Unit: budget.Tokens}
)

func TestWhereARequestGoesOn(t *testing.T) {
	type (
		denials = []*client.DeniedError
		path    = []string
	)
	for reason, test := range map[string]struct {
		denials denials
		// want are the upstreams that it comes to, one after the other.
		want path
	}{
		"nowhere without a reserve":                                {denials{monthly}, path{"main"}},
		"at the reserve of the route's budget":                     {denials{ofRoute}, path{"main", "cheap"}},
		"at the reserve of the consumer's budget of the same name": {denials{ofConsumer}, path{"main", "own"}},
		"at the next upstream":                                     {denials{ofMain}, path{"main", "other"}},
		"at the next upstream, then at the reserve":                {denials{ofMain, ofRoute}, path{"main", "other", "cheap"}},
		"no further than the last upstream":                        {denials{ofMain, ofMain}, path{"main", "other"}},
		"no further than a reserve with a budget of its own":       {denials{ofRoute, ofReserve}, path{"main", "cheap"}},
		"at the other reserve where both budgets are exhausted":    {denials{ofRoute, ofConsumer}, path{"main", "cheap", "own"}},
		"at no reserve twice":                                      {denials{ofRoute, ofConsumer, ofRoute}, path{"main", "cheap", "own"}},
		"nowhere for want of tokens":                               {denials{inTokens}, path{"main"}},
	} {
		t.Run(reason, func(t *testing.T) {
			granted := reserved()
			tries := &tries{health: newHealth(time.Now), endpoint: routeconfig.ChatCompletions}
			got := []string{tries.next(granted.route).Name}
			for _, denied := range test.denials {
				if !tries.goOn(granted, denied) {
					break
				}
				got = append(got, tries.next(granted.route).Name)
			}
			if len(got) != len(test.want) || got[len(got)-1] != test.want[len(got)-1] {
				t.Errorf("it came to %v, want %v", got, test.want)
			}
		})
	}
}

func TestAReserveIsNoUpstreamToFailOverTo(t *testing.T) {
	granted := reserved()
	tries := &tries{health: newHealth(time.Now), endpoint: routeconfig.ChatCompletions}
	var got []string
	for {
		upstream := tries.next(granted.route)
		if upstream == nil {
			break
		}
		got = append(got, upstream.Name)
	}
	if len(got) != 2 || got[0] != "main" || got[1] != "other" {
		t.Errorf("the upstreams are tried in the order %v", got)
	}
}

func TestAReserveMayServeOnlyThoseWhoseBudgetsHaveIt(t *testing.T) {
	granted := reserved()
	foreign := &grant{route: granted.route, consumer: &routeconfig.Consumer{Name: "another"}}
	got, others := map[string]bool{}, map[string]bool{}
	for i := range granted.route.Upstreams {
		upstream := &granted.route.Upstreams[i]
		got[upstream.Name], others[upstream.Name] = granted.mayServe(upstream), foreign.mayServe(upstream)
	}
	for name, serves := range got {
		if !serves {
			t.Errorf("%s may not serve", name)
		}
		if others[name] != (name != "own") {
			t.Errorf("%s may serve another consumer: %t", name, others[name])
		}
	}
}

func TestARequestGoesOnOnlyWhereItsEndpointIs(t *testing.T) {
	granted := reserved()
	both := []routeconfig.Endpoint{routeconfig.ChatCompletions, routeconfig.Completions}
	granted.route.Upstreams[1].Endpoints, granted.route.Upstreams[2].Endpoints = both, both // main and own
	tries := &tries{health: newHealth(time.Now), endpoint: routeconfig.Completions}
	if got := tries.next(granted.route).Name; got != "main" {
		t.Errorf("it came to %s", got)
	}
	if tries.goOn(granted, ofMain) {
		t.Error("it goes on at an upstream that has only chat")
	}
	if tries.goOn(granted, ofRoute) {
		t.Error("it goes on at a reserve that has only chat")
	}
	if !tries.goOn(granted, ofConsumer) || tries.next(granted.route).Name != "own" {
		t.Error("it does not go on at the reserve that has its endpoint")
	}
	granted.route.Upstreams[1].Endpoints = nil
	if got := granted.paths(); len(got) != 1 || got[0] != "/v1/chat/completions" {
		t.Errorf("what only a reserve has is said to be served: %v", got)
	}
}

func TestARequestMustHaveABoundWhereAnUpstreamDenies(t *testing.T) {
	granted := reserved()
	if granted.denies() {
		t.Error("nobody denies")
	}
	granted.route.Upstreams[3].Denies = true
	if !granted.denies() {
		t.Error("an upstream denies")
	}
}
