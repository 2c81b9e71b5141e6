package proxy

import (
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// FuzzBuild takes up whatever may be delivered as a configuration: it is refused as a whole, or every route and every key of it is found.
func FuzzBuild(f *testing.F) {
	for _, config := range []string{
		`{"version":"modelroute.dev/config/v1","ledger":{"url":"https://ledger:8443"},"routes":[{"namespace":"a","name":"b",` +
			`"model":{"name":"m","aliases":["n"],"contextLength":65536,"supportedParameters":["stop"],"created":1},` +
			`"upstreams":[{"name":"o","provider":"OpenRouter","baseURL":"https://o/api/v1","model":"x/m","apiKeyFile":"",` +
			`"pricing":{"promptPicoUSD":2000000,"completionPicoUSD":6000000},"timeoutSeconds":600,` +
			`"parameters":[{"name":"provider","value":{"max_price":{"prompt":"2"}}}]}],` +
			`"defaults":[{"name":"temperature","value":0.7}],"overrides":[{"name":"top_k","value":1}],"unsupported":"Drop",` +
			`"consumers":[{"name":"c","keys":[{"id":"k","sha256":` +
			`"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}],"denies":true}]}]}`,
		`{"version":"modelroute.dev/config/v1","ledger":{"url":"http://127.0.0.1:1"},"routes":[]}`,
	} {
		f.Add([]byte(config))
	}
	f.Fuzz(func(t *testing.T, delivered []byte) {
		config, err := routeconfig.Decode(delivered)
		if err != nil {
			return
		}
		built, endpoint, err := build(config, routeconfig.Hash(delivered))
		if err != nil {
			if built != nil || endpoint != nil {
				t.Errorf("%q is refused and built: %v", delivered, err)
			}
			return
		}
		keys := 0
		for i := range config.Routes {
			route := &config.Routes[i]
			if built.byName[client.Route{Namespace: route.Namespace, Name: route.Name}] == nil {
				t.Errorf("route %s/%s is not served", route.Namespace, route.Name)
			}
			for _, consumer := range route.Consumers {
				keys += len(consumer.Keys)
			}
		}
		reached := 0
		for _, holder := range built.keys {
			reached += len(holder.grants)
		}
		if reached != keys {
			t.Errorf("%d of %d keys are accepted", reached, keys)
		}
	})
}
