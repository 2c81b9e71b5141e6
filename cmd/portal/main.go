// Command portal serves the pages of a cluster's routes to people. It asks the API server with its visitors' tokens, and has none of its
// own for it; routes it asks with the keys that visitors type, and the ledger with a token of its own.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // Budgets have time zones, and the image has none.

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/internal/portal"
	"github.com/modelroute/modelroute/internal/portal/books"
	"github.com/modelroute/modelroute/internal/portal/cluster"
	"github.com/modelroute/modelroute/internal/tlsfiles"
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

const (
	// readTime, writeTime and idleTime bound how long browsers may take.
	readTime, writeTime, idleTime = 10 * time.Second, time.Minute, 2 * time.Minute
	// endTime is how long answers that have begun may take when the end was asked for.
	endTime = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With(slog.String("version", version))
	if err := run(ctx, os.Args[1:], os.Stderr, logger); err != nil && !errors.Is(err, flag.ErrHelp) {
		logger.LogAttrs(ctx, slog.LevelError, "The portal ends", slog.Any("error", err))
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// flags are what the command line says.
type flags struct {
	listen, tlsDir   string
	apiServer, apiCA string
	healthListen     string
	ledger           books.Options
}

// set are the flags, with their defaults in f.
func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("portal", flag.ContinueOnError)
	set.StringVar(&f.listen, "listen", ":8080", "address for browsers")
	set.StringVar(&f.healthListen, "health-listen", ":8081", "address for /healthz")
	set.StringVar(&f.tlsDir, "tls-dir", "",
		"directory with tls.crt and tls.key under which browsers are served, followed; empty for plain HTTP, behind something that has TLS")
	set.StringVar(&f.apiServer, "api-server", "https://kubernetes.default.svc", "URL of the API server")
	set.StringVar(&f.apiCA, "api-server-ca-file", "/etc/modelroute/api-server/ca.crt",
		"file with the certificates, in PEM, by which the API server is known")
	set.StringVar(&f.ledger.URL, "ledger-url", "",
		"base URL of the ledger, which knows what was spent on each day; empty for pages without that")
	set.StringVar(&f.ledger.TokenFile, "ledger-token-file", "/var/run/secrets/modelroute/token", "file with the token for the ledger")
	set.StringVar(&f.ledger.CAFile, "ledger-ca-file", "/etc/modelroute/ledger/ca.crt",
		"file with the certificates, in PEM, by which the ledger is known")
	return set
}

func parse(arguments []string, output io.Writer) (flags, error) {
	var f flags
	set := f.set()
	set.SetOutput(output)
	if err := set.Parse(arguments); err != nil {
		return flags{}, err
	}
	if set.NArg() > 0 {
		return flags{}, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return f, nil
}

func run(ctx context.Context, arguments []string, output io.Writer, logger *slog.Logger) error {
	f, err := parse(arguments, output)
	if err != nil {
		return err
	}
	source := cluster.New(&rest.Config{Host: f.apiServer, TLSClientConfig: rest.TLSClientConfig{CAFile: f.apiCA}})
	shown := portal.Options{Source: source, WhoIs: source.WhoIs, Relay: portal.NewTransport(), Now: time.Now, Logger: logger}
	if f.ledger.URL != "" {
		shown.History = books.Dial(f.ledger)
	}
	pages := portal.New(shown)
	var listen net.ListenConfig
	browsers, err := listen.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	health, err := listen.Listen(ctx, "tcp", f.healthListen)
	if err != nil {
		return errors.Join(fmt.Errorf("--health-listen: %w", err), browsers.Close())
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "Serving", slog.String("address", browsers.Addr().String()),
		slog.String("health", health.Addr().String()))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, browsers, pages, f.tlsDir, logger) })
	group.Go(func() error { return serve(ctx, health, healthHandler(), "", logger) })
	return group.Wait()
}

func healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}

// serve serves until ctx ends, and then lets answers that have begun finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, tlsDir string, logger *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		ended <- end(bounded, server)
	})
	defer stop()
	err := listenAndServe(ctx, server, listener, tlsDir, logger)
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return <-ended
}

// end lets answers that have begun finish for as long as ctx lasts. What a route streams may take longer: whoever reads that sees it break
// off.
func end(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// listenAndServe serves plain HTTP, or under the certificate in the directory and those that follow it.
func listenAndServe(ctx context.Context, server *http.Server, listener net.Listener, tlsDir string, logger *slog.Logger) error {
	if tlsDir == "" {
		return server.Serve(listener)
	}
	files := tlsfiles.New(tlsDir, logger)
	if !files.Wait(ctx) {
		return errors.Join(http.ErrServerClosed, listener.Close())
	}
	go files.Watch(ctx)
	server.TLSConfig = files.Config(tls.VersionTLS12)
	return server.ServeTLS(listener, "", "")
}
