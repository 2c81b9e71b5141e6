package proxy_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/syncbuffer"
	"github.com/modelroute/modelroute/internal/telemetry"
)

const (
	routeNamespace = "ai-platform"
	routeName      = "mixtral-8x22b-instruct"
	consumerName   = "search"
	consumerKey    = "mr-search-0123456789abcdef"
	upstreamKey    = "sk-or-v1-the-upstreams-own-key"
	upstreamModel  = "mistralai/mixtral-8x22b-instruct"
	// patience is how long a test waits for what must happen soon.
	patience = 30 * time.Second
)

// world is a proxy with everything around it: a real ledger, an upstream that keeps books, a configuration directory, and real sockets
// between them.
type world struct {
	t        *testing.T
	upstream *upstream.Server
	received *receiver
	ledger   *ledger
	config   routeconfig.Config
	dir      string
	keyFile  string
	// journalDir has the proxy's journal.
	journalDir string
	logs       *syncbuffer.Buffer
	// connections counts those that the upstream has accepted.
	connections atomic.Int64

	url, adminURL string
	client        *http.Client
	// terminate asks the proxy to end, as SIGTERM does; ended gets what Run returned.
	terminate context.CancelFunc
	ended     chan error
	// isOver is set once the proxy has ended.
	isOver bool
}

// setup is what a test changes about its world before it begins.
type setup struct {
	upstream upstream.Options
	budgets  []*ledgerpb.Budget
	// edit changes the configuration.
	edit func(*routeconfig.Config)
	// correctAfter is 0 for a proxy that never asks what uncertain attempts cost.
	correctAfter time.Duration
	maxDrains    int
	drainDelay   time.Duration
	drainLimit   time.Duration
	// tlsDir has the certificate under which clients are served; empty for plain HTTP.
	tlsDir string
	// traces is where spans go; nil is nowhere.
	traces *telemetry.Traces
}

// begin starts a world with a proxy that is ready.
func begin(t *testing.T, s setup) *world {
	t.Helper()
	w := prepare(t, s)
	w.start(s)
	w.eventually("the proxy is ready", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusOK })
	return w
}

// prepare makes everything but the proxy.
func prepare(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), journalDir: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "key"), logs: &syncbuffer.Buffer{}, ended: make(chan error, 1)}
	s.upstream.Keys = append(s.upstream.Keys, upstream.Key{Label: "route", Secret: upstreamKey, LimitNano: upstream.NoLimit})
	w.upstream = upstream.New(s.upstream)
	w.received = &receiver{next: w.upstream}
	server := httptest.NewUnstartedServer(w.received)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	w.write(w.keyFile, upstreamKey+"\n")
	w.ledger = startLedger(t)
	w.config = w.newConfig(server.URL)
	if s.edit != nil {
		s.edit(&w.config)
	}
	for i := range w.config.Routes {
		w.config.Routes[i].Denies = denies(s.budgets, "", "")
		for j := range w.config.Routes[i].Upstreams {
			w.config.Routes[i].Upstreams[j].Denies = denies(s.budgets, "", w.config.Routes[i].Upstreams[j].Name)
		}
		for j := range w.config.Routes[i].Consumers {
			w.config.Routes[i].Consumers[j].Denies = denies(s.budgets, w.config.Routes[i].Consumers[j].Name, "")
		}
		w.ledger.put(t, w.config.Routes[i], s.budgets)
	}
	w.deliver(w.config)
	return w
}

func denies(budgets []*ledgerpb.Budget, consumer, upstream string) bool {
	for _, budget := range budgets {
		isIts := budget.GetRef().GetConsumer() == consumer && budget.GetRef().GetUpstream() == upstream
		if isIts && budget.GetEnforcement() == ledgerpb.Enforcement_ENFORCEMENT_DENY {
			return true
		}
	}
	return false
}

// newConfig is the model page's model for one consumer.
func (w *world) newConfig(upstreamURL string) routeconfig.Config {
	return routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  w.ledger.config,
		Routes: []routeconfig.Route{{
			Namespace: routeNamespace,
			Name:      routeName,
			Model: routeconfig.Model{
				Name:                "mixtral-8x22b-instruct",
				Aliases:             []string{"mistralai/mixtral-8x22b-instruct"},
				DisplayName:         "Mixtral 8x22B Instruct",
				ContextLength:       65536,
				MaxCompletionTokens: 16384,
				Created:             1713312000,
			},
			Upstreams: []routeconfig.Upstream{{
				Name:           "openrouter",
				Provider:       routeconfig.OpenRouter,
				BaseURL:        upstreamURL + "/api/v1",
				Model:          upstreamModel,
				APIKeyFile:     w.keyFile,
				Pricing:        routeconfig.Pricing{PromptPicoUSD: 2_000_000, CompletionPicoUSD: 6_000_000},
				TimeoutSeconds: 60,
			}},
			MaxAttempts: 1, // so that a test sees what becomes of one
			Consumers:   []routeconfig.Consumer{{Name: consumerName, Keys: []routeconfig.Key{keyOf("k_1", consumerKey)}}},
		}},
	}
}

func keyOf(id, key string) routeconfig.Key {
	sum := sha256.Sum256([]byte(key))
	return routeconfig.Key{ID: id, SHA256: hex.EncodeToString(sum[:])}
}

// start runs the proxy.
func (w *world) start(s setup) {
	w.t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	admin, err := listen.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	w.url, w.adminURL = "http://"+listener.Addr().String(), "http://"+admin.Addr().String()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	if s.tlsDir != "" {
		w.url = "https://" + listener.Addr().String()
	}
	w.client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(w.t.Context())
	w.terminate = cancel
	if s.correctAfter == 0 {
		s.correctAfter = -1
	}
	if s.drainLimit == 0 {
		s.drainLimit = patience
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ended <- proxy.Run(ctx, proxy.Options{
			Listener: listener, AdminListener: admin, TLSDir: s.tlsDir, ConfigDir: w.dir, JournalDir: w.journalDir,
			LedgerToken: w.ledger.token, Instance: "proxy-0",
			CorrectAfter: s.correctAfter, MaxDrains: s.maxDrains, Traces: s.traces,
			DrainDelay: s.drainDelay, DrainTimeout: s.drainLimit, Logger: slog.New(slog.NewJSONHandler(w.logs, nil)), Clock: clock.RealClock{},
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		transport.CloseIdleConnections()
		<-done
		w.checkLog()
	})
}

// checkLog says that the log of every test is free of keys and of what people write.
func (w *world) checkLog() {
	w.t.Helper()
	for _, secret := range []string{consumerKey, upstreamKey, ledgertest.Key, "quantum", keyOf("", consumerKey).SHA256} {
		if strings.Contains(w.logs.String(), secret) {
			w.t.Errorf("the log holds %q:\n%s", secret, w.logs)
		}
	}
}

// deliver puts a configuration where the proxy reads it.
func (w *world) deliver(config routeconfig.Config) string {
	w.t.Helper()
	encoded, err := routeconfig.Encode(config)
	w.must(err)
	w.write(filepath.Join(w.dir, configsource.Key), string(encoded))
	return routeconfig.Hash(encoded)
}

// write replaces a file at once, as the kubelet does.
func (w *world) write(path, content string) {
	w.t.Helper()
	w.must(os.WriteFile(path+".new", []byte(content), 0o600))
	w.must(os.Rename(path+".new", path))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("it does not come true that %s\n%s", what, w.logs)
		}
	}
}

func (w *world) status(url string) int {
	w.t.Helper()
	answer := w.get(url, nil)
	return answer.status
}

func (w *world) metrics() string {
	w.t.Helper()
	return w.get(w.adminURL+"/metrics", nil).body
}

func (w *world) do(request *http.Request) reply {
	w.t.Helper()
	response, err := w.client.Do(request)
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return reply{
		status: response.StatusCode, header: response.Header, trailer: response.Trailer, body: string(body), broken: err,
	}
}

func (w *world) get(url string, header http.Header) reply {
	w.t.Helper()
	return w.do(w.request(w.t.Context(), http.MethodGet, url, "", header))
}

func (w *world) request(ctx context.Context, method, url, body string, header http.Header) *http.Request {
	w.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	w.must(err)
	maps.Copy(request.Header, header)
	return request
}

// chat is a request of the world's consumer.
func (w *world) chat(ctx context.Context, body string) *http.Request {
	w.t.Helper()
	return w.request(ctx, http.MethodPost, w.url+"/v1/chat/completions", body,
		http.Header{"Authorization": {"Bearer " + consumerKey}, "Content-Type": {"application/json"}})
}

// ask sends a body and reads the answer.
func (w *world) ask(body string) reply {
	w.t.Helper()
	return w.do(w.chat(w.t.Context(), body))
}

// pageRequest is the body of the model page's example, byte for byte.
const pageRequest = `{
    "model": "mixtral-8x22b-instruct",
    "messages": [
      { "role": "user", "content": "Explain quantum entanglement in one sentence." }
    ]
  }`

// asking is a short request with further members, which begin with a comma, and a fault of the upstream, or none.
func asking(fault, members string) string {
	content := "Explain quantum entanglement."
	if fault != "" {
		content += " [[fault:" + fault + "]]"
	}
	return fmt.Sprintf(`{"model":"mixtral-8x22b-instruct","messages":[{"role":"user","content":%q}]%s}`, content, members)
}

const streamed = `,"stream":true`

// booksAgree waits until nothing is held and compares the ledger with the upstream's books, to the nano-USD.
func (w *world) booksAgree() {
	w.t.Helper()
	booked := w.settled()
	billed := w.upstream.Billed(upstream.Filter{})
	want := spend{Settled: billed.TotalNanoUSD}
	for owner, got := range booked {
		if diff := cmp.Diff(want, got); diff != "" {
			w.t.Errorf("the ledger's books of %s and the upstream's differ (-upstream +ledger):\n%s", owner, diff)
		}
	}
}

// settled waits until the ledger knows all that was done, and no money is held, and returns its books as they were then. A heartbeat that
// was on its way may show money as held once more.
func (w *world) settled() (booked map[string]spend) {
	w.t.Helper()
	w.eventually("the ledger knows all that was done", func() bool {
		if w.isOver {
			return true // It reported everything before it ended.
		}
		metrics := w.metrics()
		return strings.Contains(metrics, "\nmodelroute_proxy_requests_in_flight 0\n") &&
			strings.Contains(metrics, "\nmodelroute_proxy_ledger_owed_records 0\n")
	})
	w.eventually("no money is held", func() bool {
		booked = w.ledger.spends(w.t)
		for _, found := range booked {
			if found.Held != 0 {
				return false
			}
		}
		return true
	})
	return booked
}

// routeSpend is what the ledger has of the route once nothing is held.
func (w *world) routeSpend() spend {
	w.t.Helper()
	return w.settled()["route"]
}
