package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

const (
	// proxyIdentity is who the proxy is to the ledger.
	proxyIdentity auth.Identity = "proxy"
	// booksPatience is how long somebody else may have the books open who only looks at them, or is about to end.
	booksPatience = 3 * time.Second
	booksRetry    = 100 * time.Millisecond
	// ledgerShutdown is how long calls that have begun may take when the ledger ends.
	ledgerShutdown = 10 * time.Second
)

// embedded is the ledger in this process. The proxy calls it as in a cluster, by RPCs, on a port of the loopback interface; those who look
// after it reach it on its socket.
type embedded struct {
	service *ledger.Ledger
	manager ledgerpbconnect.ManagerServiceClient
	url     string
	// key is what the proxy shows to the ledger. It is made anew at each start and is nowhere but in this process's memory.
	key string

	dir     directory
	books   *sqlite.Store
	servers []*http.Server
	// cancel ends the ledger's own work, failed is what keeps it from working.
	cancel  context.CancelFunc
	working *errgroup.Group
	failed  <-chan struct{}
}

// openBooks opens the books. Whoever only looks at them is waited for.
func openBooks(ctx context.Context, dir directory, ticking clock.WithTicker, metrics *ledger.Metrics) (*sqlite.Store, error) {
	deadline := ticking.Now().Add(booksPatience)
	for {
		books, err := sqlite.Open(ctx, sqlite.Options{Dir: dir.ledger(), Now: ticking.Now, OnCommit: metrics.ObserveCommit})
		if !errors.Is(err, sqlite.ErrInUse) || ticking.Now().After(deadline) || isServed(ctx, dir) {
			return books, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticking.After(booksRetry):
		}
	}
}

// isServed reports whether a ledger that runs has the data directory.
func isServed(ctx context.Context, dir directory) bool {
	connection, err := adminsocket.Dial(ctx, dir.ledger())
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

// startLedger opens the books and serves them until stop.
func startLedger(ctx context.Context, dir directory, options Options) (*embedded, error) {
	metrics := ledger.NewMetrics(prometheus.NewRegistry())
	books, err := openBooks(ctx, dir, options.Clock, metrics)
	if errors.Is(err, sqlite.ErrInUse) {
		return nil, fmt.Errorf("another run has the data directory %s: end it, or choose another directory with --data-dir", dir)
	}
	if err != nil {
		return nil, err
	}
	e := &embedded{dir: dir, books: books, key: rand.Text(), manager: managerOf(dir)}
	e.service = ledger.New(ledger.Options{
		Store: books, Authenticator: auth.NewStatic(e.key, proxyIdentity),
		Now: options.Clock.Now, Logger: options.LedgerLogger, Metrics: metrics,
	})
	if err := e.serve(ctx, options.LedgerLogger); err != nil {
		return nil, errors.Join(err, books.Close())
	}
	return e, nil
}

// serve starts to serve the proxy and those who look after the ledger.
func (e *embedded) serve(ctx context.Context, logger *slog.Logger) error {
	var config net.ListenConfig
	calls, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the ledger's calls: %w", err)
	}
	operators, err := adminsocket.Listen(ctx, e.dir.ledger())
	if err != nil {
		return errors.Join(fmt.Errorf("listening for the ledger's operators: %w", err), calls.Close())
	}
	e.url = "http://" + calls.Addr().String()
	forCalls, forOperators := ledger.NewServer(e.service.Handler(), logger), ledger.NewServer(e.service.AdminHandler(), logger)
	forOperators.ReadTimeout, forOperators.WriteTimeout = 0, 0 // Large books take their time, and nobody else gets here.
	e.servers = []*http.Server{forCalls, forOperators}

	// The ledger outlives ctx: while the proxy drains, it settles.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	working, failed := errgroup.WithContext(background)
	e.cancel, e.working, e.failed = cancel, working, failed.Done()
	working.Go(func() error {
		e.service.Run(failed)
		return nil
	})
	working.Go(func() error { return ignoreClosed(forCalls.Serve(calls)) })
	working.Go(func() error { return ignoreClosed(forOperators.Serve(operators)) })
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the ledger: %w", err)
}

// token is what the proxy shows to the ledger.
func (e *embedded) token(context.Context) (string, error) { return e.key, nil }

// stop lets calls that have begun finish, and closes the books.
func (e *embedded) stop(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), ledgerShutdown)
	defer cancel()
	var errs []error
	for _, server := range e.servers {
		if err := server.Shutdown(bounded); err != nil {
			errs = append(errs, err, server.Close())
		}
	}
	e.cancel()
	errs = append(errs, e.working.Wait(), adminsocket.Remove(e.dir.ledger()), e.books.Close())
	return errors.Join(errs...)
}

// managerOf calls the ledger that runs on a data directory.
func managerOf(dir directory) ledgerpbconnect.ManagerServiceClient {
	transport := connecthttp.NewTransport(adminsocket.NewHTTPClient(dir.ledger()), "http://ledger")
	return ledgerpbconnect.NewManagerServiceClient(connect.NewClient(transport))
}
