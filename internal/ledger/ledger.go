// Package ledger is the service that keeps the books: it says who may spend, leases money to proxies, books what they spent of it, and
// shows it.
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
	DefaultHeartbeat = time.Second
	// DefaultSilence is how long a proxy is silent before what is out with it becomes uncertain.
	DefaultSilence = 30 * time.Second

	// DefaultHistoryRetention is a year and a month.
	DefaultHistoryRetention = 400 * 24 * time.Hour

	// sweepInterval and compactInterval are how often silent proxies are looked for, and how often leases that are used up are forgotten.
	sweepInterval   = time.Second
	compactInterval = time.Minute

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
	// Readers are the identities that may call what of the ManagerService only tells what was spent.
	Readers []auth.Identity
	// Now is the clock that decides windows and silence.
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *Metrics
	// Heartbeat and Silence are DefaultHeartbeat and DefaultSilence if 0.
	Heartbeat time.Duration
	Silence   time.Duration
	// HistoryRetention is how long history is kept by the quarter of an hour; DefaultHistoryRetention if 0, and never less than
	// store.MinRetention.
	HistoryRetention time.Duration
}

// Ledger is the service.
type Ledger struct {
	Options
	usage *usageLog
}

// New makes a ledger. Run must be running beside it.
func New(options Options) *Ledger {
	if options.Heartbeat == 0 {
		options.Heartbeat = DefaultHeartbeat
	}
	if options.Silence == 0 {
		options.Silence = DefaultSilence
	}
	if options.HistoryRetention == 0 {
		options.HistoryRetention = DefaultHistoryRetention
	}
	options.HistoryRetention = max(options.HistoryRetention, store.MinRetention)
	return &Ledger{Options: options, usage: newUsageLog()}
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

// Run turns what is out with silent proxies uncertain and forgets what is done with, until ctx ends.
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
			// By whole days, so that what is carried forward is carried once a day.
			keepFrom := l.Now().Add(-l.HistoryRetention).Truncate(24 * time.Hour)
			if err := l.Store.Compact(ctx, l.Now(), keepFrom); err != nil && ctx.Err() == nil {
				l.Logger.Error("forgetting leases that are used up, and old history", slog.Any("error", err))
			}
		}
	}
}

func (l *Ledger) expireSilent(ctx context.Context) {
	lapsed, err := l.Store.ExpireSilent(ctx, l.Now().Add(-l.Silence))
	if !lapsed.Amount.IsZero() {
		l.Metrics.lapsed.Add(float64(lapsed.Proxies))
		l.Logger.Warn("proxies are silent: what is out with them counts as spent until they report",
			slog.Int("proxies", lapsed.Proxies), slog.String("usd", lapsed.Amount.String()))
	}
	if err != nil && ctx.Err() == nil {
		l.Logger.Error("looking after silent proxies", slog.Any("error", err))
	}
}
