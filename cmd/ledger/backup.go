package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
)

// standardOutput is the name that means it.
const standardOutput = "-"

// backup copies the books into a file.
func (c *command) backup(ctx context.Context) error {
	words, err := c.parse(1, 1, "the name of a new file, or -,")
	if err != nil {
		return err
	}
	if words[0] == standardOutput {
		return c.stream(ctx)
	}
	path, err := absolute(words[0])
	if err != nil {
		return err
	}
	size, err := c.copyBooks(ctx, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Backed the books up into %s, %d bytes. They are checked and on disk.\n", path, size)
	return nil
}

// copyBooks lets the ledger that has the books make the copy; if none has, it is made here.
func (c *command) copyBooks(ctx context.Context, path string) (int64, error) {
	found, err := c.reach(ctx)
	if errors.Is(err, errNotRunning) {
		size, err := sqlite.BackupDir(ctx, c.dataDir, c.now(), path)
		if err != nil {
			return 0, explainBackup(path, err)
		}
		return size, nil
	}
	if err != nil {
		return 0, err
	}
	made, err := found.admin.Backup(callAs(ctx, ""), &ledgerpb.BackupRequest{Path: path})
	if err != nil {
		return 0, explainBackup(path, err)
	}
	return made.GetBytes(), nil
}

// explainBackup says what to do about a failure.
func explainBackup(path string, err error) error {
	switch {
	case connect.CodeOf(err) == connect.CodeAlreadyExists, errors.Is(err, store.ErrExists):
		return fmt.Errorf("%s exists already, and a backup never overwrites anything: choose another name", path)
	case connect.CodeOf(err) == connect.CodeResourceExhausted, errors.Is(err, store.ErrFull):
		return fmt.Errorf("there is no room for a backup at %s: make some or choose another disk, or write it to standard output (-)", path)
	}
	return fmt.Errorf("backing up: %w", told(err))
}

// stream writes a backup to standard output. It is made in the data directory and deleted there; what a command that is killed leaves is
// deleted when the ledger next starts.
func (c *command) stream(ctx context.Context) (err error) {
	if isTerminal(c.out) {
		return usageError{errors.New("standard output is a terminal, and a backup is no text: send it into a file")}
	}
	dir, err := filepath.Abs(c.dataDir)
	if err != nil {
		return fmt.Errorf("finding %s: %w", c.dataDir, err)
	}
	path := filepath.Join(dir, sqlite.UnfinishedBackup+rand.Text())
	if _, err := c.copyBooks(ctx, path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading the backup: %w", err)
	}
	size, err := io.Copy(c.out, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	fmt.Fprintf(c.diagnostics, "Backed the books up, %d bytes. They are checked; `ledger verify FILE` proves what has arrived.\n", size)
	return nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
