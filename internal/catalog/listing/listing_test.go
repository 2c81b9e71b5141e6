package listing

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/catalog"
)

func TestTheUpstreamsListHasWhatTheBuiltInListHas(t *testing.T) {
	server := httptest.NewServer(upstream.New(upstream.Options{}))
	defer server.Close()
	models, err := NewReader("test").Models(t.Context(), Upstream{BaseURL: server.URL + "/api/v1", IsOpenRouter: true})
	if err != nil {
		t.Fatal(err)
	}
	const mixtral = "mistralai/mixtral-8x22b-instruct"
	got := models[mixtral]
	want, _ := catalog.BuiltIn("OpenRouter", mixtral)
	if got.Pricing == nil || got.Pricing.CachedPrompt == nil || got.Pricing.CacheWrite == nil {
		t.Fatalf("the prices are %+v", got.Pricing)
	}
	got.Pricing.CachedPrompt, got.Pricing.CacheWrite = nil, nil // No provider sells a cache of Mixtral's prompts but this upstream.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-built in +listed):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"embeddings"}, models["openai/text-embedding-3-small"].OutputModalities); diff != "" {
		t.Errorf("the model of embeddings (-want +got):\n%s", diff)
	}
}

func TestAnUpstreamIsAskedWithoutAKeyAndOnlyOpenRouterForModelsOfAnyKind(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String()+" "+r.Header.Get("Authorization")+r.Header.Get("User-Agent"))
		_, _ = io.WriteString(w, `{"data":[]}`)
	}))
	defer server.Close()
	for _, isOpenRouter := range []bool{true, false} {
		if _, err := NewReader("test").Models(t.Context(), Upstream{BaseURL: server.URL + "/v1", IsOpenRouter: isOpenRouter}); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"/v1/models?output_modalities=all test", "/v1/models test"}, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatIsNoListIsAnErrorThatShowsNothingOfIt(t *testing.T) {
	for reason, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret", http.StatusUnauthorized) }, "status 401"},
		"a redirect": {
			func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/secret", http.StatusFound) }, "status 302"},
		"something else": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"secret":1}`) }, "no data"},
		"too much of it": {
			func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"data":[]}`+strings.Repeat(" ", maxBytes))
			}, "too long"},
		"a broken connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(reason, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			_, err := NewReader("test").Models(t.Context(), Upstream{BaseURL: server.URL})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAnUpstreamIsAskedThroughItsEgressProxyAndKnownByItsOwnAuthorities(t *testing.T) {
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":[{"id":"a-model"}]}`)
	}))
	defer upstream.Close()
	upstream.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	var tunnelled []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnelled = append(tunnelled, r.Method+" "+r.Host)
		tunnel(t, w, upstream.Listener.Addr().String())
	}))
	defer proxy.Close()
	authorities := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: upstream.Certificate().Raw})

	of := Upstream{BaseURL: "https://example.com", ProxyURL: proxy.URL, Authorities: authorities} // a name that the server's certificate has
	models, err := NewReader("test").Models(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	if _, listed := models["a-model"]; !listed {
		t.Errorf("it lists %v", models)
	}
	if diff := cmp.Diff([]string{"CONNECT example.com:443"}, tunnelled); diff != "" {
		t.Errorf("what the egress proxy was asked (-want +got):\n%s", diff)
	}

	of.Authorities = nil
	if _, err := NewReader("test").Models(t.Context(), of); err == nil {
		t.Error("an upstream that nobody knows is believed")
	}
	of.Authorities = []byte("no certificate")
	if _, err := NewReader("test").Models(t.Context(), of); err == nil || !strings.Contains(err.Error(), "certificates of its authorities") {
		t.Errorf("with authorities that cannot be read the error is %v", err)
	}
	of = Upstream{BaseURL: upstream.URL, ProxyURL: "direct", Authorities: authorities}
	if _, err := NewReader("test").Models(t.Context(), of); err != nil {
		t.Errorf("directly: %v", err)
	}
}

// tunnel carries the bytes of a CONNECT to an address.
func tunnel(t *testing.T, w http.ResponseWriter, address string) {
	t.Helper()
	server, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	w.WriteHeader(http.StatusOK)
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
}
