package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
)

func TestTheSocketGoesWithTheLedger(t *testing.T) {
	l := startLedger(t, t.TempDir())
	path := adminsocket.Path(l.options.DataDir)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the socket: %v", err)
	}
	l.stop()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket after the end: %v, want it gone", err)
	}
}

func TestALedgerWithoutACertificateIsLookedAfter(t *testing.T) {
	l := startLedger(t, seed(t))
	if status, body := get(t, "http://"+l.options.MetricsListen+"/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("readiness %d %s", status, body)
	}
	wantCommand(t, exitOK, l.command("verify"), "The books agree with themselves.")
}
