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
