package proxy_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestTheModelsOfAKeyAreListed(t *testing.T) {
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		route := config.Routes[0]
		route.Name, route.Model.Name, route.Model.Aliases = "other", "other-model", nil
		route.Consumers = []routeconfig.Consumer{{Name: "other", Keys: []routeconfig.Key{keyOf("k_2", "mr-other")}}}
		config.Routes = append(config.Routes, route)
	}})
	type model struct {
		ID            string
		Object        string
		ContextLength int64    `json:"context_length"`
		Endpoints     []string `json:"supported_endpoints"`
		Pricing       struct{ Prompt, Completion string }
	}
	want := model{ID: "mixtral-8x22b-instruct", Object: "model", ContextLength: 65536, Endpoints: []string{"/v1/chat/completions"}}
	want.Pricing.Prompt, want.Pricing.Completion = "0.000002", "0.000006"
	header := http.Header{"Authorization": {"Bearer " + consumerKey}}
	for _, prefix := range []string{"/v1", "/api/v1"} {
		var list struct {
			Object string
			Data   []model
		}
		w.must(json.Unmarshal([]byte(w.get(w.url+prefix+"/models", header).expectOK(t).body), &list))
		if diff := cmp.Diff([]model{want}, list.Data); diff != "" || list.Object != "list" {
			t.Errorf("list %q (-want +got):\n%s", list.Object, diff)
		}
		for _, name := range []string{"mixtral-8x22b-instruct", "mistralai/mixtral-8x22b-instruct"} {
			var got model
			w.must(json.Unmarshal([]byte(w.get(w.url+prefix+"/models/"+name, header).expectOK(t).body), &got))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("model %s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// A client plans its money with them, and does not know which upstream will serve it.
func TestThePricesOfAModelAreTheHighestOfTheUpstreamsThatMayServeIt(t *testing.T) {
	priced := func(pricing routeconfig.Pricing) func(name string, reserve bool) routeconfig.Upstream {
		return func(name string, reserve bool) routeconfig.Upstream {
			return routeconfig.Upstream{
				Name: name, Provider: routeconfig.OpenAICompatible, BaseURL: "http://127.0.0.1:1/v1", Model: "m", TimeoutSeconds: 1,
				Pricing: pricing, Reserve: reserve,
			}
		}
	}
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		route := &config.Routes[0]
		dearCompletion := priced(routeconfig.Pricing{PromptPicoUSD: 1_000_000, CompletionPicoUSD: 9_000_000, CachedPromptPicoUSD: new(int64(100_000))})
		dearWrite := priced(routeconfig.Pricing{PromptPicoUSD: 500_000, CacheWritePicoUSD: new(int64(3_000_000)), RequestNanoUSD: 5_000_000})
		dearest := priced(routeconfig.Pricing{PromptPicoUSD: 50_000_000, CompletionPicoUSD: 50_000_000})
		route.Upstreams = append(route.Upstreams, dearCompletion("second", false), dearWrite("beyond", true), dearest("others", true))
		route.Reserves = []routeconfig.Reserve{{Budget: "monthly", Upstream: "beyond"}}
		route.Consumers = append(route.Consumers, routeconfig.Consumer{
			Name: "other", Keys: []routeconfig.Key{keyOf("k_2", "mr-other")},
			Reserves: []routeconfig.Reserve{{Budget: "monthly", Upstream: "others"}},
		})
	}})
	var got struct{ Pricing map[string]string }
	header := http.Header{"Authorization": {"Bearer " + consumerKey}}
	w.must(json.Unmarshal([]byte(w.get(w.url+"/v1/models/mixtral-8x22b-instruct", header).expectOK(t).body), &got))
	want := map[string]string{
		"prompt": "0.000002", "completion": "0.000009", "request": "0.005", "input_cache_read": "0.000002", "input_cache_write": "0.000003",
	}
	if diff := cmp.Diff(want, got.Pricing); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAModelIsShownWithoutAPriceIfOneOfItsUpstreamsHasNone(t *testing.T) {
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		config.Routes[0].Upstreams = append(config.Routes[0].Upstreams, routeconfig.Upstream{
			Name: "second", Provider: routeconfig.OpenAICompatible, BaseURL: "http://127.0.0.1:1/v1", Model: "m", TimeoutSeconds: 1,
			Unpriced: true,
		})
	}})
	var got struct{ Pricing map[string]string }
	header := http.Header{"Authorization": {"Bearer " + consumerKey}}
	w.must(json.Unmarshal([]byte(w.get(w.url+"/v1/models/mixtral-8x22b-instruct", header).expectOK(t).body), &got))
	if got.Pricing["prompt"] != "-1" || got.Pricing["completion"] != "-1" {
		t.Errorf("the prices are %v", got.Pricing)
	}
}
