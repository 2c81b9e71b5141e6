package local

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// directory is the data directory.
type directory string

// The parts of the data directory.
func (d directory) ledger() string    { return filepath.Join(string(d), "ledger") }
func (d directory) journal() string   { return filepath.Join(string(d), "journal") }
func (d directory) config() string    { return filepath.Join(string(d), "config") }
func (d directory) upstreams() string { return filepath.Join(string(d), "upstreams") }
func (d directory) routes() string    { return filepath.Join(string(d), "routes.json") }

// secret is the path of a consumer's Secret without what follows the point.
func (d directory) secret(namespace, name string) string {
	return filepath.Join(string(d), "secrets", namespace, name)
}

// prepare makes the directory. It holds keys, so nobody else may look into it, and no version control takes it up by mistake.
func (d directory) prepare() error {
	for _, dir := range []string{string(d), d.ledger(), d.journal(), d.config()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("--data-dir: %w", err)
		}
	}
	return replace(filepath.Join(string(d), ".gitignore"), []byte("*\n"))
}

// replace gives a file a content, for the eyes of its owner only, as a whole or not at all. It does not touch one that has it already.
func replace(path string, content []byte) (err error) {
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, content) {
		return os.Chmod(path, 0o600)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	made, err := os.CreateTemp(filepath.Dir(path), ".new-*") // It is its owner's alone from the start.
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(made.Name())))
		}
	}()
	_, err = made.Write(content)
	if err = errors.Join(err, made.Sync(), made.Close()); err != nil {
		return err
	}
	return os.Rename(made.Name(), path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
