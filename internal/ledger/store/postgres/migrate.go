package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// lockTries is how often making the lock's table is tried: replicas that begin together can get into each other's way.
const lockTries = 20

// migrate brings the schema up to date. It only goes forward. Of replicas that begin together, one migrates and the others wait.
//
// What they wait for is a row's lock, which every database with transactions has, and which ends with its owner; goose's own locks are
// advisory ones, which CockroachDB takes for nothing and some versions of YugabyteDB refuse, or rows that outlive their owner.
func migrate(ctx context.Context, config *pgx.ConnConfig) error {
	// A migration may take long, and so may the wait for another one's.
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(2) // One for the lock.
	unlock, err := lockSchema(ctx, db)
	if err == nil {
		err = errors.Join(up(ctx, db), unlock())
	}
	return errors.Join(err, db.Close())
}

// lockSchema waits until no other replica migrates.
func lockSchema(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	if err := makeLock(ctx, db); err != nil {
		return nil, fmt.Errorf("preparing to migrate the schema: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("locking the schema: %w", err)
	}
	var id int
	if err := tx.QueryRowContext(ctx, `SELECT id FROM schema_lock WHERE id = 1 FOR UPDATE`).Scan(&id); err != nil {
		return nil, fmt.Errorf("locking the schema: %w", errors.Join(err, tx.Rollback()))
	}
	return tx.Rollback, nil
}

// makeLock makes the row that is locked. Where two make the table at once, one fails, whatever IF NOT EXISTS says.
func makeLock(ctx context.Context, db *sql.DB) error {
	var err error
	for try := range lockTries {
		if _, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_lock (id BIGINT PRIMARY KEY)`); err == nil {
			_, err = db.ExecContext(ctx, `INSERT INTO schema_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING`)
		}
		if err == nil || !isCollision(err) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return err
}

// isCollision reports whether another one made the same thing at the same time.
func isCollision(err error) bool {
	switch stateOf(err) {
	case "23505", "42P07", "42710", "40001", "40P01":
		return true
	}
	return false
}

func up(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("finding the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if current > newest {
		return fmt.Errorf("it was written by a later version of the ledger: its schema is %d, this program knows %d", current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrating the schema: %w", err)
	}
	return nil
}

const (
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)
