// Package adminsocket is the way to a ledger for those who look after it on its own machine: a socket in the data directory that only the
// ledger's own user can open.
package adminsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

const (
	// name is the name of the socket in the data directory.
	name = "admin.sock"
	// nurseryName is the folder in which the socket gets its permissions before anybody can reach it.
	nurseryName = ".admin"
	// longestAddress is how long the path of a socket may be for the kernel, in bytes.
	longestAddress = 107
)

// Path is where the socket of a data directory is.
func Path(dir string) string { return filepath.Join(dir, name) }

// Listen makes the socket. The caller has the books open, so that one that is there is what a killed ledger left. The socket is made
// in a folder that nobody else can enter and moved when it has its permissions, so that they are never wider.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	path, nursery := Path(dir), filepath.Join(dir, nurseryName)
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
	made := Path(nursery)
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err := errors.Join(err, os.RemoveAll(nursery)); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// Remove takes the socket away when nobody listens any more.
func Remove(dir string) error {
	if err := os.Remove(Path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the operators' socket: %w", err)
	}
	return nil
}

// atAddress calls do with the path of the socket in a directory, or with a shorter one of the same if that is too long for an address.
func atAddress(dir string, do func(address string) error) error {
	address := Path(dir)
	if len(address) <= longestAddress {
		return do(address)
	}
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = do(fmt.Sprintf("/proc/self/fd/%d/%s", opened.Fd(), name))
	return errors.Join(err, opened.Close())
}

// NewHTTPClient returns an HTTP client that reaches the ledger through its socket, whatever the URL's host.
func NewHTTPClient(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, dir) },
	}}
}

// Dial connects to the socket. The error is fs.ErrNotExist or ECONNREFUSED where no ledger runs.
func Dial(ctx context.Context, dir string) (connection net.Conn, err error) {
	err = atAddress(dir, func(address string) (err error) {
		var dialer net.Dialer
		connection, err = dialer.DialContext(ctx, "unix", address)
		return err
	})
	return connection, err
}
