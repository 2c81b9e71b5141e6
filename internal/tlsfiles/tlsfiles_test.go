package tlsfiles_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/tlsfiles"
)

// deliver writes a certificate and its key as the kubelet does: a new directory, then a symbolic link that is swapped.
func deliver(t *testing.T, dir string, certificate, key []byte) {
	t.Helper()
	version := t.TempDir()
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(version, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(version, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

// serve accepts TLS connections with the files' certificates and returns the address.
func serve(t *testing.T, files *tlsfiles.Files) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(listener, files.Config(tls.VersionTLS13))
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			connection, err := secure.Accept()
			if err != nil {
				return
			}
			accepting.Go(func() {
				_ = connection.(*tls.Conn).HandshakeContext(t.Context()) // The client says what went wrong.
				_ = connection.Close()                                   // The client may have closed it.
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // Nothing is lost with it.
		accepting.Wait()
	})
	return listener.Addr().String()
}

// served returns the certificate that a new connection gets.
func served(t *testing.T, address string, version uint16) ([]byte, error) {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: version}}
	connection, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }() // The handshake is all that matters.
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw, nil
}

func wantServed(t *testing.T, address string, certificate []byte) {
	t.Helper()
	block, _ := pem.Decode(certificate)
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, err := served(t, address, tls.VersionTLS13)
		if err == nil && bytes.Equal(got, block.Bytes) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the certificate is not served, error %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// log is what was logged.
type log struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.content.Write(line)
}

func (l *log) want(t *testing.T, part string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		logged := l.content.String()
		l.mu.Unlock()
		if strings.Contains(logged, part) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log has no %q:\n%s", part, logged)
		}
	}
}

func TestCertificatesAreWaitedForAndFollowed(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var logged log
	files := tlsfiles.New(dir, slog.New(slog.NewTextHandler(&logged, nil)))
	address := serve(t, files)
	var watching sync.WaitGroup
	watching.Go(func() {
		if files.Wait(ctx) {
			files.Watch(ctx)
		}
	})
	defer watching.Wait()
	defer cancel()

	first, firstKey := ledgertest.NewCertificate(t)
	second, secondKey := ledgertest.NewCertificate(t)
	logged.want(t, "waiting for a certificate")
	deliver(t, dir, first, firstKey)
	wantServed(t, address, first)
	if _, err := served(t, address, tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	deliver(t, dir, second, firstKey) // Half of a change.
	logged.want(t, "cannot be read")
	wantServed(t, address, first)
	deliver(t, dir, second, secondKey)
	wantServed(t, address, second)
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if tlsfiles.New(t.TempDir(), slog.New(slog.DiscardHandler)).Wait(ctx) {
		t.Error("Wait reports a certificate where there is none")
	}
}
