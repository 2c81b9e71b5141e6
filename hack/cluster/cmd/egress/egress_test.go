package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The name in the test server's certificate.
const host = "example.com"

// A minute is long enough for any machine, so it does not decide how these tests end.
const patience = time.Minute

// direct says that there is no proxy.
func direct(*http.Request) (*url.URL, error) { return nil, nil }

// start runs a relay in front of whatever dial reaches, and returns its address.
func start(t *testing.T, relay *relay) string {
	t.Helper()
	listener := listen(t)
	if relay.log == nil {
		relay.log = slog.New(slog.DiscardHandler)
	}
	if relay.slots == nil {
		relay.slots = make(chan struct{}, 16)
	}
	if relay.start == 0 {
		relay.start = patience
	}
	if relay.idle == 0 {
		relay.idle = patience
	}
	ctx, done := t.Context(), make(chan error)
	go func() { done <- relay.serve(ctx, listener) }()
	t.Cleanup(func() {
		listener.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve ended with %v, want the listener's end", err)
		}
	})
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// tlsServer answers every request with its path; it hands over the names that clients ask for.
func tlsServer(t *testing.T) (*httptest.Server, <-chan string) {
	t.Helper()
	names := make(chan string, 16)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, names
}

// clientOf trusts the server's certificate and no other, and reaches every name through the relay, as pods do.
func clientOf(t *testing.T, server *httptest.Server, address string) *http.Client {
	t.Helper()
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// checkTLS asks for the host by its name and wants the server's own certificate, its answer, and the name to have got there.
func checkTLS(t *testing.T, client *http.Client, names <-chan string) {
	t.Helper()
	response, err := client.Get("https://" + host + "/api/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "/api/v1/models" {
		t.Errorf("the answer is %q (%v), want the path", body, err)
	}
	if name := <-names; name != host {
		t.Errorf("the server was asked for the name %q, want %q", name, host)
	}
}

func TestTLSStaysEndToEnd(t *testing.T) {
	server, names := tlsServer(t)
	address := start(t, &relay{dial: dialer(server.Listener.Addr().String(), direct)})
	checkTLS(t, clientOf(t, server, address), names)
}

func TestTargetIsResolvedAtEachConnection(t *testing.T) {
	server, names := tlsServer(t)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	address := start(t, &relay{dial: dialer("localhost:"+port, direct)})
	checkTLS(t, clientOf(t, server, address), names)
}

func TestTargetIsReachedThroughTheProxy(t *testing.T) {
	server, names := tlsServer(t)
	asked := make(chan *http.Request, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		tunnel(w, server.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	through, _ := url.Parse(proxy.URL)
	through.User = url.UserPassword("user", "secret")

	// The relay cannot resolve the host; the proxy does it.
	address := start(t, &relay{dial: dialer(host+":443", http.ProxyURL(through))})
	checkTLS(t, clientOf(t, server, address), names)

	request := <-asked
	if request.Method != http.MethodConnect || request.Host != host+":443" {
		t.Errorf("the proxy was asked to %s %s, want CONNECT %s:443", request.Method, request.Host, host)
	}
	// RFC 7617: the user and the password in base64.
	if got, want := request.Header.Get("Proxy-Authorization"), "Basic dXNlcjpzZWNyZXQ="; got != want {
		t.Errorf("the proxy was shown %q, want %q", got, want)
	}
}

// tunnel makes the request's connection one to the address.
func tunnel(w http.ResponseWriter, address string) {
	target, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer target.Close()
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(target, client) }()
	_, _ = io.Copy(client, target)
}

func TestProxyErrorsSayWhyWithoutThePassword(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not for you", http.StatusProxyAuthRequired)
	}))
	t.Cleanup(refusing.Close)
	closed := listen(t)
	closed.Close()

	for reason, test := range map[string]struct {
		proxy, want string
	}{
		"a proxy that refuses":               {"http://user:secret@" + refusing.Listener.Addr().String(), "407 Proxy Authentication Required"},
		"a proxy that is not there":          {"http://user:secret@" + closed.Addr().String(), "connection refused"},
		"a proxy that speaks SOCKS":          {"socks5://user:secret@127.0.0.1:1080", "only http and https proxies"},
		"a proxy that does not speak TLS":    {"https://user:secret@" + refusing.Listener.Addr().String(), "does not look like a TLS handshake"},
		"something that is not a URL at all": {"://user:secret@", "not the URL of a proxy"},
	} {
		t.Run(reason, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			connection, err := dialer(host+":443", func(*http.Request) (*url.URL, error) { return url.Parse(test.proxy) })(ctx)
			if err == nil {
				connection.Close()
				t.Fatal("there is a connection, want none")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q, want one with %q and without the password", err, test.want)
			}
		})
	}
}

// An end that has said everything may still listen: this target answers only after it has seen the client's end.
func TestEndOfOneWayLeavesTheOtherOpen(t *testing.T) {
	target := listen(t)
	go func() {
		connection, err := target.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		question, _ := io.ReadAll(connection)
		_, _ = connection.Write(bytes.ToUpper(question))
	}()

	client := dial(t, start(t, &relay{dial: dialer(target.Addr().String(), direct)}))
	question := bytes.Repeat([]byte("all of it "), 100_000)
	if _, err := client.Write(question); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(answer, bytes.ToUpper(question)) {
		t.Errorf("%d bytes came back (%v), want all %d in upper case", len(answer), err, len(question))
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSilentClientReachesNothing(t *testing.T) {
	var dials atomic.Int64
	relay := &relay{start: time.Millisecond, dial: func(context.Context) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("no way out")
	}}
	client := dial(t, start(t, relay))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading ended with %v, want the end of the connection", err)
	}
	if dials.Load() != 0 {
		t.Error("the target was dialed for a client that said nothing")
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	target := listen(t)
	client := dial(t, start(t, &relay{idle: time.Millisecond, dial: dialer(target.Addr().String(), direct)}))
	if _, err := client.Write([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	// The target never answers, and the client's own patience would end in a timeout.
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading ended with %v, want the end of the connection", err)
	}
}

func TestUnreachableTargetEndsTheConnectionAndIsLogged(t *testing.T) {
	closed := listen(t)
	closed.Close()
	var log lockedBuffer
	client := dial(t, start(t, &relay{
		log:  slog.New(slog.NewTextHandler(&log, nil)),
		dial: dialer(closed.Addr().String(), direct),
	}))
	if _, err := client.Write([]byte("a secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(client); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection does not end: %v", err)
	}
	// The record is written after the connection's end.
	for deadline := time.Now().Add(patience); log.String() == "" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := log.String(); !strings.Contains(got, "connection refused") || strings.Contains(got, "a secret") {
		t.Errorf("the log is %q, want the reason and nothing of what was said", got)
	}
}

type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

func TestConnectionsBeyondTheLimitWaitTheirTurn(t *testing.T) {
	const limit, clients = 2, 32
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	reach := dialer(server.Listener.Addr().String(), direct)
	full := make(chan struct{})
	var open, most atomic.Int64
	relay := &relay{slots: make(chan struct{}, limit), dial: func(ctx context.Context) (net.Conn, error) {
		now := open.Add(1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		// The first ones wait for each other, so that the limit is reached in every run.
		if now == limit {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full
		connection, err := reach(ctx)
		if err != nil {
			return nil, err
		}
		return counted{connection.(*net.TCPConn), &open}, nil
	}}
	address := start(t, relay)

	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			client := clientOf(t, server, address)
			defer client.CloseIdleConnections()
			response, err := client.Get("https://" + host + "/")
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	group.Wait()
	if most.Load() != limit {
		t.Errorf("up to %d connections were open at the same time, want %d", most.Load(), limit)
	}
}

// counted counts itself out when it is closed for the first time.
type counted struct {
	*net.TCPConn
	open *atomic.Int64
}

func (c counted) Close() error {
	err := c.TCPConn.Close()
	if err == nil {
		c.open.Add(-1)
	}
	return err
}
