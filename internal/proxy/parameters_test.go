package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// sent is the body that goes upstream for what asking makes of these members.
func sent(members string) string {
	return strings.Replace(asking("", members), `"mixtral`, `"mistralai/mixtral`, 1)
}

func TestARouteDecidesAboutParameters(t *testing.T) {
	budget := []*ledgerpb.Budget{monthly("", 100_000_000_000)}
	seed := []routeconfig.Parameter{{Name: "seed", Value: json.RawMessage(`7`)}}
	cases := map[string]struct {
		budgets       []*ledgerpb.Budget
		edit          func(route *routeconfig.Route)
		members, want string
	}{
		"an override is always set": {
			edit:    func(route *routeconfig.Route) { route.Overrides = seed },
			members: `,"seed":1,"x":1.0`, want: `,"seed":7,"x":1.0`,
		},
		"a limit lowers": {
			edit:    func(route *routeconfig.Route) { route.MaxCompletionTokens = 50 },
			members: `,"max_tokens":60`, want: `,"max_tokens":50`,
		},
		"a limit lowers nothing that is within": {
			edit:    func(route *routeconfig.Route) { route.MaxCompletionTokens = 50 },
			members: `,"max_tokens":40`, want: `,"max_tokens":40`,
		},
		"a limit is one where nothing was asked": {
			edit:    func(route *routeconfig.Route) { route.MaxCompletionTokens = 50 },
			members: ``, want: `,"max_completion_tokens":50`,
		},
		"a limit holds beside a budget": {
			budgets: budget,
			edit:    func(route *routeconfig.Route) { route.MaxCompletionTokens = 50 },
			members: `,"max_tokens":60,"max_completion_tokens":40`, want: `,"max_tokens":50,"max_completion_tokens":40`,
		},
		"a budget does not raise it": {
			budgets: budget,
			edit:    func(route *routeconfig.Route) { route.MaxCompletionTokens = 50 },
			members: ``, want: `,"max_completion_tokens":50`,
		},
		"a compatible server gets the name that it knows": {
			budgets: budget,
			edit:    func(route *routeconfig.Route) { route.Upstreams[0].Provider = routeconfig.OpenAICompatible },
			members: `,"max_completion_tokens":40`, want: `,"max_tokens":40`,
		},
		"what the model does not know is taken out": {
			edit: func(route *routeconfig.Route) {
				route.Model.SupportedParameters, route.Unsupported = []string{"seed"}, routeconfig.DropUnsupported
			},
			members: `,"top_k":5,"seed":1,"x":1.0`, want: `,"seed":1,"x":1.0`,
		},
		"a list alone refuses nothing": {
			edit:    func(route *routeconfig.Route) { route.Model.SupportedParameters = []string{"seed"} },
			members: `,"top_k":5`, want: `,"top_k":5`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := begin(t, setup{budgets: test.budgets, edit: func(config *routeconfig.Config) { test.edit(&config.Routes[0]) }})
			w.ask(asking("", test.members)).expectOK(t)
			if diff := cmp.Diff(sent(test.want), w.last().body); diff != "" {
				t.Errorf("body upstream (-want +got):\n%s", diff)
			}
			w.settled()
		})
	}
}

func TestARouteRefusesWhatItsModelDoesNotSupport(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}, edit: func(config *routeconfig.Config) {
		route := &config.Routes[0]
		route.Model.SupportedParameters, route.Unsupported = []string{"seed"}, routeconfig.RejectUnsupported
	}})
	found := w.ask(asking("", `,"seed":1,"top_k":5`)).expectFailure(t, http.StatusBadRequest, "unsupported_parameter")
	if found.Param == nil || *found.Param != "top_k" {
		t.Errorf("the error does not name the parameter: %+v", found)
	}
	w.nothingHappened()
	w.ask(asking("", `,"seed":1,"top_k":null,"user":"u","max_tokens":9`)).expectOK(t)
	w.booksAgree()
}

func TestWhatCannotFitTheContextIsRefusedBeforeMoneyIsHeld(t *testing.T) {
	// So little money that a request of this size would be denied, if it came to that.
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000)}, edit: func(config *routeconfig.Config) {
		config.Routes[0].Model.ContextLength, config.Routes[0].Model.MaxCompletionTokens = 1000, 0
	}})
	found := w.ask(asking("", `,"max_tokens":1000`)).expectFailure(t, http.StatusBadRequest, "context_length_exceeded")
	if found.Param == nil || *found.Param != "messages" {
		t.Errorf("clients look at the parameter: %+v", found)
	}
	w.nothingHappened()
}

func TestABadSettingKeepsTheRouteThatIsServed(t *testing.T) {
	w := begin(t, setup{})
	bad := w.config
	bad.Routes = []routeconfig.Route{w.config.Routes[0]}
	bad.Routes[0].Overrides = []routeconfig.Parameter{{Name: "temperature", Value: json.RawMessage(`9`)}}
	w.deliver(bad)
	w.eventually("the configuration is refused", func() bool { return strings.Contains(w.logs.String(), "temperature") })
	w.ask(asking("", "")).expectOK(t)
	if got := w.upstream.Billed(upstream.Filter{}).Count; got != 1 {
		t.Errorf("the upstream billed %d requests", got)
	}
}

func TestEachUpstreamGetsTheLimitUnderTheNameThatItKnows(t *testing.T) {
	w, other := withSecond(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	w.ask(asking("status=503", `,"max_completion_tokens" : 40,"temperature":0.70`)).expectOK(t)
	if body := w.last().body; !strings.HasSuffix(body, `,"max_completion_tokens" : 40,"temperature":0.70}`) {
		t.Errorf("OpenRouter got %s", body)
	}
	// That one is some compatible server, which may know only the old name.
	if all := other.received.all(); len(all) != 1 || !strings.HasSuffix(all[0].body, `,"max_tokens" : 40,"temperature":0.70}`) {
		t.Errorf("the second upstream got %v", all)
	}
}
