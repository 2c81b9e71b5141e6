package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// private is the world's upstream once more, known by an authority that no system knows.
type private struct {
	*httptest.Server
	caFile string
}

func (w *world) private() private {
	w.t.Helper()
	server := httptest.NewTLSServer(w.received)
	server.Config.ErrorLog = nil
	w.t.Cleanup(server.Close)
	found := private{Server: server, caFile: filepath.Join(w.t.TempDir(), "ca.crt")}
	w.write(found.caFile, bundleOf(server.Certificate().Raw))
	return found
}

func bundleOf(certificate []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
}

// stranger is an authority that has nothing to do with any upstream.
func stranger(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return bundleOf(certificate)
}

// reach has the proxy serve a configuration whose first upstream is edited.
func (w *world) reach(edit func(*routeconfig.Upstream)) {
	w.t.Helper()
	edit(&w.config.Routes[0].Upstreams[0])
	w.serves(w.deliver(w.config))
}

func TestAnUpstreamIsKnownByItsOwnAuthority(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	upstream := w.private()
	w.reach(func(u *routeconfig.Upstream) { u.BaseURL = upstream.URL + "/api/v1" })
	w.ask(asking("", short)).expectFailure(t, http.StatusBadGateway, "upstream_unreachable")
	if got := w.received.all(); len(got) > 0 {
		t.Errorf("a server that is not known got %d requests", len(got))
	}
	w.reach(func(u *routeconfig.Upstream) { u.CAFile = upstream.caFile })
	w.ask(asking("", short)).expectOK(t)
	w.ask(asking("", short+streamed)).expectOK(t)
	w.booksAgree()
}

func TestAuthoritiesAreReadAgainAndNoStreamIsDropped(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	upstream := w.private()
	w.reach(func(u *routeconfig.Upstream) { u.BaseURL, u.CAFile = upstream.URL+"/api/v1", upstream.caFile })
	stream := w.pauseStream()
	w.write(upstream.caFile, stranger(t))
	w.eventually("the upstream is not known any more", func() bool { return w.ask(asking("", short)).status == http.StatusBadGateway })
	w.write(upstream.caFile, "no certificate")
	w.eventually("there are no authorities", func() bool { return w.ask(asking("", short)).status == http.StatusServiceUnavailable })
	if _, done := stream.finish(t).expectOK(t).chunks(t); !done {
		t.Error("the stream did not end well")
	}
	w.write(upstream.caFile, bundleOf(upstream.Certificate().Raw))
	w.eventually("the upstream is known again", func() bool { return w.ask(asking("", short)).status == http.StatusOK })
	w.booksAgree()
}

// egress is a proxy that lets connections through, as CONNECT asks.
type egress struct {
	*httptest.Server
	tunnels atomic.Int64
}

func startEgress(t *testing.T) *egress {
	t.Helper()
	e := &egress{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		far, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		e.tunnels.Add(1)
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = far.Close()
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(near, far)
	}))
	t.Cleanup(e.Close)
	return e
}

// join carries bytes both ways until one side ends.
func join(a, b net.Conn) {
	var once sync.Once
	end := func() { once.Do(func() { _, _ = a.Close(), b.Close() }) }
	go func() { defer end(); _, _ = io.Copy(a, b) }()
	go func() { defer end(); _, _ = io.Copy(b, a) }()
}

func TestAnUpstreamIsReachedThroughItsEgressProxy(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	upstream, proxy := w.private(), startEgress(t)
	w.reach(func(u *routeconfig.Upstream) {
		u.BaseURL, u.CAFile, u.ProxyURL = upstream.URL+"/api/v1", upstream.caFile, proxy.URL
	})
	w.ask(asking("", short)).expectOK(t)
	w.ask(asking("", short+streamed)).expectOK(t)
	if got := proxy.tunnels.Load(); got != 1 {
		t.Errorf("there are %d tunnels, want one for both requests", got)
	}
	w.reach(func(u *routeconfig.Upstream) { u.ProxyURL = routeconfig.Direct })
	proxy.Close()
	w.ask(asking("", short)).expectOK(t)
	w.booksAgree()

	w.reach(func(u *routeconfig.Upstream) { u.ProxyURL = proxy.URL })
	before := w.routeSpend()
	w.ask(asking("", short)).expectFailure(t, http.StatusBadGateway, "upstream_unreachable")
	if after := w.routeSpend(); after != before {
		t.Errorf("a request that was not sent is booked: %+v, and %+v before", after, before)
	}
}

func TestOpenRouterIsToldWhoAsks(t *testing.T) {
	w := begin(t, setup{})
	w.ask(asking("", short)).expectOK(t)
	for _, name := range []string{"HTTP-Referer", "X-OpenRouter-Title", "X-Title"} {
		if got := w.last().header.Get(name); got != "" {
			t.Errorf("%s is %q, and nobody said so", name, got)
		}
	}
	w.reach(func(u *routeconfig.Upstream) { u.Referer, u.Title = "https://search.example", "Search (beta)" })
	w.ask(asking("", short)).expectOK(t)
	header := w.last().header
	if header.Get("HTTP-Referer") != "https://search.example" || header.Get("X-OpenRouter-Title") != "Search (beta)" ||
		header.Get("X-Title") != "Search (beta)" {
		t.Errorf("the header is %v", header)
	}
}

func TestABodyMayBeAsLargeAsItsRouteSays(t *testing.T) {
	const limit = 1000
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		config.Routes[0].MaxRequestBytes = limit
		other := config.Routes[0]
		other.Name, other.Model.Name, other.Model.Aliases, other.MaxRequestBytes = "large", "large", nil, 2*limit
		config.Routes = append(config.Routes, other)
	}})
	sized := func(model string, size int) string {
		body := strings.Replace(asking("", short), `"mixtral-8x22b-instruct"`, `"`+model+`"`, 1)
		return body + strings.Repeat(" ", size-len(body))
	}
	w.ask(sized("mixtral-8x22b-instruct", limit)).expectOK(t)
	w.ask(sized("large", 2*limit)).expectOK(t)
	sent := len(w.received.all())
	for body, want := range map[string]string{
		sized("mixtral-8x22b-instruct", limit+1): "The body is larger than 1000 bytes.",
		sized("large", 2*limit+1):                "The body is larger than 2000 bytes.",
	} {
		if found := w.ask(body).expectFailure(t, http.StatusRequestEntityTooLarge, "body_too_large"); found.Message != want {
			t.Errorf("the message is %q, want %q", found.Message, want)
		}
	}
	if got := len(w.received.all()); got != sent {
		t.Errorf("the upstream got %d requests that are too large", got-sent)
	}
}
