package compile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// inGateway is a route of a model that so many seconds ago was made, with a key that several routes may have.
func inGateway(name, model string, age int, keys ...string) compile.GatewayRoute {
	route := compile.GatewayRoute{Age: time.Unix(int64(10_000-age), 0)}
	route.Namespace, route.Name, route.Model.Name = "ai", name, model
	for _, key := range keys {
		route.Consumers = append(route.Consumers, routeconfig.Consumer{Name: "of-" + key, Keys: []routeconfig.Key{{ID: key, SHA256: key}}})
	}
	return route
}

// reached are the routes that a key reaches.
func reached(config routeconfig.Config, key string) []string {
	var names []string
	for _, route := range config.Routes {
		for _, consumer := range route.Consumers {
			for _, one := range consumer.Keys {
				if one.SHA256 == key {
					names = append(names, route.Name)
				}
			}
		}
	}
	return names
}

func TestOfTwoRoutesWithOneModelNameAKeyReachesTheOlder(t *testing.T) {
	merged, problems := compile.Merge(routeconfig.Config{}, []compile.GatewayRoute{
		inGateway("a-younger", "gpt", 1, "shared", "own"), inGateway("older", "gpt", 2, "shared"), inGateway("other", "code", 3, "shared"),
	})
	if got := fmt.Sprint(reached(merged, "shared")); got != "[older other]" {
		t.Errorf("the key reaches %s", got)
	}
	if got := fmt.Sprint(reached(merged, "own")); got != "[a-younger]" {
		t.Errorf("a key of the younger alone reaches %s", got)
	}
	if len(problems) != 1 || !strings.Contains(problems["a-younger"], `reaches the model "gpt" through ModelRoute older`) {
		t.Errorf("the problems are %v", problems)
	}
}

func TestAGatewayLeavesOutTheYoungestBeyondWhatItCanServe(t *testing.T) {
	var routes []compile.GatewayRoute
	for i := range compile.MaxGatewayRoutes + 1 {
		routes = append(routes, inGateway(fmt.Sprintf("route-%d", i), "m", i))
	}
	merged, problems := compile.Merge(routeconfig.Config{}, routes)
	if len(merged.Routes) != compile.MaxGatewayRoutes || len(problems) != 1 || problems["route-0"] == "" {
		t.Errorf("%d routes, %v", len(merged.Routes), problems)
	}
}

func TestRoutesOfAGatewayThatNameOneSecretShareItsFile(t *testing.T) {
	var routes []routeconfig.Route
	for _, name := range []string{"chat", "code"} {
		route := readRoute(t, "../../test/crdcel/testdata/largest.yaml")
		route.Name, route.Spec.Proxy, route.Spec.GatewayRef.Name = name, nil, "front"
		config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://l"}})
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, config.Routes...)
	}
	files := compile.GatewayFiles(routes)
	seen := map[string]bool{}
	for _, file := range files {
		if seen[file.Path()] {
			t.Errorf("%s is there twice", file.Path())
		}
		seen[file.Path()] = true
	}
	for _, route := range routes {
		for _, upstream := range route.Upstreams {
			for _, path := range []string{upstream.APIKeyFile, upstream.CAFile} {
				if below, is := strings.CutPrefix(path, compile.GatewayFileDir+"/"); path != "" && (!is || !seen[below]) {
					t.Errorf("upstream %s of %s has %s, which is not mounted", upstream.Name, route.Name, path)
				}
			}
		}
	}
	if len(files) < 2 {
		t.Errorf("the files are %v", files)
	}
}

func TestTheProxiesOfAGatewayFindTheKeysThatAreMadeForItsRoutes(t *testing.T) {
	route := fenced()
	route.Spec.GatewayRef.Name = "models"
	for i := range route.Spec.Upstreams {
		route.Spec.Upstreams[i].BaseURL = "https://upstream.example/v1"
	}
	config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger.example"}})
	if err != nil {
		t.Fatal(err)
	}
	want := compile.GatewayFile{
		Kind: v1alpha1.CABundleSecret, Name: compile.ProvisionedSecretName(route, "openrouter"), Key: compile.UpstreamKeyFile,
	}
	if got := compile.GatewayFiles(config.Routes); len(got) == 0 || got[0] != want {
		t.Errorf("the files are %v, want %v first", got, want)
	}
	if got, path := config.Routes[0].Upstreams[0].APIKeyFile, compile.GatewayFileDir+"/"+want.Path(); got != path {
		t.Errorf("the key is looked for at %s, and mounted at %s", got, path)
	}
}
