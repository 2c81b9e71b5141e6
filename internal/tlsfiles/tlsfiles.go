// Package tlsfiles serves a certificate from files that somebody else writes and replaces.
package tlsfiles

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// interval is how often the files are read. They are small; watching them would not see a volume's symbolic links being swapped.
const interval = time.Second

// Files is a directory with tls.crt and tls.key.
type Files struct {
	dir     string
	logger  *slog.Logger
	current atomic.Pointer[tls.Certificate]
	// pem is what current was made of; it belongs to the goroutine that loads.
	pem []byte
	// failing is the error that was logged last.
	failing string
}

// New serves from the directory; nothing is read yet.
func New(dir string, logger *slog.Logger) *Files {
	return &Files{dir: dir, logger: logger}
}

// Wait waits for a certificate. It reports false if ctx ended first.
func (f *Files) Wait(ctx context.Context) bool {
	for f.load(); !f.Ready(); f.load() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(interval):
		}
	}
	return true
}

// Watch takes up new certificates until ctx ends. A pair of files that do not fit, as in the middle of a change, leaves the
// certificate as it is.
func (f *Files) Watch(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.load()
		}
	}
}

// Ready reports whether there is a certificate.
func (f *Files) Ready() bool { return f.current.Load() != nil }

// Config returns a server's configuration, for that version of TLS and later ones, with the certificate of the moment.
func (f *Files) Config(minVersion uint16) *tls.Config {
	return &tls.Config{
		MinVersion: minVersion,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return f.current.Load(), nil
		},
	}
}

// load reads the files if they have changed, and logs each new state once.
func (f *Files) load() {
	changed, err := f.read()
	switch {
	case err != nil && err.Error() != f.failing:
		f.failing = err.Error()
		if errors.Is(err, fs.ErrNotExist) && !f.Ready() {
			f.logger.Info("waiting for a certificate", slog.String("dir", f.dir))
		} else {
			f.logger.Error("the certificate cannot be read", slog.Any("error", err))
		}
	case err == nil:
		f.failing = ""
		if changed {
			leaf := f.current.Load().Leaf
			f.logger.Info("serving a new certificate",
				slog.String("serial", leaf.SerialNumber.String()), slog.Time("expires", leaf.NotAfter))
		}
	}
}

func (f *Files) read() (changed bool, err error) {
	certificate, err := os.ReadFile(filepath.Join(f.dir, "tls.crt"))
	if err != nil {
		return false, fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(f.dir, "tls.key"))
	if err != nil {
		return false, fmt.Errorf("reading the certificate's key: %w", err)
	}
	pem := bytes.Join([][]byte{certificate, key}, []byte{0})
	if bytes.Equal(pem, f.pem) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return false, fmt.Errorf("reading the certificate in %s: %w", f.dir, err)
	}
	f.current.Store(&pair)
	f.pem = pem
	return true, nil
}
