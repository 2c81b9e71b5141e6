package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/modelroute/modelroute/internal/plainhttp"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// dialTimeout is how long an upstream may take to accept a connection if its configuration does not say.
	dialTimeout         = 10 * time.Second
	idleConnections     = 256
	idleConnectionLife  = 90 * time.Second
	upstreamHeaderBytes = 256 << 10
	// upstreamReadBytes is the buffer of a connection for what comes from an upstream: a header, or some events. There is one for each
	// stream that is held, and what is longer does not go through it.
	upstreamReadBytes = 2 << 10
	pingAfterSilence  = 30 * time.Second
)

// nearBytes is the longest body of a request that plainhttp sends: one that fits the sockets' buffers.
const nearBytes = 32 << 10

// usualTransport carries requests to upstreams that need nothing of their own: to those behind TLS or an egress proxy, and to those that
// are reached in the clear, which are near.
type usualTransport struct {
	far  *http.Transport
	near *plainhttp.Transport
}

func newUsualTransport(now func() time.Time) *usualTransport {
	return &usualTransport{far: newTransport(), near: &plainhttp.Transport{
		Dial: dial, MaxHeaderBytes: upstreamHeaderBytes, ReadBuffer: upstreamReadBytes,
		MaxIdle: idleConnections, IdleLife: idleConnectionLife, Now: now,
	}}
}

func (t *usualTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "http" && request.ContentLength <= nearBytes {
		if egress, err := t.far.Proxy(request); err == nil && egress == nil {
			return t.near.RoundTrip(request)
		}
	}
	return t.far.RoundTrip(request)
}

// newTransport is the transport of net/http for upstreams. It follows no redirects, since it is used as a bare transport: the upstream's
// key goes to the host of the configuration and nowhere else.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           idleConnections,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleConnectionLife,
		MaxResponseHeaderBytes: upstreamHeaderBytes,
		ReadBufferSize:         upstreamReadBytes,
		// A connection that died in silence must not hold its requests until their timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfterSilence, PingTimeout: dialTimeout},
	}
}

// connectTimeoutKey is where an attempt's context has how long a connection may take.
type connectTimeoutKey struct{}

// dial connects within the time that the attempt gives it.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	timeout, given := ctx.Value(connectTimeoutKey{}).(time.Duration)
	if !given {
		timeout = dialTimeout
	}
	return (&net.Dialer{Timeout: timeout, KeepAlive: pingAfterSilence}).DialContext(ctx, network, address)
}

// notSentError means that the upstream surely got nothing of the request, so that it cannot have been billed.
type notSentError struct{ cause error }

func (e *notSentError) Error() string { return e.cause.Error() }
func (e *notSentError) Unwrap() error { return e.cause }

// post sends a body to a path below the upstream's base URL and returns the response once its header is there. The error is a notSentError
// if nothing was sent.
func post(
	ctx context.Context, transport http.RoundTripper, upstream *routeconfig.Upstream, path string, header http.Header, body []byte,
) (*http.Response, error) {
	if upstream.ConnectTimeoutSeconds > 0 {
		ctx = context.WithValue(ctx, connectTimeoutKey{}, seconds(upstream.ConnectTimeoutSeconds))
	}
	var reachable atomic.Bool
	// The transport asks for a second connection only if it wrote nothing to the first, so what counts is the last one that it asked for.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { reachable.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { reachable.Store(true) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, upstream.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, &notSentError{cause: fmt.Errorf("making the request for upstream %s: %w", upstream.Name, err)}
	}
	request.Header = header
	response, err := transport.RoundTrip(request)
	if err != nil {
		err = fmt.Errorf("calling upstream %s: %w", upstream.Name, err)
		if !reachable.Load() {
			return nil, &notSentError{cause: err}
		}
		return nil, err
	}
	return response, nil
}

// errTooLong means that an answer was cut because it grew beyond what the proxy is ready to hold.
var errTooLong = errors.New("the upstream's answer is too long")

// readAll reads at most limit bytes; a longer content is an errTooLong, together with what was read of it. The length is how long it is
// said to be, -1 if nobody said so.
func readAll(content io.Reader, length, limit int64) ([]byte, error) {
	read, err := readWhole(io.LimitReader(content, limit+1), length)
	switch {
	case err != nil:
		return read, fmt.Errorf("reading the upstream's answer: %w", err)
	case int64(len(read)) > limit:
		return read[:limit], errTooLong
	}
	return read, nil
}

// believedBytes is up to which length of a content there is room for it before it has come.
const believedBytes = 256 << 10

// readWhole reads a content to its end, into a buffer for the length that it is said to have.
func readWhole(content io.Reader, length int64) ([]byte, error) {
	room := min(max(length, 0), believedBytes) + bytes.MinRead
	buffer := bytes.NewBuffer(make([]byte, 0, room))
	_, err := buffer.ReadFrom(content)
	return buffer.Bytes(), err
}

const (
	// recyclePatience is how long an answer that has been used is waited for to end, and recycleBytes how much is read of it for that.
	recyclePatience = time.Second
	recycleBytes    = 64 << 10
)

// recycle reads an answer to its end if that is near, so that its connection can be used again, and then gives it up. A stream's last
// event is not yet its end, and no client should wait for what lies between.
func (s *server) recycle(answer *watched, cancel context.CancelFunc) {
	giveUp := func() {
		_ = answer.Close()
		answer.patience.end()
		cancel()
	}
	if answer.ended {
		giveUp()
		return
	}
	s.requests.Go(func() {
		defer giveUp()
		limit := time.AfterFunc(recyclePatience, cancel)
		defer limit.Stop()
		_, _ = io.Copy(io.Discard, io.LimitReader(answer, recycleBytes))
	})
}
