package routeconfig_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// FuzzDecode holds what is accepted to what a proxy relies on: it is the same when it is written and read again, and no price, limit or
// time is negative, since money is reckoned with them.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(completeJSON))
	f.Add([]byte(strings.ReplaceAll(completeJSON, `"pricing":{"promptPicoUSD":2000000`, `"pricing":{"promptPicoUSD":-1`)))
	f.Add([]byte(completeJSON + "{}"))
	f.Fuzz(func(t *testing.T, delivered []byte) {
		config, err := routeconfig.Decode(delivered)
		if err != nil {
			return
		}
		encoded, err := routeconfig.Encode(config)
		if err != nil {
			t.Fatalf("%q is accepted and cannot be written: %v", delivered, err)
		}
		again, err := routeconfig.Decode(encoded)
		if err != nil {
			t.Fatalf("%q is accepted, and %q is not: %v", delivered, encoded, err)
		}
		second, err := routeconfig.Encode(again)
		if err != nil || !bytes.Equal(encoded, second) {
			t.Fatalf("%q becomes another configuration (%v):\n%s", delivered, err, cmp.Diff(string(encoded), string(second)))
		}
		for _, route := range config.Routes {
			for _, upstream := range route.Upstreams {
				least := min(upstream.Pricing.PromptPicoUSD, upstream.Pricing.CompletionPicoUSD, upstream.TimeoutSeconds,
					upstream.ConnectTimeoutSeconds, upstream.FirstByteTimeoutSeconds, upstream.IdleTimeoutSeconds)
				if least < 0 || route.Model.ContextLength <= 0 {
					t.Errorf("%q is accepted", delivered)
				}
			}
		}
	})
}
