// Package ledger is the service that keeps the books: it says who may spend, holds and settles money in a store, and shows what was spent.
package ledger

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// DefaultHeartbeat is how often the ledger wants to hear from a proxy.
	DefaultHeartbeat = 2 * time.Second
	// DefaultSilence is how long a proxy is silent before what it holds becomes uncertain.
	DefaultSilence = 30 * time.Second

	// retention is how long a proxy is gone before its session is closed, if it owes nothing.
	retention = 24 * time.Hour
	// sweepInterval and compactInterval are how often silent proxies are looked for, and how often what is done with is forgotten.
	sweepInterval   = time.Second
	compactInterval = 10 * time.Second

	// maxProxyRequest and maxManagerRequest bound what a call may send, in bytes.
	maxProxyRequest   = 256 << 10
	maxManagerRequest = 4 << 20
)

// Options are what a ledger is made of.
type Options struct {
	Store         store.Store
	Authenticator auth.Authenticator
	// Managers are the identities that may call the ManagerService.
	Managers []auth.Identity
	// Now is the clock that decides windows and silence.
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *Metrics
	// Heartbeat and Silence are DefaultHeartbeat and DefaultSilence if 0.
	Heartbeat time.Duration
	Silence   time.Duration
}

// Ledger is the service.
type Ledger struct {
	Options
}

// New makes a ledger. Run must be running beside it.
func New(options Options) *Ledger {
	if options.Heartbeat == 0 {
		options.Heartbeat = DefaultHeartbeat
	}
	if options.Silence == 0 {
		options.Silence = DefaultSilence
	}
	return &Ledger{Options: options}
}

// Handler serves the ledger's RPCs.
func (l *Ledger) Handler() http.Handler {
	server := connect.NewServer(l.observe, l.authenticate)
	ledgerpbconnect.RegisterProxyServiceHandler(server, &proxyService{Ledger: l})
	ledgerpbconnect.RegisterManagerServiceHandler(server, &managerService{Ledger: l})
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server, connecthttp.WithConditionalOptions(func(spec connect.Spec) []connecthttp.Option {
		if isManagerProcedure(spec.Procedure) {
			return []connecthttp.Option{connecthttp.WithReadMaxBytes(maxManagerRequest)}
		}
		return []connecthttp.Option{connecthttp.WithReadMaxBytes(maxProxyRequest)}
	}))
	return mux
}

// Run turns the holds of silent proxies uncertain and forgets what is done with, until ctx ends.
func (l *Ledger) Run(ctx context.Context) {
	sweep, compact := time.NewTicker(sweepInterval), time.NewTicker(compactInterval)
	defer sweep.Stop()
	defer compact.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			l.expireSilent(ctx)
		case <-compact.C:
			if err := l.Store.Compact(ctx, l.Now().Add(-retention)); err != nil && ctx.Err() == nil {
				l.Logger.Error("forgetting what is settled", slog.Any("error", err))
			}
		}
	}
}

func (l *Ledger) expireSilent(ctx context.Context) {
	lapsed, err := l.Store.ExpireSilent(ctx, l.Now().Add(-l.Silence))
	if lapsed > 0 {
		l.Metrics.lapsed.Add(float64(lapsed))
		l.Logger.Warn("a proxy is silent: what it held counts as spent until it is settled", slog.Int("holds", lapsed))
	}
	if err != nil && ctx.Err() == nil {
		l.Logger.Error("looking after silent proxies", slog.Any("error", err))
	}
}
