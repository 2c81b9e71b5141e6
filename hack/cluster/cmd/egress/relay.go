package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

// relay passes connections on to one target.
type relay struct {
	dial func(context.Context) (net.Conn, error)
	log  *slog.Logger
	// slots has room for each connection that may be open at the same time; more of them wait in the kernel's queue.
	slots chan struct{}
	// start bounds the time until a connection goes both ways, idle the time in which it goes neither way.
	start, idle time.Duration
}

// serve accepts connections until the listener fails.
func (r *relay) serve(ctx context.Context, listener net.Listener) error {
	for {
		r.slots <- struct{}{}
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting a connection: %w", err)
		}
		go func() {
			defer func() { <-r.slots }()
			if err := r.pass(ctx, client); err != nil {
				r.log.Error("connection failed", "error", err)
			}
		}()
	}
}

// pass serves one connection to its end. Its error says why the target was not reached; how a connection ends is for its two ends.
func (r *relay) pass(ctx context.Context, client net.Conn) error {
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(r.start))
	// In TLS the client speaks first. One that only wants to know whether somebody listens is not worth a connection to the target.
	said := bufio.NewReader(client)
	if _, err := said.Peek(1); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.start)
	defer cancel()
	target, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer target.Close()

	alive := func() {
		deadline := time.Now().Add(r.idle)
		_ = client.SetDeadline(deadline)
		_ = target.SetDeadline(deadline)
	}
	alive()
	ends := make(chan error)
	go func() { ends <- oneWay(target, said, alive) }()
	go func() { ends <- oneWay(client, target, alive) }()
	if err := <-ends; err != nil {
		// Neither way works without the other.
		client.Close()
		target.Close()
	}
	<-ends //nolint:errcheck // The second end says nothing that the first has not.
	return nil
}

// oneWay copies until the source ends, and passes that end on: the other way may have more to say.
func oneWay(to net.Conn, from io.Reader, alive func()) error {
	if _, err := io.Copy(watched{to, alive}, from); err != nil {
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// watched is a writer that tells of each write.
type watched struct {
	io.Writer
	alive func()
}

func (w watched) Write(data []byte) (int, error) {
	w.alive()
	return w.Writer.Write(data)
}
