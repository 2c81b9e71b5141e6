package configsource

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// filePollInterval is how often the mounted file is read. The kubelet replaces a mounted Secret by swapping a symbolic link in the
// directory, which a watch on the file itself does not see; reading a few kilobytes once a second is simpler than watching the directory,
// and cannot miss anything.
const filePollInterval = time.Second

// pollFile sends the content of the configuration file each time that it differs from what was sent before.
func pollFile(ctx context.Context, options Options, contents chan<- []byte) {
	path := filepath.Join(options.Dir, Key)
	ticker := options.Clock.NewTicker(filePollInterval)
	defer ticker.Stop()
	var last []byte
	var lastProblem string
	for {
		encoded, err := os.ReadFile(path)
		switch {
		case err != nil:
			// The same complaint once a second would bury everything else.
			if problem := err.Error(); problem != lastProblem {
				options.Logger.LogAttrs(ctx, slog.LevelWarn, "The configuration file cannot be read", slog.String("error", problem))
				lastProblem = problem
			}
		case last == nil || !bytes.Equal(last, encoded):
			last, lastProblem = encoded, ""
			if !send(ctx, contents, encoded) {
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

func send(ctx context.Context, contents chan<- []byte, encoded []byte) bool {
	select {
	case contents <- encoded:
		return true
	case <-ctx.Done():
		return false
	}
}
