package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/ledger/store/pgtest"
)

// replica runs a ledger on the database until the test ends, and returns a client of its ManagerService and its data directory.
func replica(t *testing.T, address string) (manager ledgerpbconnect.ManagerServiceClient, dataDir string) {
	t.Helper()
	options := Options{
		Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
		DatabaseURLFile: filepath.Join(t.TempDir(), "url"),
		Authenticator:   auth.NewStatic("key", "manager"), Manager: "manager",
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	certificate, key := ledgertest.NewCertificate(t)
	for name, content := range map[string][]byte{
		filepath.Join(options.TLSDir, "tls.key"): key, filepath.Join(options.TLSDir, "tls.crt"): certificate,
		options.DatabaseURLFile: []byte(address + "\n"),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, options) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("the ledger ended with %v", err)
		}
	})
	wantStatus(t, "http://"+options.MetricsListen+"/readyz", http.StatusOK)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	httpClient := client.NewHTTPClient(func() (*x509.CertPool, error) { return roots, nil })
	called := connect.NewClient(connecthttp.NewTransport(httpClient, "https://"+options.Listen))
	return ledgerpbconnect.NewManagerServiceClient(called), options.DataDir
}

func TestLedgersOnOneDatabaseKeepTheSameBooks(t *testing.T) {
	address := pgtest.Start(t, pgtest.Options{}).Database(t)
	one, _ := replica(t, address)
	other, _ := replica(t, address)
	called, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Authorization", "Bearer key")
	if _, err := one.PutRoute(called, &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}); err != nil {
		t.Fatalf("PutRoute: %v", err)
	}
	called, info = connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Authorization", "Bearer key")
	usage, err := other.ListUsage(called, &ledgerpb.ListUsageRequest{})
	if err != nil || len(usage.GetRoutes()) != 1 || usage.GetRoutes()[0].GetRoute().GetName() != "chat" {
		t.Errorf("the other ledger knows %v, %v, want the route that the one was told", usage, err)
	}
}

func TestCommandsAtEveryLedgerOnOneDatabase(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	address := server.Database(t)
	manager, one := replica(t, address)
	_, other := replica(t, address)
	called, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Authorization", "Bearer key")
	if _, err := manager.PutRoute(called, &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}); err != nil {
		t.Fatalf("PutRoute: %v", err)
	}
	at := func(dir string, words ...string) outcome {
		return runWords(t.Context(), append(words, "--data-dir", dir)...)
	}
	for _, dir := range []string{one, other} {
		wantCommand(t, exitOK, at(dir, "verify"), "Looked at 1 routes and consumers, 0 windows", "The books agree with themselves.")
		wantCommand(t, exitOK, at(dir, "proxies"), "No proxy has anything")
		wantCommand(t, exitFailed, at(dir, "release", proxyID, "--reason", "gone"), "no proxy has the id")
		wantCommand(t, exitFailed, at(dir, "backup", filepath.Join(t.TempDir(), "backup")), "pg_dump")
		wantCommand(t, exitFailed, at(dir, "backup", "-"), "pg_dump")
	}
	server.Exec(t, address, `UPDATE scopes SET settled = 5`)
	for _, dir := range []string{one, other} {
		wantCommand(t, exitFailed, at(dir, "verify"),
			"WRONG: route ai/chat: settled is 0.000000005 USD, the sum of its history 0.00 USD.", "in 1 places")
	}
	server.Kill(t)
	wantCommand(t, exitUnknown, at(one, "verify"), "verifying")
	server.Restart(t)
}

func TestADatabaseThatCannotBeUsedIsNamedWithoutItsPassword(t *testing.T) {
	for reason, content := range map[string]string{
		"nobody listens there": "postgres://ledger:secret-word@127.0.0.1:1/books?connect_timeout=1",
		"it is no address":     "postgres://ledger:secret-word@:::",
	} {
		t.Run(reason, func(t *testing.T) {
			options := Options{
				Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
				DatabaseURLFile: filepath.Join(t.TempDir(), "url"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			}
			if err := os.WriteFile(options.DatabaseURLFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Run(t.Context(), options); err == nil || strings.Contains(err.Error(), "secret-word") {
				t.Errorf("the ledger ends with %v", err)
			}
		})
	}
}
