package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/tlsfiles"
)

// shutdownTimeout is how long calls that have begun may take after SIGTERM.
const shutdownTimeout = 10 * time.Second

// Options are what the ledger runs with.
type Options struct {
	// Listen and MetricsListen are addresses for the RPCs and for health and metrics.
	Listen, MetricsListen string
	// DataDir has the database, TLSDir the certificate and its key.
	DataDir, TLSDir string
	// DatabaseURLFile has the address of a PostgreSQL database that has the books instead; empty for none.
	DatabaseURLFile string
	// Authenticator finds out who calls; Manager may put routes and see the usage, Readers may see the usage and the history alone.
	Authenticator auth.Authenticator
	Manager       auth.Identity
	Readers       []auth.Identity
	// HistoryRetention is for how long history is kept by the quarter of an hour; 0 means the default.
	HistoryRetention time.Duration
	Now              func() time.Time
	Logger           *slog.Logger
}

// Run serves the ledger until ctx ends. It serves health and metrics from the start, so that nobody ends it while it checks large books,
// and RPCs as soon as there is a certificate.
func Run(ctx context.Context, options Options) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var state atomic.Value
	state.Store(openingBooks)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveHealth(ctx, options, registry, &state) })
	group.Go(func() error { return keepBooks(ctx, options, ledger.NewMetrics(registry), &state) })
	return group.Wait()
}

// The states of the ledger, as /readyz tells them.
const (
	openingBooks  = "opening the books"
	noCertificate = "waiting for a certificate"
	serving       = "ok"
	ending        = "ending"
)

// keepBooks opens the books and serves the RPCs on them until ctx ends.
func keepBooks(ctx context.Context, options Options, metrics *ledger.Metrics, state *atomic.Value) (err error) {
	books, err := openBooks(ctx, options, metrics)
	if err != nil && ctx.Err() != nil {
		return nil // It was told to end before the books were open.
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	service := ledger.New(ledger.Options{
		Store:         books,
		Authenticator: options.Authenticator,
		Managers:      []auth.Identity{options.Manager},
		Readers:       options.Readers,

		HistoryRetention: options.HistoryRetention,
		Now:              options.Now,
		Logger:           options.Logger,
		Metrics:          metrics,
	})
	files := tlsfiles.New(options.TLSDir, options.Logger)
	state.Store(noCertificate)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		service.Run(ctx)
		return nil
	})
	group.Go(func() error { return serveAdmin(ctx, options, service) })
	group.Go(func() error {
		if !files.Wait(ctx) {
			return nil // It was told to end before there was a certificate.
		}
		group.Go(func() error {
			files.Watch(ctx)
			return nil
		})
		return serveCalls(ctx, options, service, files, state)
	})
	return group.Wait()
}

// warnOfBackup says that the books are a backup.
func (o Options) warnOfBackup(takenAt time.Time) {
	o.Logger.Warn("these books are a backup: of what was spent since they know only what proxies still have in their journals",
		slog.Time("backup", takenAt))
}

// serveCalls serves the RPCs over TLS.
func serveCalls(
	ctx context.Context, options Options, service *ledger.Ledger, files *tlsfiles.Files, state *atomic.Value,
) error {
	listener, err := listen(ctx, options.Listen)
	if err != nil {
		return fmt.Errorf("listening for calls: %w", err)
	}
	server := ledger.NewServer(service.Handler(), options.Logger)
	server.TLSConfig = files.Config(tls.VersionTLS13)
	options.Logger.Info("serving", slog.String("address", listener.Addr().String()))
	state.Store(serving)
	defer state.Store(ending)
	return serve(ctx, server, func() error { return server.ServeTLS(listener, "", "") })
}

// serveHealth serves /healthz, /readyz and /metrics.
func serveHealth(ctx context.Context, options Options, registry *prometheus.Registry, state *atomic.Value) error {
	listener, err := listen(ctx, options.MetricsListen)
	if err != nil {
		return fmt.Errorf("listening for health and metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		now := state.Load()
		if now != serving {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, now)
	})
	server := ledger.NewServer(mux, options.Logger)
	return serve(ctx, server, func() error { return server.Serve(listener) })
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}

// serve runs the server until ctx ends, and then lets the calls that have begun finish.
func serve(ctx context.Context, server *http.Server, serve func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("letting calls finish: %w", err), server.Close())
	}
	return nil
}
