// Command egress lets pods reach one host outside of the machine without a route out of it: it passes the bytes of every TCP
// connection on to that host. What is said is TLS between the pod and the host; egress neither looks at it nor logs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// maxConnections is far more than a demo opens; each one costs two file descriptors.
	maxConnections = 256
	// startTimeout is how long a client may say nothing at first, and how long the target may take to be reached.
	startTimeout = 15 * time.Second
	// idleTimeout is longer than a model thinks before it answers.
	idleTimeout = 15 * time.Minute
)

func main() {
	listen := flag.String("listen", "", "the `IP:PORT` to listen on")
	target := flag.String("target", "", "the `HOST:PORT` that every connection goes to; HOST is resolved at each connection")
	flag.Parse()
	if err := run(context.Background(), *listen, *target); err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		os.Exit(1)
	}
}

// run serves until the listener fails.
func run(ctx context.Context, listen, target string) error {
	if listen == "" || target == "" {
		return errors.New("both -listen and -target are needed")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	relay := &relay{
		dial:  dialer(target, http.ProxyFromEnvironment),
		log:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
		slots: make(chan struct{}, maxConnections),
		start: startTimeout,
		idle:  idleTimeout,
	}
	relay.log.Info("listening", "address", listener.Addr().String(), "target", target)
	return relay.serve(ctx, listener)
}
