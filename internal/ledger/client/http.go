package client

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// dialTimeout covers the TLS handshake as well, for which a busy machine takes its time.
	dialTimeout = 5 * time.Second
	// pingAfter and pingTimeout find a connection whose other end is gone, so that one dead node does not cost every call its whole
	// timeout.
	pingAfter   = 5 * time.Second
	pingTimeout = 2 * time.Second
)

// NewHTTPClient returns a client for calls to the ledger: HTTP/2 over TLS 1.3, or plain HTTP where the URL says so, never through a
// proxy. roots is called for every new connection, so that a rotated authority is used without a restart; nil from it means the
// machine's own roots.
func NewHTTPClient(roots func() (*x509.CertPool, error)) *http.Client {
	dialer := &dialer{net: net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}, roots: roots}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Client{Transport: &http.Transport{
		DialContext:         dialer.dial,
		DialTLSContext:      dialer.dialTLS,
		Protocols:           protocols,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     time.Minute,
	}}
}

// TokenFile reads the ledger's bearer token from a file on each call, because the kubelet replaces a projected token before it expires.
func TokenFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading the ledger's token: %w", err)
		}
		token := strings.TrimSpace(string(content))
		if token == "" {
			return "", fmt.Errorf("the ledger's token in %s is empty", path)
		}
		return token, nil
	}
}

// Bearer returns a transport that shows a bearer token with each request. token is called for each of them, since tokens are replaced
// before they expire.
func Bearer(next http.RoundTripper, token func(context.Context) (string, error)) http.RoundTripper {
	return bearer{next, token}
}

type bearer struct {
	next  http.RoundTripper
	token func(context.Context) (string, error)
}

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := b.token(request.Context())
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close() // As a RoundTripper has to, also if it fails.
		}
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(request)
}
