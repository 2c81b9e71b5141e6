package proxy

import (
	"net/http"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestTheWayToAnUpstream(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://models.example/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for proxyURL, want := range map[string]string{
		routeconfig.Direct:           "",
		"http://egress.example:3128": "http://egress.example:3128",
		"socks5://10.0.0.1:1080":     "socks5://10.0.0.1:1080",
	} {
		made, err := newWay(way{proxyURL: proxyURL}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if made.Proxy != nil {
			through, err := made.Proxy(request)
			if err != nil {
				t.Fatal(err)
			}
			got = through.String()
		}
		if got != want {
			t.Errorf("%s: the way is through %q, want %q", proxyURL, got, want)
		}
	}
}

func TestUpstreamsThatAreReachedAlikeShareATransport(t *testing.T) {
	all := newTransports(time.Now)
	of := func(proxyURL string) http.RoundTripper {
		found, err := all.of(&routeconfig.Upstream{ProxyURL: proxyURL})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if of("") != all.usual || of(routeconfig.Direct) != of(routeconfig.Direct) || of(routeconfig.Direct) == of("") {
		t.Error("the transports are not shared by those that are reached alike")
	}
	kept, other := of(routeconfig.Direct), of("http://egress.example")
	all.forget(map[client.Route]*routeconfig.Route{{}: {Upstreams: []routeconfig.Upstream{{ProxyURL: routeconfig.Direct}}}})
	if of(routeconfig.Direct) != kept || of("http://egress.example") == other {
		t.Error("the transports are not those of the configuration")
	}
	if _, err := all.of(&routeconfig.Upstream{CAFile: "/nowhere/ca.crt"}); err == nil {
		t.Error("authorities that are not there are no error")
	}
}
