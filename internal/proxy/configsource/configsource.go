// Package configsource delivers a proxy's configuration: from a directory that is a mounted Secret, from a watch on that same Secret, or
// from both. It is the only part of the data plane that knows of Kubernetes, and it knows nothing of what the configuration says.
package configsource

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Key is the name of the configuration within the Secret, and so the name of the file where the Secret is mounted.
const Key = "config.json"

// secretPatience is how long a proxy that has just started waits for the API server's copy before it trusts the mounted one, which the
// kubelet may have written long ago.
const secretPatience = 5 * time.Second

// Options says where the configuration comes from. At least one of Dir and Secret is set.
type Options struct {
	// Dir is the directory that holds the file named by Key; empty for none.
	Dir string
	// Secret is the Secret to watch; nil for none.
	Secret *Secret
	Logger *slog.Logger
	Clock  clock.WithTicker
}

// Watch calls serve with each new version of the configuration, one at a time, until ctx ends. Once the API server has delivered a copy
// the mounted one is ignored, because the kubelet refreshes it up to a minute later and the proxy would go back in time. A Secret or file
// that vanishes changes nothing.
func Watch(ctx context.Context, options Options, serve func(encoded []byte)) {
	ctx, cancel := context.WithCancel(ctx)
	var sources sync.WaitGroup
	defer sources.Wait()
	defer cancel()

	files, secrets := make(chan []byte), make(chan []byte)
	selection := &selection{serve: serve}
	if options.Dir != "" {
		sources.Go(func() { pollFile(ctx, options, files) })
	}
	if options.Secret != nil {
		sources.Go(func() { options.Secret.watch(ctx, options.Logger, secrets) })
	} else {
		selection.secretIsLate()
	}

	patience := options.Clock.NewTimer(secretPatience)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-patience.C():
			selection.secretIsLate()
		case encoded := <-files:
			selection.fromFile(encoded)
		case encoded := <-secrets:
			selection.fromSecret(encoded)
		}
	}
}

// selection decides which of the two copies is served.
type selection struct {
	serve      func([]byte)
	served     []byte
	file       []byte
	late       bool
	secretSeen bool
}

func (s *selection) fromSecret(encoded []byte) {
	s.secretSeen = true
	s.deliver(encoded)
}

func (s *selection) fromFile(encoded []byte) {
	s.file = encoded
	if s.late && !s.secretSeen {
		s.deliver(encoded)
	}
}

func (s *selection) secretIsLate() {
	s.late = true
	if !s.secretSeen && s.file != nil {
		s.deliver(s.file)
	}
}

func (s *selection) deliver(encoded []byte) {
	if s.served != nil && bytes.Equal(s.served, encoded) {
		return
	}
	s.served = encoded
	s.serve(encoded)
}
