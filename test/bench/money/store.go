package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/postgres"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// storeKind is where the ledger keeps its books.
type storeKind string

const (
	sqliteStore   storeKind = "sqlite"
	postgresStore storeKind = "postgres"
)

func parseStores(text string) ([]storeKind, error) {
	var kinds []storeKind
	for one := range strings.SplitSeq(text, ",") {
		switch kind := storeKind(one); kind {
		case sqliteStore, postgresStore:
			kinds = append(kinds, kind)
		default:
			return nil, fmt.Errorf("-store: there is no store %q, only %s and %s", one, sqliteStore, postgresStore)
		}
	}
	return kinds, nil
}

// ledgers is how many replicas of the ledger a store allows.
func (k storeKind) ledgers() int {
	if k == postgresStore {
		return 2
	}
	return 1
}

// openBooks opens the store of a ledger.
func openBooks(ctx context.Context, o roleOptions, metrics *ledger.Metrics) (store.Store, error) {
	if o.store == sqliteStore {
		dir := filepath.Join(o.dir, booksDir)
		return sqlite.Open(ctx, sqlite.Options{Dir: dir, Now: time.Now, OnCommit: metrics.ObserveCommit})
	}
	address, err := os.ReadFile(filepath.Join(o.dir, databaseFile))
	if err != nil {
		return nil, fmt.Errorf("reading the database's address: %w", err)
	}
	return postgres.Open(ctx, postgres.Options{DSN: string(address), Now: time.Now})
}

// database is what the ledgers' books are on: nothing for SQLite, which has a file in each world, and a server for PostgreSQL.
type database struct {
	kind   storeKind
	server *postgresServer
}

func newDatabase(ctx context.Context, kind storeKind) (*database, error) {
	d := &database{kind: kind}
	if kind == sqliteStore {
		return d, nil
	}
	var err error
	d.server, err = startPostgres(ctx)
	return d, err
}

func (d *database) close() {
	if d.server != nil {
		d.server.remove()
	}
}

// prepare makes empty books for a world.
func (d *database) prepare(ctx context.Context, dir string) error {
	if d.server == nil {
		return os.Mkdir(filepath.Join(dir, booksDir), 0o700)
	}
	address, err := d.server.newDatabase(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, databaseFile), []byte(address), 0o600)
}
