package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/postgres"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// openBooks opens the books: in PostgreSQL where its address is given, else in the data directory.
func openBooks(ctx context.Context, options Options, metrics *ledger.Metrics) (store.Store, error) {
	if options.DatabaseURLFile == "" {
		return sqlite.Open(ctx, sqlite.Options{
			Dir: options.DataDir, Now: options.Now, OnCommit: metrics.ObserveCommit, OnRestored: options.warnOfBackup,
		})
	}
	address, err := os.ReadFile(options.DatabaseURLFile)
	if err != nil {
		return nil, fmt.Errorf("--database-url-file: %w", err)
	}
	return postgres.Open(ctx, postgres.Options{
		DSN: strings.TrimSpace(string(address)), Now: options.Now,
		OnRetry: func(cause error) { options.Logger.Info("a transaction is tried again", slog.Any("cause", cause)) },
	})
}
