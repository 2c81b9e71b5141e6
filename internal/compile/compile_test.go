package compile_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

var update = flag.Bool("update", false, "write the golden files anew")

// keysOfSearch are the keys that the tests' consumer has.
var keysOfSearch = map[string][]routeconfig.Key{"search": {
	{ID: "k_bbbbbbbbbbbb", SHA256: strings.Repeat("b", 64)}, {ID: "k_aaaaaaaaaaaa", SHA256: strings.Repeat("a", 64)},
}}

func readRoute(t *testing.T, file string) *v1alpha1.ModelRoute {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	route := &v1alpha1.ModelRoute{}
	if err := yaml.UnmarshalStrict(content, route); err != nil {
		t.Fatal(err)
	}
	return route
}

func encode(t *testing.T, route *v1alpha1.ModelRoute) []byte {
	t.Helper()
	if errs := compile.Validate(route); len(errs) > 0 {
		t.Fatalf("the route is invalid: %v", errs.ToAggregate())
	}
	config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}, Keys: keysOfSearch})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := routeconfig.Encode(config)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestTheLargestRouteCompilesToTheGoldenConfiguration(t *testing.T) {
	encoded := encode(t, readRoute(t, "../../test/crdcel/testdata/largest.yaml"))
	golden(t, "testdata/largest.json", encoded)
	if _, err := routeconfig.Decode(encoded); err != nil {
		t.Errorf("a proxy would refuse it: %v", err)
	}
}

func TestTheBudgetsOfARouteAndItsConsumersGoToTheLedger(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
	request, err := compile.Budgets(route, nil, nil, "system:serviceaccount:default:largest-proxy", noon)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := yaml.JSONToYAML(encoded) // protojson varies its white space on purpose
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/largest-budgets.yaml", canonical)
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if that is meant:\n%s", file, diff)
	}
}

func TestTheOrderOfListsMakesNoDifferenceToTheBytes(t *testing.T) {
	route := readRoute(t, "../../config/samples/mixtral-8x22b-instruct.yaml")
	want := encode(t, route)
	for range 20 {
		shuffled := route.DeepCopy()
		shuffle(shuffled.Spec.Consumers)
		shuffle(shuffled.Spec.Model.Aliases)
		shuffle(shuffled.Spec.Model.SupportedParameters)
		if diff := cmp.Diff(string(want), string(encode(t, shuffled))); diff != "" {
			t.Fatalf("another order gives other bytes (-want +got):\n%s", diff)
		}
	}
}

func shuffle[T any](list []T) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

func TestOnlyTheAnnotationTrueSuspends(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "false": false, "": false, "yes": false} {
		route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
		route.Annotations = map[string]string{v1alpha1.AnnotationSuspended: value}
		config, err := compile.Config(compile.Input{Route: route})
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Routes[0].Suspended; got != want {
			t.Errorf("with %q it is %t that the route is suspended", value, got)
		}
	}
}

func TestARouteThatSaysLittleGetsTheDefaultsHereAndNotInTheSchema(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	got := config.Routes[0]
	want := routeconfig.Route{
		Namespace: "default", Name: "mixtral-8x22b-instruct",
		Model: routeconfig.Model{
			Name: "mixtral-8x22b-instruct", ContextLength: 65536, InputModalities: []string{"text"}, OutputModalities: []string{"text"},
		},
		Upstreams: []routeconfig.Upstream{{
			Name: "openrouter", Provider: routeconfig.OpenRouter, BaseURL: "https://openrouter.ai/api/v1", Model: "mixtral-8x22b-instruct",
			Endpoints: []routeconfig.Endpoint{
				routeconfig.ChatCompletions, routeconfig.Completions, routeconfig.Messages, routeconfig.Responses,
			},
			APIKeyFile: "/etc/modelroute/upstreams/openrouter/apiKey", TimeoutSeconds: 600,
			Pricing: routeconfig.Pricing{PromptPicoUSD: 2_000_000, CompletionPicoUSD: 6_000_000},
			Parameters: []routeconfig.Parameter{
				{Name: "provider", Value: []byte(`{"max_price":{"prompt":"2.00","completion":"6.00","request":"0.00"}}`)},
			},
			OnDisconnect: routeconfig.CancelAsServed,
		}},
		Consumers: []routeconfig.Consumer{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStreamsAreHungUpWhereThatStopsTheBillAndWhatWasProducedCanBeCounted(t *testing.T) {
	cases := map[string]struct {
		provider  v1alpha1.Provider
		says      v1alpha1.OnDisconnect
		supported []string
		want      routeconfig.OnDisconnect
	}{
		"OpenAI stops":                           {v1alpha1.ProviderOpenAI, "", []string{"stop"}, routeconfig.Cancel},
		"its models may reason in hiding":        {v1alpha1.ProviderOpenAI, "", nil, routeconfig.Drain},
		"at OpenRouter it depends on who serves": {v1alpha1.ProviderOpenRouter, "", []string{"stop"}, routeconfig.CancelAsServed},
		"which it tells the cost of afterwards":  {v1alpha1.ProviderOpenRouter, "", nil, routeconfig.CancelAsServed},
		"but not how to count":                   {v1alpha1.ProviderOpenRouter, "", []string{"reasoning"}, routeconfig.Drain},
		"of others it is not known":              {v1alpha1.ProviderOpenAICompatible, "", nil, routeconfig.Drain},
		"hidden reasoning could not be counted":  {v1alpha1.ProviderOpenAI, "", []string{"reasoning_effort", "stop"}, routeconfig.Drain},
		"the route may know that it stops":       {v1alpha1.ProviderOpenAICompatible, v1alpha1.OnDisconnectCancel, nil, routeconfig.Cancel},
		"the route may want to know exactly":     {v1alpha1.ProviderOpenAI, v1alpha1.OnDisconnectDrain, nil, routeconfig.Drain},
		"the route may know that nothing is hidden": {
			v1alpha1.ProviderOpenAI, v1alpha1.OnDisconnectCancel, []string{"include_reasoning"}, routeconfig.Cancel,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Model.SupportedParameters = test.supported
			route.Spec.Upstreams[0].Provider, route.Spec.Upstreams[0].OnDisconnect = test.provider, test.says
			config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Routes[0].Upstreams[0].OnDisconnect; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
