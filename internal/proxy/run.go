package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/telemetry"
)

const (
	maxHeaderBytes = 64 << 10
	// retainBytes is how much of the journal is kept although the ledger has it, in case the ledger is restored from a backup.
	retainBytes = 64 << 20
	// flushTime is how long the end waits for the ledger to acknowledge the last settlements.
	flushTime = 15 * time.Second
)

// Options are what a proxy needs to run.
type Options struct {
	// Listener takes the clients' connections, AdminListener those that ask for health and metrics. Run closes both.
	Listener, AdminListener net.Listener
	// TLSDir is the directory with tls.crt and tls.key, which may be replaced at any time, under which clients are served; empty for plain
	// HTTP.
	TLSDir string
	// ConfigDir is the directory that holds the configuration; empty for none. Secret is the Secret to watch for it; nil for none.
	ConfigDir string
	Secret    *configsource.Secret
	// JournalDir is the directory for what must survive the process: what was held and what it cost. It belongs to one proxy at a time.
	JournalDir string
	// LedgerToken returns the token by which the ledger authenticates the proxy.
	LedgerToken func(context.Context) (string, error)
	// Instance is what the ledger calls this proxy: the pod's name.
	Instance string
	// CorrectAfter is when an upstream that can tell is first asked what an attempt cost whose settlement is uncertain; 0 is
	// DefaultCorrectAfter, negative is never.
	CorrectAfter time.Duration
	// MaxDrains is how many answers are read to their end at a time after their clients have gone; 0 is DefaultMaxDrains.
	MaxDrains int
	// Clients is how long clients may take.
	Clients ClientTimes
	// DrainDelay is how long new requests are still served after the end was asked for, so that those who balance load learn of it first.
	DrainDelay time.Duration
	// DrainTimeout is how long requests that have begun may take after that.
	DrainTimeout time.Duration
	// Beside has clients served other things than the API at paths that are none of the API's, by a handler around the API's; nil for none.
	Beside func(http.Handler) http.Handler
	// Traces is where spans go; nil for nowhere.
	Traces *telemetry.Traces
	Logger *slog.Logger
	Clock  clock.WithTicker
}

// Run serves until ctx ends and then drains: not ready at once, no new connections after the delay, no end before the requests have ended
// and the ledger has acknowledged what they cost, or the timeouts are over. The error says what kept it from serving.
func Run(ctx context.Context, options Options) (err error) {
	kept, replay, err := journal.Open(journal.Options{Directory: options.JournalDir, RetainBytes: retainBytes})
	if err != nil {
		return fmt.Errorf("--journal-dir: %w", err)
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	server := newServer(ctx, options, kept, replay)
	defer server.abort()

	// What serves requests outlives ctx: requests still run while the proxy drains, and must be settled.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	workers.Go(func() { server.watchConfig(background, options) })
	workers.Go(func() { server.ledger.Run(background) })
	workers.Go(func() { server.watchCertificates(background) })
	workers.Go(func() { server.corrector.run(ctx) })
	workers.Go(func() { server.corrector.addPast(ctx, server.ledger.PastDoubts(ctx), server.routeNow) })

	var clients http.Handler = server
	if options.Beside != nil {
		clients = options.Beside(server)
	}
	public := server.httpServer(clients)
	admin := server.httpServer(server.adminHandler())
	failed := make(chan error, 2)
	workers.Go(func() { failed <- server.serveClients(public, options.Listener) })
	workers.Go(func() { failed <- serve(options.AdminListener, admin.Serve) })
	defer func() { _ = admin.Close() }()
	defer func() { _ = public.Close() }()

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	server.drain(background, public, options)
	return nil
}

func (s *server) watchConfig(ctx context.Context, options Options) {
	configsource.Watch(ctx, configsource.Options{
		Dir: options.ConfigDir, Secret: options.Secret, Logger: options.Logger, Clock: options.Clock,
	}, s.load)
}

// watchCertificates takes up the clients' certificate, and those that follow it.
func (s *server) watchCertificates(ctx context.Context) {
	if s.certificates != nil && s.certificates.Wait(ctx) {
		s.certificates.Watch(ctx)
	}
}

func (s *server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.times.Header,
		IdleTimeout:       s.times.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
}

func serve(listener net.Listener, serve func(net.Listener) error) error {
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}

// serveClients serves plain HTTP, or HTTP/2 and HTTP over TLS. Until there is a certificate no connection comes about.
func (s *server) serveClients(public *http.Server, listener net.Listener) error {
	if s.certificates == nil {
		return serve(listener, public.Serve)
	}
	public.TLSConfig = s.certificates.Config(tls.VersionTLS12)
	return serve(listener, func(listener net.Listener) error { return public.ServeTLS(listener, "", "") })
}

// drain ends the serving of requests. ctx is not the one that asked for the end.
func (s *server) drain(ctx context.Context, public *http.Server, options Options) {
	s.logger.LogAttrs(ctx, slog.LevelInfo, "Draining",
		slog.Duration("delay", options.DrainDelay), slog.Duration("timeout", options.DrainTimeout))
	s.draining.Store(true)
	options.Clock.Sleep(options.DrainDelay)

	drained, cancel := context.WithTimeout(ctx, options.DrainTimeout)
	defer cancel()
	if err := public.Shutdown(drained); err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "Requests are cut off because they did not end in time", slog.Any("error", err))
		s.abort()
		_ = public.Close()
	}
	// Requests that were cut off settle before they end.
	s.requests.Wait()

	flushed, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := s.ledger.Close(flushed); err != nil {
		s.logger.LogAttrs(ctx, slog.LevelError, "The ledger did not take the last settlements", slog.Any("error", err))
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "Drained")
}

// adminHandler serves health and metrics.
func (s *server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.notReady(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{Registry: s.metrics.registry}))
	return mux
}

// notReady says why requests cannot be served yet or any more; empty if they can. Once ready a proxy stays so until it drains: with the
// ledger away it still tells clients why they are refused, which no load balancer can.
func (s *server) notReady() string {
	current := s.tables.Load()
	switch {
	case s.draining.Load():
		return "draining"
	case current == nil:
		return "no configuration yet"
	case s.certificates != nil && !s.certificates.Ready():
		return "no certificate yet"
	case !s.ledger.Ready() && len(current.routes) > 0: // A gateway without routes has nothing to open one for.
		return "no session with the ledger yet"
	}
	return ""
}
