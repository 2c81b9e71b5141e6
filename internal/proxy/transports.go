package proxy

import (
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/egress"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// maxBundleBytes bounds the certificates of an upstream's authorities: what a ConfigMap or a Secret can have.
const maxBundleBytes = 1 << 20

// transports carry requests to upstreams. Upstreams that are reached in the same way share one, with its idle connections.
type transports struct {
	// usual is for upstreams that need nothing of their own.
	usual http.RoundTripper
	roots *files[*x509.CertPool]

	mutex sync.Mutex
	ways  map[way]*wayTransport
}

// way is how an upstream is reached, where that is not as usual.
type way struct{ caFile, proxyURL string }

// wayTransport is the transport of a way; roots are those that it was made with, nil for the system's.
type wayTransport struct {
	*http.Transport
	roots *x509.CertPool
}

func newTransports(now func() time.Time) *transports {
	return &transports{
		usual: newUsualTransport(now),
		roots: newFiles(now, "the certificates of the upstream's authorities", maxBundleBytes, egress.Roots),
		ways:  map[way]*wayTransport{},
	}
}

// of returns what carries requests to an upstream. Once the file of its authorities has changed that is another transport; a request that
// has begun goes on over the old one. It is an error if the file cannot be read: no request is sent to somebody who is not known.
func (t *transports) of(upstream *routeconfig.Upstream) (http.RoundTripper, error) {
	wanted := way{caFile: upstream.CAFile, proxyURL: upstream.ProxyURL}
	if wanted == (way{}) {
		return t.usual, nil
	}
	var roots *x509.CertPool
	if wanted.caFile != "" {
		var err error
		if roots, err = t.roots.read(wanted.caFile); err != nil {
			return nil, err
		}
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	found := t.ways[wanted]
	if found != nil && found.roots == roots {
		return found, nil
	}
	made, err := newWay(wanted, roots)
	if err != nil {
		return nil, err
	}
	if found != nil {
		found.CloseIdleConnections()
	}
	t.ways[wanted] = made
	return made, nil
}

func newWay(wanted way, roots *x509.CertPool) (*wayTransport, error) {
	made := newTransport()
	if err := egress.Set(made, wanted.proxyURL, roots); err != nil {
		return nil, err
	}
	return &wayTransport{Transport: made, roots: roots}, nil
}

// forget drops the transports of upstreams that are not in a configuration any more. Requests that have begun go on over them.
func (t *transports) forget(routes map[client.Route]*routeconfig.Route) {
	kept := map[way]bool{}
	for _, route := range routes {
		for i := range route.Upstreams {
			kept[way{caFile: route.Upstreams[i].CAFile, proxyURL: route.Upstreams[i].ProxyURL}] = true
		}
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for known, transport := range t.ways {
		if !kept[known] {
			transport.CloseIdleConnections()
			delete(t.ways, known)
		}
	}
}
