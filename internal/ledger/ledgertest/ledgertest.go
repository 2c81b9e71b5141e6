// Package ledgertest runs a real ledger for a test: its service on a loopback port, its books in SQLite in a temporary directory,
// its callers known by a key.
package ledgertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// Identity is who the key's bearer is: the manager, and the server of every route that PutRoute puts without naming one.
const Identity = "test"

// Key is the bearer token that the ledger accepts.
const Key = "the key of the test"

// Options change what a ledger is like. The zero value is a plain one.
type Options struct {
	// TLS makes the ledger speak TLS, with a certificate that Roots has the authority of.
	TLS bool
	// Names are those that the certificate is for, beside the address.
	Names []string
	// Now is its clock; nil is the real one.
	Now func() time.Time
	// Authenticator knows its callers; nil accepts Key as Identity's. One that is given has to do so as well.
	Authenticator auth.Authenticator
	// Heartbeat and Silence are the ledger's defaults if 0.
	Heartbeat, Silence time.Duration
	// Managers may put routes and see the usage; nil is Identity.
	Managers []auth.Identity
	// Readers may see the usage and the history.
	Readers []auth.Identity
	// Logger gets what the ledger logs; nil discards it.
	Logger *slog.Logger
}

// Ledger is a ledger that runs until the test ends.
type Ledger struct {
	// URL is the base URL of its RPCs. It stays the same when the ledger is stopped and started.
	URL string
	// Metrics has what the ledger counts, since it was last started.
	Metrics *prometheus.Registry

	t       testing.TB
	options Options
	dir     string
	address string
	// asManager is the client of the manager's calls, one for all of them: each client keeps a connection.
	asManager *http.Client

	mu   sync.Mutex
	stop func()
	// certificate is set if the ledger speaks TLS; roots trust it.
	certificate *tls.Certificate
	roots       *x509.CertPool
}

// Start runs a plain ledger.
func Start(t testing.TB) *Ledger {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith runs a ledger with options.
func StartWith(t testing.TB, options Options) *Ledger {
	t.Helper()
	if options.Now == nil {
		options.Now = time.Now //nolint:forbidigo // A test that cares gives a clock of its own.
	}
	if options.Authenticator == nil {
		options.Authenticator = auth.NewStatic(Key, Identity)
	}
	if options.Managers == nil {
		options.Managers = []auth.Identity{Identity}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{t: t, options: options, dir: t.TempDir(), address: "127.0.0.1:0"}
	scheme := "http://"
	if options.TLS {
		scheme = "https://"
		l.certificate, l.roots = newCertificate(t, options.Names)
	}
	l.asManager = l.HTTPClient()
	t.Cleanup(l.asManager.CloseIdleConnections)
	t.Cleanup(l.Stop)
	l.Start()
	l.URL = scheme + l.address
	return l
}

// Start starts a ledger that was stopped, on the same address and the same books.
func (l *Ledger) Start() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return
	}
	l.Metrics = prometheus.NewRegistry()
	metrics := ledger.NewMetrics(l.Metrics)
	books, err := sqlite.Open(l.t.Context(), sqlite.Options{Dir: l.dir, Now: l.options.Now, OnCommit: metrics.ObserveCommit})
	if err != nil {
		l.t.Fatalf("opening the ledger's books: %v", err)
	}
	service := ledger.New(ledger.Options{
		Store:         books,
		Authenticator: l.options.Authenticator,
		Managers:      l.options.Managers,
		Readers:       l.options.Readers,
		Now:           l.options.Now,
		Logger:        l.options.Logger,
		Metrics:       metrics,
		Heartbeat:     l.options.Heartbeat,
		Silence:       l.options.Silence,
	})
	server := ledger.NewServer(service.Handler(), l.options.Logger)
	listener, err := (&net.ListenConfig{}).Listen(l.t.Context(), "tcp", l.address)
	if err != nil {
		l.t.Fatalf("listening for the ledger: %v", err)
	}
	l.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	certificate := l.certificate
	running.Go(func() { l.serve(server, listener, certificate) })
	l.stop = func() {
		cancel()
		_ = server.Close() // What is under way is cut off, as by a crash.
		running.Wait()
		if err := books.Close(); err != nil {
			l.t.Errorf("closing the ledger's books: %v", err)
		}
	}
}

func (l *Ledger) serve(server *http.Server, listener net.Listener, certificate *tls.Certificate) {
	var err error
	if certificate != nil {
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate}}
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		l.t.Errorf("serving the ledger: %v", err)
	}
}

// Stop stops the ledger: connections break, the books stay.
func (l *Ledger) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// Rotate makes a new certificate and stops trusting the old one. The ledger serves it when it is next started.
func (l *Ledger) Rotate() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.certificate, l.roots = newCertificate(l.t, l.options.Names)
}

// HTTPClient returns a client that trusts the ledger.
func (l *Ledger) HTTPClient() *http.Client {
	return client.NewHTTPClient(func() (*x509.CertPool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.roots, nil
	})
}

// Token is the token source of a client.Options.
func (l *Ledger) Token(context.Context) (string, error) { return Key, nil }

// NewClient returns a proxy's client for the routes, which runs until the test ends.
func (l *Ledger) NewClient(instance string, routes ...client.Route) *client.Client {
	l.t.Helper()
	opened, replay, err := journal.Open(journal.Options{Directory: l.t.TempDir()})
	if err != nil {
		l.t.Fatalf("opening a journal: %v", err)
	}
	made := client.New(client.Options{
		URL:        l.URL,
		HTTPClient: l.HTTPClient(),
		Token:      l.Token,
		Journal:    opened,
		Replay:     replay,
		Now:        time.Now, //nolint:forbidigo // The client's clock must be monotonic.
		Instance:   instance,
		Routes:     func() []client.Route { return routes },
		ConfigHash: func() string { return "" },
		Logger:     l.options.Logger,
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { made.Run(ctx) })
	l.t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := opened.Close(); err != nil {
			l.t.Errorf("closing a journal: %v", err)
		}
	})
	return made
}

// manager returns a client of the ManagerService, and the context to call it with.
func (l *Ledger) manager() (ledgerpbconnect.ManagerServiceClient, context.Context) {
	ctx, info := connect.NewClientContext(l.t.Context())
	info.RequestHeader().Set("Authorization", "Bearer "+Key)
	return ledgerpbconnect.NewManagerServiceClient(connect.NewClient(connecthttp.NewTransport(l.asManager, l.URL))), ctx
}

// OpenSession opens a session as Identity.
func (l *Ledger) OpenSession(request *ledgerpb.OpenSessionRequest) *ledgerpb.OpenSessionResponse {
	l.t.Helper()
	_, ctx := l.manager()
	service := ledgerpbconnect.NewProxyServiceClient(connect.NewClient(connecthttp.NewTransport(l.asManager, l.URL)))
	response, err := service.OpenSession(ctx, request)
	if err != nil {
		l.t.Fatalf("OpenSession: %v", err)
	}
	return response
}

// PutRoute puts a route, served by Identity unless the request names another server.
func (l *Ledger) PutRoute(request *ledgerpb.PutRouteRequest) {
	l.t.Helper()
	if request.GetServer() == "" {
		request.Server = Identity
	}
	service, ctx := l.manager()
	if _, err := service.PutRoute(ctx, request); err != nil {
		l.t.Fatalf("PutRoute: %v", err)
	}
}

// PutShared puts a shared owner.
func (l *Ledger) PutShared(request *ledgerpb.PutSharedRequest) {
	l.t.Helper()
	service, ctx := l.manager()
	if _, err := service.PutShared(ctx, request); err != nil {
		l.t.Fatalf("PutShared: %v", err)
	}
}

// Shared returns what became of a shared owner; nil if it was never put.
func (l *Ledger) Shared(owner string) *ledgerpb.SharedUsage {
	l.t.Helper()
	service, ctx := l.manager()
	usage, err := service.ListUsage(ctx, &ledgerpb.ListUsageRequest{})
	if err != nil {
		l.t.Fatalf("ListUsage: %v", err)
	}
	for _, one := range usage.GetShared() {
		if one.GetOwner() == owner {
			return one
		}
	}
	return nil
}

// ReleaseProxy gives up on a proxy. It fails while the proxy is heard from.
func (l *Ledger) ReleaseProxy(id string) error {
	l.t.Helper()
	service, ctx := l.manager()
	_, err := service.ReleaseProxy(ctx, &ledgerpb.ReleaseProxyRequest{ProxyId: id, Reason: "a test"})
	return err
}

// Backup stops the ledger, copies its books and starts it again. The returned function stops it, puts the copy in their place and starts
// it: as after an operator restored a backup.
func (l *Ledger) Backup() (restore func()) {
	l.t.Helper()
	l.Stop()
	kept := l.t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(l.dir)); err != nil {
		l.t.Fatalf("copying the ledger's books: %v", err)
	}
	l.Start()
	return func() {
		l.t.Helper()
		l.Stop()
		l.dir = kept
		l.Start()
	}
}

// Usage returns what became of a route; nil if it was never put.
func (l *Ledger) Usage(namespace, name string) *ledgerpb.RouteUsage {
	l.t.Helper()
	service, ctx := l.manager()
	usage, err := service.ListUsage(ctx, &ledgerpb.ListUsageRequest{})
	if err != nil {
		l.t.Fatalf("ListUsage: %v", err)
	}
	for _, one := range usage.GetRoutes() {
		if one.GetRoute().GetNamespace() == namespace && one.GetRoute().GetName() == name {
			return one
		}
	}
	return nil
}

// History returns all that a route spent, as one sum for each model and upstream.
func (l *Ledger) History(namespace, name string) []*ledgerpb.HistoryEntry {
	l.t.Helper()
	service, ctx := l.manager()
	answer, err := service.ListHistory(ctx, &ledgerpb.ListHistoryRequest{
		Route: &ledgerpb.RouteRef{Namespace: namespace, Name: name}, Step: ledgerpb.Period_PERIOD_TOTAL,
	})
	if err != nil {
		l.t.Fatalf("ListHistory: %v", err)
	}
	return answer.GetEntries()
}
