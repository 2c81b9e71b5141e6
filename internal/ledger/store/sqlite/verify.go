package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/inspect"
)

// Verify implements store.Operable.
func (s *Store) Verify(ctx context.Context, now time.Time) (store.Verdict, error) {
	verdict, err := verify(ctx, s.read, now)
	if err != nil {
		return store.Verdict{}, fmt.Errorf("verifying the books: %w", failure(err))
	}
	return verdict, nil
}

// VerifyDir proves the books in a data directory that no ledger has open, and changes nothing in them.
func VerifyDir(ctx context.Context, dir string, now time.Time) (store.Verdict, error) {
	path, lock, err := lockBooks(dir)
	if err != nil {
		return store.Verdict{}, err
	}
	defer func() { _ = lock.Close() }() // The lock ends with it in any case.
	return VerifyFile(ctx, path, now)
}

// VerifyFile proves books that lie in a file by themselves, as a backup does.
func VerifyFile(ctx context.Context, path string, now time.Time) (store.Verdict, error) {
	db, err := openStopped(ctx, path)
	if err != nil {
		return store.Verdict{}, err
	}
	defer func() { _ = db.Close() }() // It was only read.
	verdict, err := verify(ctx, db, now)
	if err != nil {
		return store.Verdict{}, fmt.Errorf("verifying the books in %s: %w", path, err)
	}
	return verdict, nil
}

// lockBooks keeps every ledger from opening the books in a directory. There have to be some.
func lockBooks(dir string) (path string, lock *os.File, err error) {
	path = filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err != nil {
		return "", nil, fmt.Errorf("looking for the ledger's books: %w", err)
	}
	if lock, err = lockDir(dir); err != nil {
		return "", nil, err
	}
	return path, lock, nil
}

// openStopped opens books that no ledger has open, to be read only.
func openStopped(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("looking for the ledger's books: %w", err)
	}
	db, err := openDB(path, 1, "mode=ro")
	if err != nil {
		return nil, err
	}
	if err := checkVersion(ctx, db); err != nil {
		_ = db.Close() // It was only read.
		return nil, fmt.Errorf("the ledger's database %s: %w", path, err)
	}
	return db, nil
}

// checkVersion refuses books of another version than this program's.
func checkVersion(ctx context.Context, db *sql.DB) error {
	provider, err := migrationsFor(db)
	if err != nil {
		return err
	}
	var current int64
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied = 1`).Scan(&current)
	if err != nil {
		return fmt.Errorf("cannot be read as a ledger's: %w", err)
	}
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	switch {
	case current > newest:
		return tooNew(current, newest)
	case current < newest:
		return fmt.Errorf("was written by an earlier version of the ledger: its schema is %d, this program's %d; start this one on it once",
			current, newest)
	}
	return nil
}

func verify(ctx context.Context, db *sql.DB, now time.Time) (store.Verdict, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return store.Verdict{}, err
	}
	defer func() { _ = tx.Rollback() }() // It only reads.
	v := &verifier{snapshot: &snapshot{ctx: ctx, tx: tx}}
	switch err := v.integrity(); {
	case isCorrupt(err):
		v.found("the database file", "it is damaged, restore it from a backup: %v", err)
	case err != nil:
		return store.Verdict{}, err
	}
	damaged := len(v.verdict.Discrepancies)
	err = inspect.Prove(v.snapshot, now, &v.verdict)
	if err == nil {
		err = v.noteRestorations()
	}
	if err != nil {
		if damaged == 0 || ctx.Err() != nil {
			return store.Verdict{}, err
		}
		v.found("the database file", "it cannot be read to its end: %v", err)
	}
	return v.verdict, nil
}

// verifier looks at what is SQLite's own, beside what every store's books are proven by.
type verifier struct {
	*snapshot
	verdict store.Verdict
}

// isCorrupt reports whether an error is of a database that is damaged.
func isCorrupt(err error) bool {
	var problem *sqlitedriver.Error
	return errors.As(err, &problem) && problem.Code()&0xff == sqlite3.SQLITE_CORRUPT
}

// found notes a discrepancy.
func (v *verifier) found(about, format string, arguments ...any) {
	v.verdict.Discrepancies = append(v.verdict.Discrepancies, store.Finding{About: about, Problem: fmt.Sprintf(format, arguments...)})
}

// integrity looks at the database as such, also at whether every number is within its bounds.
func (v *verifier) integrity() error {
	err := v.rows(`PRAGMA integrity_check`, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		if err == nil && line != "ok" {
			v.found("the database file", "%s", line)
		}
		return err
	})
	if err != nil {
		return err
	}
	return v.rows(`PRAGMA foreign_key_check`, func(rows *sql.Rows) error {
		var table, parent string
		var row sql.NullInt64
		var key int64
		err := rows.Scan(&table, &row, &parent, &key)
		v.found("the table "+table, "row %d is of something that is not in the table %s", row.Int64, parent)
		return err
	})
}

// noteRestorations reads which backups the books were restored from.
func (v *verifier) noteRestorations() error {
	return v.rows(`SELECT taken_at, restored_at FROM backups ORDER BY rowid`, func(rows *sql.Rows) error {
		var taken, restored int64
		err := rows.Scan(&taken, &restored)
		one := store.Restoration{TakenAt: time.UnixMilli(taken).UTC()}
		if restored != 0 {
			one.RestoredAt = time.UnixMilli(restored).UTC()
		}
		v.verdict.Restorations = append(v.verdict.Restorations, one)
		return err
	})
}
