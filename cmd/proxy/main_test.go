package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	cases := map[string]struct {
		arguments []string
		want      string
	}{
		"an unknown flag":               {[]string{"--surprise"}, "surprise"},
		"an argument":                   {[]string{"surprise"}, "surprise"},
		"no source of a configuration":  {[]string{"--config-dir="}, "--config-secret"},
		"a duration without a unit":     {[]string{"--drain-delay=5"}, "drain-delay"},
		"an address that is none":       {[]string{"--listen=nowhere"}, "listening for clients"},
		"a Secret outside of a cluster": {[]string{"--config-secret=ns/name", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, "--config-secret"},
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), test.arguments, io.Discard, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("run(%q) = %v, want an error about %s", test.arguments, err, test.want)
			}
		})
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	var output strings.Builder
	if _, err := parse([]string{"--help"}, &output); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parse = %v", err)
	}
	for _, name := range []string{
		"listen", "admin-listen", "tls-dir", "config-dir", "config-secret", "ledger-token-file", "instance", "drain-delay", "drain-timeout",
	} {
		if !strings.Contains(output.String(), "-"+name+" ") {
			t.Errorf("the help does not explain --%s", name)
		}
	}
}

func TestTheProgramEndsWellWhenItIsAskedTo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--config-dir=" + t.TempDir(), "--drain-delay=0s",
		}, io.Discard, slog.New(slog.DiscardHandler))
	}()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run = %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the program does not end")
	}
}
