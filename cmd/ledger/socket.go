package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/modelroute/modelroute/internal/ledger"
)

const (
	// socketName is the name of the operators' socket in the data directory.
	socketName = "admin.sock"
	// nurseryName is the folder in which the socket gets its permissions before anybody can reach it.
	nurseryName = ".admin"
	// longestAddress is how long the path of a socket may be for the kernel, in bytes.
	longestAddress = 107
)

// serveAdmin serves those who operate the ledger on a socket in the data directory, until ctx ends.
func serveAdmin(ctx context.Context, options Options, service *ledger.Ledger) error {
	listener, err := listenAdmin(ctx, options.DataDir)
	if err != nil {
		return fmt.Errorf("listening for the operators: %w", err)
	}
	server := ledger.NewServer(service.AdminHandler(), options.Logger)
	// Large books take their time, and nobody else gets here. Callers that go end their calls.
	server.ReadTimeout, server.WriteTimeout = 0, 0
	err = serve(ctx, server, func() error { return server.Serve(listener) })
	return errors.Join(err, removeSocket(filepath.Join(options.DataDir, socketName)))
}

// listenAdmin makes the socket. The caller has the books open, so that one that is there is what a killed ledger left. The socket is made
// in a folder that nobody else can enter and moved when it has its permissions, so that they are never wider.
func listenAdmin(ctx context.Context, dir string) (net.Listener, error) {
	path, nursery := filepath.Join(dir, socketName), filepath.Join(dir, nurseryName)
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is in the way and is no socket: move it elsewhere", path)
	}
	if err := errors.Join(os.RemoveAll(nursery), os.Mkdir(nursery, 0o700)); err != nil {
		return nil, err
	}
	var listener net.Listener
	err := atAddress(nursery, func(address string) (err error) {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, "unix", address)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(nursery))
	}
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // It has another name by then.
	}
	made := filepath.Join(nursery, socketName)
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err := errors.Join(err, os.RemoveAll(nursery)); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the operators' socket: %w", err)
	}
	return nil
}

// atAddress calls do with the path of the socket in a directory, or with a shorter one of the same if that is too long for an address.
func atAddress(dir string, do func(address string) error) error {
	address := filepath.Join(dir, socketName)
	if len(address) <= longestAddress {
		return do(address)
	}
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = do(fmt.Sprintf("/proc/self/fd/%d/%s", opened.Fd(), socketName))
	return errors.Join(err, opened.Close())
}

// newSocketClient returns an HTTP client that reaches the ledger through its socket, whatever the URL's host.
func newSocketClient(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAdmin(ctx, dir) },
	}}
}

func dialAdmin(ctx context.Context, dir string) (connection net.Conn, err error) {
	err = atAddress(dir, func(address string) (err error) {
		var dialer net.Dialer
		connection, err = dialer.DialContext(ctx, "unix", address)
		return err
	})
	return connection, err
}
