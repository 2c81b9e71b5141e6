package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// EndWithInput ends this process when its standard input does, which is when the benchmark that started it ends.
func EndWithInput() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
}

// Announce says where the role listens.
func Announce(at Addresses) error {
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return fmt.Errorf("saying where it listens: %w", err)
	}
	return nil
}

// Listen listens on any port of the loopback interface.
func Listen(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}

// ServeUntil serves until ctx ends.
func ServeUntil(ctx context.Context, server *http.Server, serve func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- serve() }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
		return server.Close()
	}
}

// FreeAddress is an address on the loopback interface where nobody listens, for a program that has to be told where to.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := Listen(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}
