// Package egress is by which way upstreams are reached: through which proxy, and by which authorities they are known.
package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"

	"github.com/modelroute/modelroute/internal/cabundle"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// Roots returns the authorities that the system knows together with those of a bundle in PEM.
func Roots(bundle []byte) (*x509.CertPool, error) {
	certificates, err := cabundle.Parse(bundle)
	if err != nil {
		return nil, fmt.Errorf("is no bundle: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // A system without authorities knows those of the bundle.
	}
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool, nil
}

// Set has a transport go a way that is not the usual one: through the proxy of that URL, or none if it is routeconfig.Direct, and to
// servers that these authorities know. An empty URL, and nil, leave the transport as it is. The error says that the URL cannot be read.
func Set(transport *http.Transport, proxyURL string, roots *x509.CertPool) error {
	if roots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	switch proxyURL {
	case "":
	case routeconfig.Direct:
		transport.Proxy = nil
	default:
		proxy, err := url.Parse(proxyURL)
		if err != nil {
			return fmt.Errorf("the URL of the egress proxy cannot be read: %w", err)
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	return nil
}
