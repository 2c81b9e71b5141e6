package rig

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// Identity is who everybody is to the ledger.
	Identity auth.Identity = "bench"

	// LedgerKeyFile has the key by which the ledger knows everybody.
	LedgerKeyFile = "ledger.key"
	// CertificateFile has the ledger's certificate, in PEM, which is its own authority.
	CertificateFile = "tls.crt"
	privateKeyFile  = "tls.key"
)

// WriteSecrets writes the ledger's key and certificate into the directory of a benchmark.
func WriteSecrets(dir string) error {
	certificate, key, err := newCertificate(time.Now())
	if err != nil {
		return err
	}
	contents := map[string][]byte{CertificateFile: certificate, privateKeyFile: key, LedgerKeyFile: []byte(rand.Text())}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// LedgerOptions are what a ledger of a benchmark is made of.
type LedgerOptions struct {
	// Dir has what WriteSecrets wrote.
	Dir string
	// Books are closed at the end.
	Books   store.Store
	Metrics *ledger.Metrics
	// Authenticator finds out who calls, by the key; nil: everybody who has it is Identity.
	Authenticator func(key string) auth.Authenticator
	// Silence is when it takes a proxy for silent; 0 for its own default.
	Silence time.Duration
	Logger  *slog.Logger
}

// ServeLedger is what cmd/ledger does, with one key for everybody in place of an API server that knows tokens.
func ServeLedger(ctx context.Context, o LedgerOptions) error {
	key, err := ReadFile(filepath.Join(o.Dir, LedgerKeyFile))
	if err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(filepath.Join(o.Dir, CertificateFile), filepath.Join(o.Dir, privateKeyFile))
	if err != nil {
		return fmt.Errorf("reading the ledger's certificate: %w", err)
	}
	var authenticator auth.Authenticator = auth.NewStatic(key, Identity)
	if o.Authenticator != nil {
		authenticator = o.Authenticator(key)
	}
	service := ledger.New(ledger.Options{
		Store: o.Books, Authenticator: authenticator, Managers: []auth.Identity{Identity},
		Now: time.Now, Logger: o.Logger, Metrics: o.Metrics, Silence: o.Silence,
	})
	server := ledger.NewServer(service.Handler(), o.Logger)
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}
	listener, err := Listen(ctx)
	if err != nil {
		return err
	}
	if err := Announce(Addresses{Address: listener.Addr().String()}); err != nil {
		return err
	}
	go service.Run(ctx)
	err = ServeUntil(ctx, server, func() error { return server.ServeTLS(listener, "", "") })
	return errors.Join(err, o.Books.Close())
}

// ManagerService returns a client of the ManagerService at an address, and the context to call it with.
func ManagerService(
	ctx context.Context, httpClient *http.Client, dir, address string,
) (ledgerpbconnect.ManagerServiceClient, context.Context, error) {
	key, err := ReadFile(filepath.Join(dir, LedgerKeyFile))
	if err != nil {
		return nil, nil, err
	}
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Authorization", "Bearer "+key)
	return ledgerpbconnect.NewManagerServiceClient(connect.NewClient(connecthttp.NewTransport(httpClient, "https://"+address))), ctx, nil
}

// ReadFile returns the text of a file, without the white space around it.
func ReadFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading a file of the benchmark: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
