package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// dialer reaches the target HOST:PORT, through the proxy that proxyFor names for it, if any.
func dialer(target string, proxyFor func(*http.Request) (*url.URL, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		proxy, err := proxyFor(&http.Request{URL: &url.URL{Scheme: "https", Host: target}})
		if err != nil {
			// The error itself may show the proxy's password.
			return nil, errors.New("HTTPS_PROXY is not the URL of a proxy")
		}
		if proxy == nil {
			return new(net.Dialer).DialContext(ctx, "tcp", target)
		}
		connection, err := dialProxy(ctx, proxy)
		if err != nil {
			return nil, fmt.Errorf("reaching the proxy: %w", err)
		}
		if err := connect(ctx, connection, proxy.User, target); err != nil {
			connection.Close()
			return nil, fmt.Errorf("asking the proxy %s for %s: %w", proxy.Host, target, err)
		}
		return connection, nil
	}
}

// dialProxy connects to a proxy that is spoken to in plain text or, if its scheme is https, over TLS.
func dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	switch {
	case proxy.Scheme == "http":
		return new(net.Dialer).DialContext(ctx, "tcp", withPort(proxy, "80"))
	case proxy.Scheme == "https":
		return new(tls.Dialer).DialContext(ctx, "tcp", withPort(proxy, "443"))
	default:
		return nil, fmt.Errorf("%s: only http and https proxies are supported, not %q", proxy.Host, proxy.Scheme)
	}
}

func withPort(proxy *url.URL, standard string) string {
	port := proxy.Port()
	if port == "" {
		port = standard
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// connect turns a connection to a proxy into one to the target (RFC 9110, section 9.3.6).
func connect(ctx context.Context, connection net.Conn, user *url.Userinfo, target string) error {
	deadline, _ := ctx.Deadline()
	_ = connection.SetDeadline(deadline)
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request.Header.Set("Proxy-Authorization", "Basic "+credentials)
	}
	if err := request.Write(connection); err != nil {
		return err
	}
	answer := bufio.NewReader(io.LimitReader(connection, 64<<10))
	response, err := http.ReadResponse(answer, request) //nolint:bodyclose // An answer to CONNECT has no body: the tunnel follows.
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	// The server of a TLS connection does not speak first, so nothing of it can have been read along.
	if answer.Buffered() > 0 {
		return errors.New("more than an answer came back")
	}
	return nil
}
