package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

var _ store.Copyable = (*Store)(nil)

// UnfinishedBackup is what the names of backups begin with that are not done yet. Such files in the data directory are deleted when the
// books are opened.
const UnfinishedBackup = ".ledger-backup-"

// Backup implements store.Copyable. The books are read on a connection of its own, so that calls go on meanwhile.
func (s *Store) Backup(ctx context.Context, now time.Time, path string) (int64, error) {
	return backup(ctx, filepath.Join(s.options.Dir, fileName), path, now)
}

// BackupDir copies the books in a data directory that no ledger has open.
func BackupDir(ctx context.Context, dir string, now time.Time, path string) (int64, error) {
	source, lock, err := lockBooks(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = lock.Close() }() // The lock ends with it in any case.
	return backup(ctx, source, path, now)
}

// backup copies the books in source into a new file. It gets its name when it is checked and on disk.
func backup(ctx context.Context, source, path string, now time.Time) (size int64, err error) {
	switch _, err := os.Lstat(path); {
	case !filepath.IsAbs(path):
		return 0, fmt.Errorf("backing up into %s: the path is not absolute", path)
	case err == nil:
		return 0, fmt.Errorf("backing up into %s: %w", path, store.ErrExists)
	}
	// It is empty, and SQLite takes it for a database that is to be made; only its owner may read it.
	file, err := os.CreateTemp(filepath.Dir(path), UnfinishedBackup+"*")
	if err != nil {
		return 0, fmt.Errorf("making a backup beside %s: %w", path, err)
	}
	defer func() {
		removed := errors.Join(file.Close(), remove(file.Name()), remove(file.Name()+"-journal"))
		if err == nil && removed != nil {
			err = fmt.Errorf("the backup %s is done; tidying up: %w", path, removed)
		}
	}()
	if err := copyBooks(ctx, source, file.Name(), now); err != nil {
		return 0, fmt.Errorf("backing up into %s: %w", path, failure(err))
	}
	if err := publish(file, path); err != nil {
		return 0, fmt.Errorf("backing up into %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("looking at the backup: %w", err)
	}
	return info.Size(), nil
}

// copyBooks makes the copy, notes in it that it is one, and checks it.
func copyBooks(ctx context.Context, source, target string, now time.Time) error {
	from, err := openStopped(ctx, source)
	if err != nil {
		return err
	}
	_, err = from.ExecContext(ctx, `VACUUM INTO ?`, target)
	if err := errors.Join(err, from.Close()); err != nil {
		return fmt.Errorf("copying the books: %w", err)
	}
	to, err := openDB(target, 1)
	if err != nil {
		return err
	}
	_, err = to.ExecContext(ctx, `INSERT INTO backups (taken_at) VALUES (?)`, now.UnixMilli())
	if err == nil {
		err = check(ctx, to)
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("checking the copy: %w", err)
	}
	return nil
}

// publish brings a file to disk and gives it its name, which nothing may have: a link never replaces anything, as renaming would.
func publish(file *os.File, path string) error {
	if err := file.Sync(); err != nil {
		return err
	}
	switch err := os.Link(file.Name(), path); {
	case errors.Is(err, fs.ErrExist):
		return store.ErrExists
	case err != nil:
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// remove deletes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dropUnfinished deletes what a ledger that was killed left of its backups. Should that fail, they are only in the way.
func dropUnfinished(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, UnfinishedBackup+"*"))
	for _, path := range left {
		_ = remove(path)
	}
}

// noteRestored notes when books that are a backup come into use.
func (s *Store) noteRestored(ctx context.Context) error {
	rows, err := s.write.QueryContext(ctx, `UPDATE backups SET restored_at = ? WHERE restored_at = 0 RETURNING taken_at`,
		s.options.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("looking whether the books are a backup: %w", err)
	}
	return scanAll(rows, scanRestored(s.options.OnRestored))
}

// scanRestored returns what tells of a backup that came into use.
func scanRestored(tell func(takenAt time.Time)) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var taken int64
		if err := rows.Scan(&taken); err != nil {
			return err
		}
		if tell != nil {
			tell(time.UnixMilli(taken).UTC())
		}
		return nil
	}
}
