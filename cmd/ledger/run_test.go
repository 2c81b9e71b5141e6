package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
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
)

// freeAddress returns an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// get returns the status and the body of an answer; status 0 if there is none.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func wantStatus(t *testing.T, url string, want int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, body := get(t, url)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s, want %d", url, got, body, want)
		}
	}
}

func TestTheLedgerWaitsForItsCertificateServesAndEnds(t *testing.T) {
	options := Options{
		Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
		Authenticator: auth.NewStatic("key", "manager"), Manager: "manager",
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, options) }()
	health := "http://" + options.MetricsListen
	wantStatus(t, health+"/healthz", http.StatusOK)
	wantStatus(t, health+"/readyz", http.StatusServiceUnavailable)

	certificate, key := ledgertest.NewCertificate(t)
	for name, content := range map[string][]byte{"tls.key": key, "tls.crt": certificate} {
		if err := os.WriteFile(filepath.Join(options.TLSDir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantStatus(t, health+"/readyz", http.StatusOK)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	httpClient := client.NewHTTPClient(func() (*x509.CertPool, error) { return roots, nil })
	manager := ledgerpbconnect.NewManagerServiceClient(connect.NewClient(connecthttp.NewTransport(httpClient, "https://"+options.Listen)))
	called, info := connect.NewClientContext(t.Context())
	info.RequestHeader().Set("Authorization", "Bearer key")
	if _, err := manager.PutRoute(called, &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}}); err != nil {
		t.Errorf("PutRoute: %v", err)
	}
	wantHTTP2(t, httpClient, "https://"+options.Listen)
	_, metrics := get(t, health+"/metrics")
	for _, part := range []string{
		`modelroute_ledger_calls_total{code="ok",method="PutRoute"} 1`, "modelroute_ledger_store_commit_seconds_count", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, part) {
			t.Errorf("the metrics have no %s", part)
		}
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// wantHTTP2 expects that calls share a connection.
func wantHTTP2(t *testing.T, httpClient *http.Client, url string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.TLS.Version != tls.VersionTLS13 {
		t.Errorf("the ledger speaks %s over %s, want HTTP/2 over TLS 1.3", response.Proto, tls.VersionName(response.TLS.Version))
	}
}

func TestTheLedgerLivesWhileItOpensItsBooks(t *testing.T) {
	options := Options{
		Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
		Authenticator: auth.NewStatic("key", "manager"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	// A lock keeps the books from being read, as their size would.
	books, err := sql.Open("sqlite", "file:"+filepath.Join(options.DataDir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	books.SetMaxOpenConns(1)
	if _, err := books.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, options) }()
	health := "http://" + options.MetricsListen
	wantStatus(t, health+"/healthz", http.StatusOK)
	if status, body := get(t, health+"/readyz"); status != http.StatusServiceUnavailable || body != openingBooks+"\n" {
		t.Errorf("readiness %d %q", status, body)
	}
	if err := books.Close(); err != nil {
		t.Fatal(err)
	}
	wantBody(t, health+"/readyz", noCertificate+"\n")
	end()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func wantBody(t *testing.T, url, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, got := get(t, url)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestALedgerWithoutACertificateEndsWhenItIsTold(t *testing.T) {
	options := Options{
		Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
		Authenticator: auth.NewStatic("key", "manager"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, options) }()
	wantStatus(t, "http://"+options.MetricsListen+"/healthz", http.StatusOK)
	end()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestWhatTheLedgerCannotStartWith(t *testing.T) {
	cases := map[string]struct {
		change func(*Options)
		want   string
	}{
		"books that are damaged": {func(o *Options) {
			if err := os.WriteFile(filepath.Join(o.DataDir, "ledger.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "restore it from a backup"},
		"a data directory that is not there": {func(o *Options) { o.DataDir = "/nonexistent" }, "data directory"},
		"an address that is no address":      {func(o *Options) { o.MetricsListen = "nonsense" }, "listening for health"},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			options := Options{
				Listen: freeAddress(t), MetricsListen: freeAddress(t), DataDir: t.TempDir(), TLSDir: t.TempDir(),
				Authenticator: auth.NewStatic("key", "manager"), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			}
			test.change(&options)
			if err := Run(t.Context(), options); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run: %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	cases := map[string]struct {
		arguments []string
		want      string
	}{
		"an unknown flag":              {[]string{"--no-such-flag"}, "no-such-flag"},
		"a word too many":              {[]string{"serve"}, `unexpected argument "serve": the commands are backup, help, history, proxies, release, verify`},
		"history for too short a time": {[]string{"--history-retention", "24h"}, "--history-retention is 24h0m0s, must be at least 8832h"},
		"a reader without a name":      {[]string{"--reader-identity="}, "is empty, must name somebody"},
		"help":                         {[]string{"--help"}, "help requested"},
		"outside of a cluster":         {nil, "finding the API server"},
	}
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			err := run(t.Context(), test.arguments, io.Discard, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("run: %v, want an error with %q", err, test.want)
			}
		})
	}
}
