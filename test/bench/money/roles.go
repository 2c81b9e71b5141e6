package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger"
	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// roleOptions are what a role is told.
type roleOptions struct {
	// dir has the world's files: keys, certificates, the ledger's books.
	dir string
	// instance names a proxy; config and journal are its directories.
	instance, config, journal string
	// store is the ledger's; silence is when it takes a proxy for silent, 0 for its own default.
	store   storeKind
	silence time.Duration
	// firstToken and token are the upstream's pace.
	firstToken, token time.Duration
}

// roles are what this program is when it is started again.
var roles = map[string]func(context.Context, roleOptions, *slog.Logger) error{
	roleProxy:    serveProxy,
	roleLedger:   serveLedger,
	roleUpstream: serveUpstream,
}

const (
	roleProxy    = "proxy"
	roleLedger   = "ledger"
	roleUpstream = "upstream"
)

func runRole(ctx context.Context, role func(context.Context, roleOptions, *slog.Logger) error, arguments []string) error {
	rig.EndWithInput()
	var o roleOptions
	set := flag.NewFlagSet("role", flag.ContinueOnError)
	set.StringVar(&o.dir, "dir", "", "")
	set.StringVar(&o.instance, "instance", "", "")
	set.StringVar(&o.config, "config", "", "")
	set.StringVar(&o.journal, "journal", "", "")
	set.StringVar((*string)(&o.store), "store", string(sqliteStore), "")
	set.DurationVar(&o.silence, "silence", 0, "")
	set.DurationVar(&o.firstToken, "first-token", 0, "")
	set.DurationVar(&o.token, "token", 0, "")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	return role(ctx, o, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}

func serveProxy(ctx context.Context, o roleOptions, logger *slog.Logger) error {
	public, err := rig.Listen(ctx)
	if err != nil {
		return err
	}
	admin, err := rig.Listen(ctx)
	if err != nil {
		return err
	}
	if err := rig.Announce(rig.Addresses{Address: public.Addr().String(), Admin: admin.Addr().String()}); err != nil {
		return err
	}
	return proxy.Run(ctx, proxy.Options{
		Listener: public, AdminListener: admin, ConfigDir: o.config, JournalDir: o.journal,
		LedgerToken: ledgerclient.TokenFile(filepath.Join(o.dir, rig.LedgerKeyFile)), Instance: o.instance,
		CorrectAfter: 300 * time.Millisecond, DrainDelay: 200 * time.Millisecond, DrainTimeout: rig.DrainTime / 2,
		Logger: logger, Clock: clock.RealClock{},
	})
}

func serveLedger(ctx context.Context, o roleOptions, logger *slog.Logger) error {
	metrics := ledger.NewMetrics(prometheus.NewRegistry())
	books, err := openBooks(ctx, o, metrics)
	if err != nil {
		return err
	}
	return rig.ServeLedger(ctx, rig.LedgerOptions{Dir: o.dir, Books: books, Metrics: metrics, Silence: o.silence, Logger: logger})
}

func serveUpstream(ctx context.Context, o roleOptions, logger *slog.Logger) error {
	key, err := os.ReadFile(filepath.Join(o.dir, upstreamKeyFile))
	if err != nil {
		return fmt.Errorf("reading the upstream's key: %w", err)
	}
	books := upstream.New(upstream.Options{
		Keys:         []upstream.Key{{Label: "route", Secret: strings.TrimSpace(string(key)), LimitNano: upstream.NoLimit}},
		AnswerTokens: 40, TokensPerChunk: 6, FirstTokenDelay: o.firstToken, TokenDelay: o.token, KeepRecords: 1 << 20,
	})
	var busy atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+busyPath, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, busy.Load()) })
	mux.Handle("GET /billed", books)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		busy.Add(1)
		defer busy.Add(-1)
		books.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	listener, err := rig.Listen(ctx)
	if err != nil {
		return err
	}
	if err := rig.Announce(rig.Addresses{Address: listener.Addr().String()}); err != nil {
		return err
	}
	return rig.ServeUntil(ctx, server, func() error { return server.Serve(listener) })
}

// busyPath is where the upstream says how many requests it is working on, those included that were hung up on.
const busyPath = "/busy"
