package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/internal/tlsfiles"
)

// server answers clients by the table that it has now.
type server struct {
	logger     *slog.Logger
	now        func() time.Time
	times      ClientTimes
	metrics    *metrics
	transports *transports
	keys       *keyFiles
	address    *ledgerAddress
	ledger     *client.Client
	corrector  *corrector
	health     *health
	drains     *drains
	// certificates are those under which clients are served; nil for plain HTTP.
	certificates *tlsfiles.Files
	tables       atomic.Pointer[table]
	// assembly is load's alone.
	assembly routeconfig.Assembly
	draining atomic.Bool
	// tracer is nil if traces are off.
	tracer trace.Tracer

	// lifetime bounds the calls to upstreams. The end of a client's context does not by itself: what it is to an attempt, departure says.
	lifetime context.Context //nolint:containedctx // it belongs to the server, as http.Server.BaseContext does, and not to one call
	abort    context.CancelFunc
	// requests are those that have begun and not ended.
	requests sync.WaitGroup
}

func newServer(ctx context.Context, options Options, kept *journal.Journal, replay *journal.Replay) *server {
	s := &server{
		logger:     options.Logger,
		now:        options.Clock.Now,
		times:      options.Clients.orDefault(),
		metrics:    newMetrics(),
		transports: newTransports(options.Clock.Now),
		keys:       newKeyFiles(options.Clock.Now),
		address:    &ledgerAddress{},
		health:     newHealth(options.Clock.Now),
		tracer:     options.Traces.Tracer(tracerName),
	}
	if options.TLSDir != "" {
		s.certificates = tlsfiles.New(options.TLSDir, options.Logger)
	}
	s.drains = newDrains(options.MaxDrains, s.metrics)
	s.lifetime, s.abort = context.WithCancel(context.WithoutCancel(ctx))
	httpClient := client.NewHTTPClient(s.address.roots)
	httpClient.Transport = s.address.over(httpClient.Transport)
	s.ledger = client.New(client.Options{
		URL:        symbolicLedger,
		HTTPClient: httpClient,
		Token:      options.LedgerToken,
		Journal:    kept,
		Replay:     replay,
		Now:        options.Clock.Now,
		Instance:   options.Instance,
		Routes:     s.routes,
		ConfigHash: s.configHash,
		Logger:     options.Logger,
	})
	s.metrics.watchLedger(s.ledger)
	s.corrector = newCorrector(s.transports, s.keys, s.metrics, s.logger, options.CorrectAfter)
	return s
}

// load takes up a configuration: it is built and checked as a whole and then swapped in, or it is refused as a whole and the last good
// one stays.
func (s *server) load(version configsource.Version) {
	hash := routeconfig.Hash(version.Encoded)
	config, err := s.decode(version)
	var built *table
	var endpoint *ledgerEndpoint
	if err == nil {
		built, endpoint, err = build(config, hash)
	}
	if err != nil {
		s.metrics.reloadFailed()
		s.logger.LogAttrs(s.lifetime, slog.LevelError, "The configuration is refused; keeping the last one",
			slog.String("hash", hash), slog.String("serving", s.configHash()), slog.Any("error", err))
		return
	}
	built.measure(s.metrics, s.tables.Load())
	s.address.current.Store(endpoint)
	if before := s.tables.Swap(built); before != nil {
		s.metrics.forget(before.byName, built.byName)
	}
	s.health.forget(built.byName)
	s.transports.forget(built.byName)
	s.ledger.ConfigChanged()
	s.metrics.reloaded(hash, s.now())
	s.logger.LogAttrs(s.lifetime, slog.LevelInfo, "Serving a new configuration", slog.String("hash", hash),
		slog.Int("routes", len(built.routes)), slog.Int("keys", len(built.keys)))
}

// decode reads a configuration, whether it is in parts or not.
func (s *server) decode(version configsource.Version) (routeconfig.Config, error) {
	if version.Parts != nil {
		return s.assembly.Join(version.Encoded, version.Parts)
	}
	return routeconfig.Decode(version.Encoded)
}

// build makes the table of a configuration that was decoded.
func build(config routeconfig.Config, hash string) (*table, *ledgerEndpoint, error) {
	endpoint, err := parseLedger(config.Ledger)
	if err != nil {
		return nil, nil, err
	}
	built, err := newTable(config, hash)
	if err != nil {
		return nil, nil, err
	}
	return built, endpoint, nil
}

func (s *server) routes() []client.Route {
	if current := s.tables.Load(); current != nil {
		return current.routes
	}
	return nil
}

// routeNow finds a route in the configuration that is served; nil if it is not there.
func (s *server) routeNow(name client.Route) *routeconfig.Route {
	if current := s.tables.Load(); current != nil {
		return current.byName[name]
	}
	return nil
}

// configHash is the hash of the configuration that is served; empty before the first.
func (s *server) configHash() string {
	if current := s.tables.Load(); current != nil {
		return current.hash
	}
	return ""
}

// ServeHTTP answers one request of a client, and records it.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Done()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()

	status := &statusWriter{ResponseWriter: w}
	record := &record{started: s.now(), requestID: requestIDOf(r.Header)}
	w.Header().Set(requestIDHeader, record.requestID)
	if s.draining.Load() {
		// A client that kept its connection would ask on it until the proxy closes it, and lose the request that is on its way then.
		w.Header().Set("Connection", "close")
	}
	r = s.beginTrace(r, record)
	defer func() {
		if cause := recover(); cause != nil {
			s.logger.LogAttrs(s.lifetime, slog.LevelError, "A handler panicked", slog.Any("panic", cause), stackAttr())
			record.code = openai.CodeInternal
			if status.status == 0 {
				record.dialect.Write(status, openai.Internal())
			} else {
				// What was sent is not the whole answer. Breaking the connection is the only way left to say so.
				defer panic(http.ErrAbortHandler)
			}
		}
		record.trailCost(w.Header())
		s.finish(r, record, status.status)
	}()
	s.route(status, r, record)
}

// finish writes the one log line and the metrics of a request. Neither holds a key or any content.
func (s *server) finish(r *http.Request, record *record, status int) {
	ended := s.now()
	took := ended.Sub(record.started)
	record.observe(s.metrics, status, took)
	record.endTrace(r, status, ended)
	if record.quiet {
		return
	}
	s.logger.LogAttrs(s.lifetime, slog.LevelInfo, "Request", record.attributes(status, took)...)
}
