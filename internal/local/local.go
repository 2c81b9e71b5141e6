// Package local runs ModelRoute on one machine without a cluster: the manifests of one, compiled by the same code, served by the same proxy
// under the same ledger, in one process. What is spent is in the data directory and survives the process, however that ends.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/local/manifest"
	"github.com/modelroute/modelroute/internal/portal/books"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/telemetry"
)

const (
	// instance is what the ledger calls the proxy.
	instance = "local"
	// apiPath is where the API is on the listener for clients.
	apiPath = "/v1"
)

// Options are what a run is made of.
type Options struct {
	// Files are the manifests, Secrets what was given beside them.
	Files   []string
	Secrets map[manifest.SecretKey]string
	// DataDir has all state. One run has it at a time.
	DataDir string
	// Listen and AdminListen are the addresses for clients, and for health and metrics.
	Listen, AdminListen string
	// DrainTimeout is how long requests that have begun may take after the end was asked for.
	DrainTimeout time.Duration
	// Announce is told where it serves, and where the keys are.
	Announce io.Writer
	// Logger gets what people at a terminal want to read, LedgerLogger what the ledger has to say.
	Logger, LedgerLogger *slog.Logger
	Clock                clock.WithTicker
}

// Run serves the manifests until ctx ends, and then lets requests finish. The error is manifest.Problems if the manifests are to blame.
func Run(ctx context.Context, options Options) (err error) {
	reader, err := manifest.NewReader(options.Secrets)
	if err != nil {
		return err
	}
	files, err := manifest.ReadFiles(options.Files)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(options.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	dir := directory(path)
	reader.Complete = newCompleter(dir, options).complete
	routes, err := reader.Routes(ctx, files)
	if err != nil {
		return err
	}
	if err := dir.prepare(); err != nil {
		return err
	}
	books, err := startLedger(ctx, dir, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.stop(ctx)) }()
	return serve(ctx, options, &run{
		options: options, dir: dir, books: books, reader: reader, files: files,
	}, routes)
}

// run is what runs.
type run struct {
	options Options
	dir     directory
	books   *embedded
	reader  *manifest.Reader
	applier *applier
	pages   *pages
	// files are as they were last read, and now is what was made of them when they were last good.
	files []manifest.File
	now   *applied
	// problem is what was last said to be wrong.
	problem string
}

// serve runs the proxy for the routes, and follows the files.
func serve(ctx context.Context, options Options, r *run, routes []manifest.Route) (err error) {
	clients, admin, err := listen(ctx, options)
	if err != nil {
		return err
	}
	// What an earlier run has left says nothing any more: the ledger has another address, and upstreams may have other keys.
	stale := errors.Join(ignoreMissing(os.Remove(filepath.Join(r.dir.config(), configsource.Key))), os.RemoveAll(r.dir.upstreams()))
	r.applier = &applier{
		dir: r.dir, ledger: r.books, baseURL: baseURL(clients.Addr()), clock: options.Clock, logger: options.Logger,
		keys: &keyring{dir: r.dir, random: rand.Reader, pending: map[string]string{}},
	}
	r.pages = &pages{
		ledger: r.books.service, history: books.Of(r.books.manager), baseURL: r.applier.baseURL, now: options.Clock.Now,
	}
	if r.now, err = r.applier.prepare(ctx, routes); err != nil || stale != nil {
		return errors.Join(err, stale, clients.Close(), admin.Close())
	}
	// The upstreams' keys are at rest no longer than they are needed.
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir.upstreams())) }()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return telemetry.With(ctx, telemetry.Options{
			Service: "modelroute", Instance: instance, Getenv: os.Getenv, Logger: options.Logger,
		}, func(traces *telemetry.Traces) error {
			return proxy.Run(ctx, proxy.Options{
				Listener: clients, AdminListener: admin, ConfigDir: r.dir.config(), JournalDir: r.dir.journal(),
				LedgerToken: r.books.token, Instance: instance, DrainTimeout: options.DrainTimeout, Traces: traces,
				Logger: options.Logger, Clock: options.Clock, Beside: r.pages.portal(options.Logger).Beside,
			})
		})
	})
	group.Go(func() error { return r.follow(ctx, admin.Addr()) })
	return group.Wait()
}

func listen(ctx context.Context, options Options) (clients, admin net.Listener, err error) {
	var config net.ListenConfig
	if clients, err = config.Listen(ctx, "tcp", options.Listen); err != nil {
		return nil, nil, fmt.Errorf("listening for clients, choose another address with --listen: %w", err)
	}
	if admin, err = config.Listen(ctx, "tcp", options.AdminListen); err != nil {
		err = fmt.Errorf("listening for health and metrics, choose another address with --admin-listen: %w", err)
		return nil, nil, errors.Join(err, clients.Close())
	}
	return clients, admin, nil
}

// baseURL is what OpenAI's clients on this machine are told.
func baseURL(address net.Addr) string { return "http://" + reachable(address) + apiPath }

// reachable is the address by which this machine reaches a listener, which may listen on all addresses.
func reachable(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}).String()
	}
	return address.String()
}
