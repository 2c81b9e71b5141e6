package routeconfig_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// many is a configuration of so many routes.
func many(count int) routeconfig.Config {
	config := routeconfig.Config{Version: routeconfig.Version, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}}
	for i := range count {
		config.Routes = append(config.Routes, routeconfig.Route{
			Namespace: "ai", Name: fmt.Sprintf("route-%03d", i),
			Model: routeconfig.Model{Name: "m", ContextLength: 65536},
			Upstreams: []routeconfig.Upstream{{
				Name: "o", Provider: routeconfig.OpenRouter, BaseURL: "https://o/v1", Model: "m", TimeoutSeconds: 600,
			}},
		})
	}
	return config
}

func split(t *testing.T, config routeconfig.Config) (index []byte, parts map[string][]byte) {
	t.Helper()
	index, parts, err := routeconfig.Split(config)
	if err != nil {
		t.Fatal(err)
	}
	return index, parts
}

func TestWhatWasSplitIsPutTogetherAsItWas(t *testing.T) {
	for _, count := range []int{0, 1, 100} {
		var assembly routeconfig.Assembly
		index, parts := split(t, many(count))
		got, err := assembly.Join(index, parts)
		if diff := cmp.Diff(many(count), got); diff != "" || err != nil {
			t.Errorf("%d routes (-want +got, %v):\n%s", count, err, diff)
		}
	}
}

func TestAChangeOfOneRouteChangesOnePartAndTheIndex(t *testing.T) {
	config := many(100)
	before, parts := split(t, config)
	config.Routes[42].Suspended = true
	after, changed := split(t, config)
	for hash := range parts {
		delete(changed, hash)
	}
	if len(changed) != 1 || string(before) == string(after) {
		t.Errorf("%d parts are others", len(changed))
	}
	var assembly routeconfig.Assembly
	if _, err := assembly.Join(before, parts); err != nil {
		t.Fatal(err)
	}
	// What has not changed need not be there again.
	got, err := assembly.Join(after, changed)
	if diff := cmp.Diff(config, got); diff != "" || err != nil {
		t.Errorf("-want +got (%v):\n%s", err, diff)
	}
}

func TestAnIndexOrAPartThatIsWrongIsRefused(t *testing.T) {
	index, parts := split(t, many(1))
	for reason, test := range map[string]struct {
		index string
		want  string
	}{
		"a field that is not known": {strings.Replace(string(index), `"parts"`, `"more":1,"parts"`, 1), `unknown field "more"`},
		"another version":           {strings.Replace(string(index), "config/v1", "config/v9", 1), `top.version is "modelroute.dev/config/v9"`},
		"no parts":                  {`{"top":{"version":"modelroute.dev/config/v1","ledger":{"url":"https://l"},"routes":null},"parts":[]}`, "parts must be"},
		"routes in the index":       {strings.Replace(string(index), `"routes":null`, `"routes":[{}]`, 1), "top.routes must be empty"},
		"two indexes":               {string(index) + string(index), "something follows"},
	} {
		var assembly routeconfig.Assembly
		if _, err := assembly.Join([]byte(test.index), parts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", reason, err, test.want)
		}
	}
	var assembly routeconfig.Assembly
	if _, err := assembly.Join(index, nil); err == nil {
		t.Error("a part that is not there is taken for one without routes")
	}
}

func TestAPartIsUnpackedToWhatWasPackedOrNotAtAll(t *testing.T) {
	part := []byte(`[{"namespace":"ai"}]`)
	packed, err := routeconfig.Pack(part)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := routeconfig.Unpack(packed, routeconfig.Hash(part)); err != nil || string(got) != string(part) {
		t.Errorf("got %q (%v)", got, err)
	}
	for reason, wrong := range map[string][]byte{"half of it": packed[:len(packed)/2], "something else": []byte("no gzip"), "nothing": nil} {
		if _, err := routeconfig.Unpack(wrong, routeconfig.Hash(part)); err == nil {
			t.Errorf("%s is taken for the part", reason)
		}
	}
	if _, err := routeconfig.Unpack(packed, routeconfig.Hash([]byte("[]"))); err == nil || !strings.Contains(err.Error(), "has the hash") {
		t.Errorf("a part of another hash: %v", err)
	}
}
