package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
	"github.com/modelroute/modelroute/internal/ledger/history"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// ReadBooks lets read ask the run that has the data directory, or its books if none has, which are open until read returns. Running says
// which of them it was.
func ReadBooks(
	ctx context.Context, dataDir string, ticking clock.WithTicker, read func(books history.Service) error,
) (running bool, err error) {
	dir := directory(dataDir)
	if !HasBooks(dataDir) {
		return false, fmt.Errorf("there are no books in %s: name the directory of a run with --data-dir, or start one with run", dataDir)
	}
	running, err = isRunning(ctx, dir)
	if err != nil {
		return false, fmt.Errorf("reaching the run: %w", err)
	}
	if !running {
		if err := readStopped(ctx, dir, ticking, read); !errors.Is(err, sqlite.ErrInUse) {
			return false, err
		}
		// A run has just begun.
	}
	if err := read(managerOf(dir)); err != nil {
		return true, fmt.Errorf("asking the run: %w", err)
	}
	return true, nil
}

// isRunning reports whether a run has the data directory. The error is that it cannot be reached.
func isRunning(ctx context.Context, dir directory) (bool, error) {
	connection, err := adminsocket.Dial(ctx, dir.ledger())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, connection.Close()
}

// readStopped opens the books for as long as it takes to read them.
func readStopped(ctx context.Context, dir directory, ticking clock.WithTicker, read func(books history.Service) error) (err error) {
	metrics := ledger.NewMetrics(prometheus.NewRegistry())
	books, err := openBooks(ctx, dir, ticking, metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	return read(within{ledger.New(ledger.Options{
		Store: books, Now: ticking.Now, Logger: slog.New(slog.DiscardHandler), Metrics: metrics,
	})})
}

// within is a ledger in this process, as those see it who only read.
type within struct{ ledger *ledger.Ledger }

// ListUsage implements history.Service.
func (w within) ListUsage(ctx context.Context, _ *ledgerpb.ListUsageRequest) (*ledgerpb.ListUsageResponse, error) {
	return w.ledger.Usage(ctx)
}

// ListHistory implements history.Service.
func (w within) ListHistory(ctx context.Context, request *ledgerpb.ListHistoryRequest) (*ledgerpb.ListHistoryResponse, error) {
	return w.ledger.History(ctx, request)
}
