// Package world puts a whole data plane together for a test: a proxy with a real ledger, an upstream that keeps books of what it billed,
// and real sockets between them. A test speaks to it as a client does, and then compares the two books.
package world

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

// What every world has: one route for the model page's model, and one consumer of it. A test's Edit may add more.
const (
	Namespace     = "ai-platform"
	Model         = "mixtral-8x22b-instruct"
	Alias         = "mistralai/mixtral-8x22b-instruct"
	Consumer      = "search"
	Key           = "mr-search-0123456789abcdef"
	UpstreamKey   = "sk-or-v1-the-upstreams-own-key"
	UpstreamModel = "mistralai/mixtral-8x22b-instruct"
)

// The prices of the model page, in nano-USD per token: $2.00 and $6.00 per million.
const (
	PromptNano     = 2_000
	CompletionNano = 6_000
)

// patience is how long a test waits for what must happen soon.
const patience = 30 * time.Second

// Setup is what a test changes about its world before it begins.
type Setup struct {
	Upstream upstream.Options
	// Budgets are the route's, and those of its consumers that they name.
	Budgets []*ledgerpb.Budget
	// Edit changes the configuration.
	Edit func(*routeconfig.Config)
	// Clients is how long clients may take.
	Clients proxy.ClientTimes
	// Now is the ledger's clock; nil is the real one.
	Now func() time.Time
}

// World is a proxy with everything around it.
type World struct {
	// URL is where clients find the proxy, AdminURL where its health and metrics are.
	URL, AdminURL string
	// Upstream keeps the books that the ledger's are compared with.
	Upstream *upstream.Server
	// Client is a client without a timeout, which keeps its connections.
	Client *http.Client

	t        testing.TB
	received *receiver
	busy     *connections
	ledger   *ledgertest.Ledger
	keys     []string
	logs     *syncbuffer.Buffer
}

// Begin starts a world with a proxy that is ready. It ends with the test.
func Begin(t testing.TB, setup Setup) *World {
	t.Helper()
	w := &World{t: t, logs: &syncbuffer.Buffer{}, busy: newConnections()}
	setup.Upstream.Keys = append(setup.Upstream.Keys, upstream.Key{Label: "route", Secret: UpstreamKey, LimitNano: upstream.NoLimit})
	w.Upstream = upstream.New(setup.Upstream)
	w.received = &receiver{next: w.Upstream}
	server := httptest.NewUnstartedServer(w.received)
	server.Config.ConnState = w.busy.changed
	server.Start()
	t.Cleanup(server.Close)
	// The ledger's clock is the test's, the time between two heartbeats is real.
	w.ledger = ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond, Now: setup.Now})
	w.run(w.configure(setup, server.URL), setup.Clients)
	w.Eventually("the proxy is ready", func() bool {
		status, _ := w.get(w.AdminURL + "/readyz")
		return status == http.StatusOK
	})
	return w
}

// Ledger is the proxy's.
func (w *World) Ledger() *ledgertest.Ledger { return w.ledger }

// configure makes the configuration, tells the ledger of its routes, and returns the directory that it is in.
func (w *World) configure(setup Setup, upstreamURL string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	keyFile := filepath.Join(dir, "upstream-key")
	w.must(os.WriteFile(keyFile, []byte(UpstreamKey+"\n"), 0o600))
	config := routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  routeconfig.Ledger{URL: w.ledger.URL},
		Routes:  []routeconfig.Route{newRoute(upstreamURL, keyFile)},
	}
	if setup.Edit != nil {
		setup.Edit(&config)
	}
	for i := range config.Routes {
		route := &config.Routes[i]
		route.Denies = denies(setup.Budgets, "", "")
		request := &ledgerpb.PutRouteRequest{
			Route: &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name}, Budgets: setup.Budgets,
		}
		for j := range route.Upstreams {
			route.Upstreams[j].Denies = denies(setup.Budgets, "", route.Upstreams[j].Name)
		}
		for j := range route.Consumers {
			route.Consumers[j].Denies = denies(setup.Budgets, route.Consumers[j].Name, "")
			request.Consumers = append(request.Consumers, route.Consumers[j].Name)
			for _, key := range route.Consumers[j].Keys {
				w.keys = append(w.keys, key.SHA256)
			}
		}
		w.ledger.PutRoute(request)
	}
	encoded, err := routeconfig.Encode(config)
	w.must(err)
	w.must(os.WriteFile(filepath.Join(dir, configsource.Key), encoded, 0o600))
	return dir
}

func newRoute(upstreamURL, keyFile string) routeconfig.Route {
	return routeconfig.Route{
		Namespace: Namespace,
		Name:      Model,
		Model: routeconfig.Model{
			Name:                Model,
			Aliases:             []string{Alias},
			DisplayName:         "Mixtral 8x22B Instruct",
			Description:         "Mistral's official instruct fine-tune of Mixtral 8x22B.",
			ContextLength:       65536,
			MaxCompletionTokens: 16384,
			SupportedParameters: []string{"max_tokens", "response_format", "stop", "temperature", "tool_choice", "tools"},
			Created:             1713312000,
		},
		Upstreams: []routeconfig.Upstream{{
			Name:           "openrouter",
			Provider:       routeconfig.OpenRouter,
			BaseURL:        upstreamURL + "/api/v1",
			Model:          UpstreamModel,
			APIKeyFile:     keyFile,
			Pricing:        routeconfig.Pricing{PromptPicoUSD: PromptNano * 1000, CompletionPicoUSD: CompletionNano * 1000},
			TimeoutSeconds: 60,
		}},
		MaxAttempts: 1, // so that a test sees what becomes of one
		Consumers:   []routeconfig.Consumer{NewConsumer(Consumer, Key)},
	}
}

// NewConsumer is a consumer with one key.
func NewConsumer(name, key string) routeconfig.Consumer {
	sum := sha256.Sum256([]byte(key))
	return routeconfig.Consumer{Name: name, Keys: []routeconfig.Key{{ID: "k_" + name, SHA256: hex.EncodeToString(sum[:])}}}
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

// run runs the proxy until the test ends.
func (w *World) run(configDir string, clients proxy.ClientTimes) {
	w.t.Helper()
	listener, admin := w.listen(), w.listen()
	w.URL, w.AdminURL = "http://"+listener.Addr().String(), "http://"+admin.Addr().String()
	transport := &http.Transport{DisableCompression: true}
	w.Client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	journalDir := w.t.TempDir()
	go func() {
		ended <- proxy.Run(ctx, proxy.Options{
			Listener: listener, AdminListener: admin, ConfigDir: configDir, JournalDir: journalDir,
			LedgerToken: w.ledger.Token, Instance: "proxy-0", CorrectAfter: -1, Clients: clients,
			DrainTimeout: patience, Logger: slog.New(slog.NewJSONHandler(w.logs, nil)), Clock: clock.RealClock{},
		})
	}()
	w.t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the proxy ended with: %v", err)
		}
		w.checkLog()
	})
}

func (w *World) listen() net.Listener {
	w.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	return listener
}

// checkLog says that the log of every test is free of keys.
func (w *World) checkLog() {
	w.t.Helper()
	for _, secret := range append([]string{Key, UpstreamKey, ledgertest.Key}, w.keys...) {
		if strings.Contains(w.logs.String(), secret) {
			w.t.Errorf("the log holds a key or its hash:\n%s", w.logs)
		}
	}
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Eventually waits for what must come true, and fails the test if it does not.
func (w *World) Eventually(what string, is func() bool) {
	w.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for !is() {
		select {
		case <-limit.C:
			w.t.Fatalf("it does not come true that %s\n%s", what, w.logs)
		case <-pause.C:
		}
	}
}
