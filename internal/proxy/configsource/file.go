package configsource

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// filePollInterval is how often the mounted file is read. The kubelet replaces a mounted Secret by swapping a symbolic link in the
// directory, which a watch on the file itself does not see; reading a few kilobytes once a second is simpler than watching the directory,
// and cannot miss anything.
const filePollInterval = time.Second

// pollFile sends the configuration in the directory each time that it differs from what was sent before.
func pollFile(ctx context.Context, options Options, versions chan<- Version) {
	ticker := options.Clock.NewTicker(filePollInterval)
	defer ticker.Stop()
	var last []byte
	var lastProblem string
	var held parts
	for {
		version, err := readDirectory(ctx, options.Dir, last, &held)
		switch {
		case err != nil:
			// The same complaint once a second would bury everything else.
			if problem := err.Error(); problem != lastProblem {
				options.Logger.LogAttrs(ctx, slog.LevelWarn, "The configuration file cannot be read", slog.String("error", problem))
				lastProblem = problem
			}
		case last == nil || !bytes.Equal(last, version.Encoded):
			last, lastProblem = version.Encoded, ""
			if !send(ctx, versions, version) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

// readDirectory reads the configuration in a directory. One in parts that was read before is not put together again.
func readDirectory(ctx context.Context, dir string, last []byte, held *parts) (Version, error) {
	index, err := os.ReadFile(filepath.Join(dir, IndexKey))
	if errors.Is(err, fs.ErrNotExist) {
		encoded, err := os.ReadFile(filepath.Join(dir, Key))
		return Version{Encoded: encoded}, err
	}
	if err != nil || last != nil && bytes.Equal(last, index) {
		return Version{Encoded: index}, err
	}
	return held.complete(ctx, index, func(_ context.Context, _ int, name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, name))
	})
}

func send(ctx context.Context, versions chan<- Version, version Version) bool {
	select {
	case versions <- version:
		return true
	case <-ctx.Done():
		return false
	}
}
