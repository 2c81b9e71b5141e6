package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/syncbuffer"
)

const patience = 30 * time.Second

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"an unknown flag":         {[]string{"--surprise"}, "surprise"},
		"an argument":             {[]string{"surprise"}, `unexpected argument "surprise"`},
		"an address that is none": {[]string{"--listen=nowhere"}, "--listen: "},
		"no place for its health": {[]string{"--listen=127.0.0.1:0", "--health-listen=nowhere"}, "--health-listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), test.arguments, io.Discard, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("run(%q) = %v, want an error about %s", test.arguments, err, test.want)
			}
		})
	}
}

func TestHelpExplainsEveryFlag(t *testing.T) {
	var output strings.Builder
	if _, err := parse([]string{"--help"}, &output); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parse = %v", err)
	}
	for _, name := range []string{
		"listen", "health-listen", "tls-dir", "api-server", "api-server-ca-file", "ledger-url", "ledger-token-file", "ledger-ca-file",
	} {
		if !strings.Contains(output.String(), "-"+name+" ") {
			t.Errorf("the help does not explain --%s", name)
		}
	}
}

// start runs the program until the test ends, and returns the addresses for browsers and for its health.
func start(t *testing.T, arguments ...string) (browsers, health string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	var log syncbuffer.Buffer
	arguments = append([]string{"--listen=127.0.0.1:0", "--health-listen=127.0.0.1:0", "--api-server-ca-file="}, arguments...)
	go func() { ended <- run(ctx, arguments, io.Discard, slog.New(slog.NewTextHandler(&log, nil))) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("it does not end")
		}
	})
	told := func(name string) string {
		_, rest, _ := strings.Cut(log.String(), " "+name+"=")
		address, _, _ := strings.Cut(strings.ReplaceAll(rest, "\n", " "), " ")
		return address
	}
	for deadline := time.Now().Add(patience); told("health") == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve: %s", &log)
		}
	}
	return told("address"), told("health")
}

// status is that of an answer, or 0 for none.
func status(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Logf("%s: %v", url, err)
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

func TestItServesPagesAndItsHealthAndEndsWellWhenItIsAskedTo(t *testing.T) {
	browsers, health := start(t)
	for url, want := range map[string]int{"http://" + browsers + "/sign-in": http.StatusOK, "http://" + health + "/healthz": http.StatusOK} {
		if got := status(t, http.DefaultClient, url); got != want {
			t.Errorf("%s is answered with %d", url, got)
		}
	}
}

func TestAnAnswerThatTakesLongerThanTheEndMayIsBrokenOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	over, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if err := end(over, server.Config); err != nil {
		t.Errorf("that it did not wait for it is an error: %v", err)
	}
	if body, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("the answer looks whole: %q", body)
	}
}

func TestBrowsersAreServedUnderTheCertificateOfTheDirectoryOnceItIsThere(t *testing.T) {
	dir := t.TempDir()
	browsers, health := start(t, "--tls-dir="+dir)
	if got := status(t, http.DefaultClient, "http://"+health+"/healthz"); got != http.StatusOK {
		t.Errorf("without a certificate its health is %d", got)
	}
	certificate, key := ledgertest.NewCertificate(t)
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for deadline := time.Now().Add(patience); status(t, client, "https://"+browsers+"/sign-in") != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("nobody is served")
		}
	}
	client.CloseIdleConnections()
}
