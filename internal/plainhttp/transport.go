// Package plainhttp carries HTTP/1.1 requests over plain TCP in the goroutine of whoever sends them.
//
// The transport of net/http has two goroutines for each connection, and hands each request to one and each answer over from the other. To a
// far upstream that is nothing; to one in the same cluster these two hand-overs are a fifth of what a proxy adds. Messages are written and
// read by net/http here too; only the connections are kept by this package.
package plainhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Transport is an http.RoundTripper for http URLs, without proxies, redirects, cookies and compression. Its fields must not be changed once
// it is used.
//
// A request is sent whole before its answer is read: it has to fit the buffers between both sides, which some dozen kilobytes do. Otherwise
// an answer to the beginning of it could wait for the end of its context.
//
// A request is sent once. Only if a connection that was kept turns out to be closed before a byte was written to it, another one is made.
// The hooks GetConn and GotConn of an httptrace.ClientTrace are called before a connection is looked for and once there is one.
type Transport struct {
	// Dial makes a connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxHeaderBytes bounds the header of an answer.
	MaxHeaderBytes int64
	// ReadBuffer is the size of a connection's buffer for what comes, in bytes.
	ReadBuffer int
	// MaxIdle is how many connections are kept without a request for each host, and IdleLife how long.
	MaxIdle  int
	IdleLife time.Duration
	// Now is the clock.
	Now func() time.Time

	mutex sync.Mutex
	idle  map[string]*host
}

// writeBuffer is the size of the buffers that requests are written through.
const writeBuffer = 4 << 10

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}

// RoundTrip sends a request and returns the answer once its header is there. The answer's body must be closed; once it was read to its end
// the connection is used again. The end of the request's context ends the reading of the body too.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme != "http" {
		return nil, fmt.Errorf("plainhttp: the scheme is %q, want http", request.URL.Scheme)
	}
	address := hostPort(request.URL.Host)
	for {
		connection, err := t.connect(request.Context(), address)
		if err != nil {
			return nil, err
		}
		response, again, err := t.exchange(connection, request)
		if !again {
			return response, err
		}
		if err := rewind(request); err != nil {
			return nil, err
		}
	}
}

func hostPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, "80")
}

// rewind has the request's body read from its beginning again.
func rewind(request *http.Request) error {
	if request.Body == nil || request.Body == http.NoBody {
		return nil
	}
	if request.GetBody == nil {
		return errors.New("plainhttp: the connection was closed, and the body cannot be sent again")
	}
	body, err := request.GetBody()
	if err != nil {
		return fmt.Errorf("plainhttp: reading the body again: %w", err)
	}
	request.Body = body
	return nil
}

// connect returns a connection that was kept, or else makes one.
func (t *Transport) connect(ctx context.Context, address string) (*connection, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(address)
	}
	found := t.kept(address)
	if found == nil {
		socket, err := t.Dial(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		found = newConnection(address, socket, t.ReadBuffer)
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: found.socket, Reused: found.used})
	}
	return found, nil
}

// exchange sends a request over a connection and reads the header of its answer. Again is true if the connection turned out to be closed
// before a byte was written to it.
func (t *Transport) exchange(c *connection, request *http.Request) (response *http.Response, again bool, err error) {
	ctx := request.Context()
	c.begin(ctx)
	defer func() {
		if err != nil {
			c.close()
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
		}
	}()
	if err := c.write(request); err != nil {
		if c.used && c.written == 0 && ctx.Err() == nil {
			return nil, true, err
		}
		return nil, false, fmt.Errorf("sending the request: %w", err)
	}
	response, err = c.readHeader(request, t.MaxHeaderBytes)
	if err != nil {
		return nil, false, fmt.Errorf("reading the answer's header: %w", err)
	}
	return t.answer(c, response), false, nil
}

// answer makes the connection free once the answer's body was read to its end.
func (t *Transport) answer(c *connection, response *http.Response) *http.Response {
	c.used = true
	c.reusable = c.reusable && !response.Close
	body := &body{ReadCloser: response.Body, connection: c, transport: t}
	if response.ContentLength == 0 || response.Body == http.NoBody {
		body.end()
	}
	response.Body = body
	return response
}
