package local

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDataDir is where a run keeps its state, unless it is told otherwise.
const DefaultDataDir = ".modelroute"

// HasBooks reports whether a run has kept its books in the data directory.
func HasBooks(dataDir string) bool {
	_, err := os.Stat(directory(dataDir).ledger())
	return err == nil
}

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

const (
	// mark begins what the directory says of itself. By it a run of any version knows that it may delete what it knows there.
	mark  = `This is the state of "kubectl-modelroute run"`
	about = mark + ": what was spent, and the keys of consumers.\n"
)

// prepare makes the directory. It holds keys, so nobody else may look into it, and no version control takes it up by mistake.
func (d directory) prepare() error {
	if err := d.claim(); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	for _, dir := range []string{d.ledger(), d.journal(), d.config()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("--data-dir: %w", err)
		}
	}
	return replace(filepath.Join(string(d), ".gitignore"), []byte("*\n"))
}

// claim makes sure that the directory is there, and has nothing in it that is somebody else's.
func (d directory) claim() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	path := filepath.Join(string(d), "README")
	if said, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(said), mark) {
		return nil
	}
	present, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	if len(present) > 0 {
		return fmt.Errorf("%s has files in it that no run has made: name a folder that is new or empty", d)
	}
	return replace(path, []byte(about))
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
