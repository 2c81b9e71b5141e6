// Command upstream serves an OpenRouter-compatible API for machines without internet or key. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
)

// drainTimeout is how long streams may go on after SIGTERM; it is below a pod's default grace of 30 seconds.
const drainTimeout = 25 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch err := Run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "upstream:", err)
		stop()
		os.Exit(1)
	}
}

// Run serves until ctx ends, then drains. It logs to log, as JSON.
func Run(ctx context.Context, args []string, log io.Writer) error {
	listen, options, err := parseFlags(args, log)
	if err != nil {
		return err
	}
	options.Now = time.Now
	options.Logger = slog.New(slog.NewJSONHandler(log, nil))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		Handler:           upstream.New(options),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(options.Logger.Handler(), slog.LevelWarn),
	}
	options.Logger.Info("listening", "address", listener.Addr().String(), "keys", len(options.Keys))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	options.Logger.Info("draining")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	return nil
}

func parseFlags(args []string, output io.Writer) (listen string, options upstream.Options, err error) {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&listen, "listen", ":8080", "`address` to serve on")
	flags.BoolVar(&options.AnyKey, "any-key", false, "accept any key that begins with sk-or- (the default when no --api-key is given)")
	// The reason of a refused key is kept apart: flag's own message would repeat the value, and with it the key.
	var keyErr error
	addKey := func(text string, management bool) {
		key, err := upstream.ParseKey(text)
		if err == nil {
			err = unlike(key, options.Keys)
		}
		key.Management = management
		keyErr = errors.Join(keyErr, err)
		options.Keys = append(options.Keys, key)
	}
	flags.Func("api-key", "accept `label=key`, or label=key:limit-usd; may be repeated", func(text string) error {
		addKey(text, false)
		return nil
	})
	flags.Func("management-key", "accept `label=key` for /keys alone, where it makes other keys; may be repeated", func(text string) error {
		addKey(text, true)
		return nil
	})
	flags.IntVar(&options.AnswerTokens, "answer-tokens", 0, "about how many `tokens` an open answer has (0 is 120)")
	flags.IntVar(&options.TokensPerChunk, "tokens-per-chunk", 0, "`tokens` in one event of a stream (0 is 1)")
	flags.DurationVar(&options.FirstTokenDelay, "first-token-delay", 0, "`time` before the first token")
	flags.DurationVar(&options.TokenDelay, "token-delay", 0, "`time` for each token after the first")
	flags.DurationVar(&options.GenerationDelay, "generation-delay", 0,
		"`time` until GET /generation knows a generation (0 is 500ms, negative is none)")
	flags.IntVar(&options.KeepRecords, "keep-records", 0, "`records` kept in the books (0 is 100000); totals count all")
	if err := flags.Parse(args); err != nil {
		return "", options, fmt.Errorf("reading the flags: %w", err)
	}
	if flags.NArg() > 0 {
		return "", options, fmt.Errorf("reading the flags: unexpected argument %q", flags.Arg(0))
	}
	return listen, options, errors.Join(keyErr, notNegative(options))
}

// unlike refuses a key whose label or secret another one has: the books could not tell the two apart.
func unlike(key upstream.Key, others []upstream.Key) error {
	for _, other := range others {
		if key.Label == other.Label {
			return fmt.Errorf("reading the API key %q: there is another one with this label", key.Label)
		}
		if key.Secret == other.Secret {
			return fmt.Errorf("reading the API key %q: it is the same key as %q", key.Label, other.Label)
		}
	}
	return nil
}

func notNegative(o upstream.Options) error {
	for _, flag := range []struct {
		name  string
		value int64
	}{
		{"answer-tokens", int64(o.AnswerTokens)},
		{"tokens-per-chunk", int64(o.TokensPerChunk)},
		{"first-token-delay", int64(o.FirstTokenDelay)},
		{"token-delay", int64(o.TokenDelay)},
		{"keep-records", int64(o.KeepRecords)},
	} {
		if flag.value < 0 {
			return fmt.Errorf("reading the flags: --%s must not be negative", flag.name)
		}
	}
	return nil
}
