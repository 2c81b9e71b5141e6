package proxy

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// ledgerAddress is where the ledger is now. One client of the ledger lives as long as the proxy and keeps its session and what it still
// owes; only the place that its calls go to follows the configuration.
type ledgerAddress struct {
	current atomic.Pointer[ledgerEndpoint]
}

type ledgerEndpoint struct {
	base *url.URL
	// roots is nil for the machine's own authorities.
	roots *x509.CertPool
}

// symbolicLedger is the URL that the client is given; the transport puts the real one in its place.
const symbolicLedger = "https://ledger"

func parseLedger(config routeconfig.Ledger) (*ledgerEndpoint, error) {
	base, err := url.Parse(config.URL)
	if err != nil {
		return nil, errors.New("ledger.url is no URL")
	}
	endpoint := &ledgerEndpoint{base: base}
	if config.CA != "" {
		endpoint.roots = x509.NewCertPool()
		if !endpoint.roots.AppendCertsFromPEM([]byte(config.CA)) {
			return nil, errors.New("ledger.ca holds no certificate in PEM")
		}
	}
	return endpoint, nil
}

// roots is asked at each new connection.
func (a *ledgerAddress) roots() (*x509.CertPool, error) {
	endpoint := a.current.Load()
	if endpoint == nil {
		return nil, errors.New("there is no configuration yet")
	}
	return endpoint.roots, nil
}

// over returns a transport that sends calls to the current address through next.
func (a *ledgerAddress) over(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		endpoint := a.current.Load()
		if endpoint == nil {
			return nil, errors.New("there is no configuration yet")
		}
		request = request.Clone(request.Context())
		request.URL.Scheme, request.URL.Host, request.Host = endpoint.base.Scheme, endpoint.base.Host, ""
		request.URL.Path = strings.TrimSuffix(endpoint.base.Path, "/") + request.URL.Path
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
