package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// anotherDialAfter is how long an attempt to connect may go unanswered before another one is made beside it, up to mostDials.
	anotherDialAfter = 250 * time.Millisecond
	mostDials        = 4
)

// dialer connects to the ledger.
type dialer struct {
	net   net.Dialer
	roots func() (*x509.CertPool, error)
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return firstOf(ctx, func(ctx context.Context) (net.Conn, error) { return d.net.DialContext(ctx, network, address) })
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connection, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	secured, err := d.handshake(ctx, connection, address)
	if err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	return secured, nil
}

func (d *dialer) handshake(ctx context.Context, connection net.Conn, address string) (net.Conn, error) {
	pool, err := d.roots()
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's certificate authorities: %w", err)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(connection, &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    pool,
		ServerName: host,
		NextProtos: []string{"h2", "http/1.1"},
	})
	return secured, secured.HandshakeContext(ctx)
}

// firstOf connects, and tries again beside that while nobody answers: an address can stand for several ledgers, each attempt reaches any
// of them, and one whose node was lost is silent for as long as nobody has noticed, while requests wait.
func firstOf(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	type attempt struct {
		connection net.Conn
		err        error
	}
	attempts := make(chan attempt)
	begun, ended := 0, 0
	begin := func() {
		begun++
		go func() {
			connection, err := dial(ctx)
			attempts <- attempt{connection, err}
		}()
	}
	defer func() {
		cancel()
		go func() { // Those that are under way end by the context, or are not needed any more.
			for ; ended < begun; ended++ {
				if late := <-attempts; late.err == nil {
					late.connection.Close()
				}
			}
		}()
	}()
	ticker := time.NewTicker(anotherDialAfter)
	defer ticker.Stop()
	begin()
	for {
		select {
		case got := <-attempts:
			ended++
			if got.err == nil || ended == begun {
				return got.connection, got.err
			}
		case <-ticker.C:
			if begun < mostDials {
				begin()
			}
		}
	}
}
