package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/store/sqlite"
	"github.com/modelroute/modelroute/test/bench/rig"
)

const (
	roleUpstream = "upstream"
	roleEmpty    = "empty"
	roleLedger   = "ledger"
	roleLoad     = "load"
)

// roles are what this program is when it is started again.
var roles = map[string]func(context.Context, []string) error{
	roleUpstream: func(context.Context, []string) error {
		rig.EndWithInput()
		return serveFast()
	},
	roleEmpty:  serveEmpty,
	roleLedger: serveLedger,
	roleLoad:   func(context.Context, []string) error { return runLoad(os.Stdin, os.Stdout) },
}

// runRole runs the role that the first argument names. It reports false if there is none.
func runRole(ctx context.Context, arguments []string) (bool, error) {
	if len(arguments) == 0 || roles[arguments[0]] == nil {
		return false, nil
	}
	return true, roles[arguments[0]](ctx, arguments[1:])
}

var errArguments = errors.New("a role expects one argument")

func serveLedger(ctx context.Context, arguments []string) error {
	if len(arguments) != 1 {
		return errArguments
	}
	rig.EndWithInput()
	dir := arguments[0]
	metrics := ledger.NewMetrics(prometheus.NewRegistry())
	books, err := sqlite.Open(ctx, sqlite.Options{Dir: filepath.Join(dir, booksDir), Now: time.Now, OnCommit: metrics.ObserveCommit})
	if err != nil {
		return err
	}
	return rig.ServeLedger(ctx, rig.LedgerOptions{
		Dir: dir, Books: books, Metrics: metrics, Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
}

// serveEmpty is what any proxy on net/http has to do, and nothing else: a handler and a transport that keeps its connections.
func serveEmpty(ctx context.Context, arguments []string) error {
	if len(arguments) != 1 {
		return errArguments
	}
	rig.EndWithInput()
	const connections = 256
	transport := &http.Transport{
		MaxIdleConns: connections, MaxIdleConnsPerHost: connections, DisableCompression: true,
		DialContext: (&net.Dialer{}).DialContext,
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forward(w, r, transport, "http://"+arguments[0])
	})}
	listener, err := rig.Listen(ctx)
	if err != nil {
		return err
	}
	if err := rig.Announce(rig.Addresses{Address: listener.Addr().String()}); err != nil {
		return err
	}
	return rig.ServeUntil(ctx, server, func() error { return server.Serve(listener) })
}

// forward passes a request on and its answer back, each part of the answer as it comes.
func forward(w http.ResponseWriter, r *http.Request, transport http.RoundTripper, upstream string) {
	// As a whole: the server stops reading a body when its answer begins, which can be before the transport has seen the body's end.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	url := upstream + r.URL.Path
	request, err := http.NewRequestWithContext(r.Context(), r.Method, url, bytes.NewReader(body)) //nolint:gosec // It is made to forward.
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Header = r.Header
	response, err := transport.RoundTrip(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = response.Body.Close() }()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	if err := passOn(w, response); err != nil {
		panic(http.ErrAbortHandler) // The answer is not whole, and the client has to see that.
	}
}

func passOn(w http.ResponseWriter, response *http.Response) error {
	if response.ContentLength >= 0 {
		_, err := io.Copy(w, response.Body)
		return err
	}
	control := http.NewResponseController(w)
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if err := control.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}
