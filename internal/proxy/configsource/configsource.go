// Package configsource delivers a proxy's configuration: from a directory that is a mounted Secret, from a watch on that same Secret, or
// from both. It is the only part of the data plane that knows of Kubernetes, and of what the configuration says it knows only how it is
// put together from parts.
package configsource

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// Key is the name of the configuration within the Secret, and so the name of the file where the Secret is mounted.
	Key = "config.json"
	// IndexKey is the name of the index of a configuration in parts, which has its place then. The parts are in Secrets of their own, named
	// by routeconfig.PartName, or beside it where all of them are mounted.
	IndexKey = "index.json"
	// PartSuffix ends the name of a part within its Secret, after the hash of its content. A Secret has more than one while one version
	// replaces another.
	PartSuffix = ".json.gz"
)

// Version is one version of the configuration.
type Version struct {
	// Encoded is the configuration, or the index of one in parts.
	Encoded []byte
	// Parts are the parts that an index names, by their hashes; nil for a configuration that is not in parts.
	Parts map[string][]byte
}

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
func Watch(ctx context.Context, options Options, serve func(Version)) {
	ctx, cancel := context.WithCancel(ctx)
	var sources sync.WaitGroup
	defer sources.Wait()
	defer cancel()

	files, secrets := make(chan Version), make(chan Version)
	selection := &selection{serve: serve}
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	if options.Dir != "" {
		sources.Go(func() { pollFile(reading, options, files) })
	}
	if options.Secret != nil {
		sources.Go(func() { options.Secret.watch(ctx, options, secrets) })
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
		case version := <-files:
			selection.fromFile(version)
		case version := <-secrets:
			stopReading()
			selection.fromSecret(version)
		}
	}
}

// selection decides which of the two copies is served.
type selection struct {
	serve      func(Version)
	served     []byte
	file       *Version
	late       bool
	secretSeen bool
}

func (s *selection) fromSecret(version Version) {
	s.secretSeen = true
	s.deliver(version)
}

func (s *selection) fromFile(version Version) {
	s.file = &version
	if s.late && !s.secretSeen {
		s.deliver(version)
	}
}

func (s *selection) secretIsLate() {
	s.late = true
	if !s.secretSeen && s.file != nil {
		s.deliver(*s.file)
	}
}

func (s *selection) deliver(version Version) {
	if s.served != nil && bytes.Equal(s.served, version.Encoded) {
		return
	}
	s.served, s.file = version.Encoded, nil // What is served is not kept here.
	s.serve(version)
}
