package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/test/bench/rig"
)

const (
	roleLedger = "ledger"
	booksDir   = "books"
	// silence is when the ledger takes a proxy for silent: never, here. Thousands of proxies that only say that they live would measure
	// the ledger.
	silence = 24 * time.Hour
)

// serveLedger is what this program does in the role of the ledger.
func serveLedger(ctx context.Context, arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("the role expects one argument")
	}
	rig.EndWithInput()
	dir := arguments[0]
	metrics := ledger.NewMetrics(prometheus.NewRegistry())
	books, err := sqlite.Open(ctx, sqlite.Options{Dir: filepath.Join(dir, booksDir), Now: time.Now, OnCommit: metrics.ObserveCommit})
	if err != nil {
		return err
	}
	return rig.ServeLedger(ctx, rig.LedgerOptions{
		Dir: dir, Books: books, Metrics: metrics, Silence: silence, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		Authenticator: func(key string) auth.Authenticator { return vouched{manager: auth.NewStatic(key, rig.Identity)} },
	})
}

// vouched knows the manager by the key, and takes whoever has the key for the proxy that it says it is.
type vouched struct{ manager *auth.Static }

// tokenOf is the token of a proxy that has this identity.
func tokenOf(key string, identity auth.Identity) string { return key + "/" + string(identity) }

// Authenticate implements auth.Authenticator.
func (v vouched) Authenticate(ctx context.Context, bearer string) (auth.Identity, error) {
	key, identity, isProxy := strings.Cut(bearer, "/")
	manager, err := v.manager.Authenticate(ctx, key)
	if err != nil || !isProxy {
		return manager, err
	}
	return auth.Identity(identity), nil
}
