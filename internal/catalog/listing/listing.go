// Package listing reads the lists of models of upstreams, by GET /models.
package listing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/modelroute/modelroute/internal/catalog"
	"github.com/modelroute/modelroute/internal/egress"
)

const (
	// timeout bounds one question.
	timeout = 10 * time.Second
	// maxBytes bounds an answer. OpenRouter's has about a megabyte.
	maxBytes = 8 << 20
	// maxHeaderBytes bounds its header.
	maxHeaderBytes = 64 << 10
)

// Reader asks upstreams. It sends no key, so that it needs none: OpenRouter's list is public, and nothing is lost where another is not.
// Nothing of an answer but what catalog.ParseModels finds is ever shown, since whoever writes a route chooses the URL.
type Reader struct{ agent string }

// NewReader makes one, which upstreams know by the name of an agent.
func NewReader(agent string) *Reader { return &Reader{agent: agent} }

// Upstream is who is asked, and by which way.
type Upstream struct {
	// BaseURL has no slash at its end.
	BaseURL string
	// IsOpenRouter is true of OpenRouter, which leaves out models of embeddings if it is not asked for all.
	IsOpenRouter bool
	// ProxyURL is the egress proxy, or routeconfig.Direct; empty: as the environment says.
	ProxyURL string
	// Authorities are the certificates, in PEM, of those by which it is known beside the system's; empty: the system's alone.
	Authorities []byte
}

// Models returns what an upstream lists, by the models' ids.
func (r *Reader) Models(ctx context.Context, of Upstream) (map[string]catalog.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	url := of.BaseURL + "/models"
	if of.IsOpenRouter {
		url += "?output_modalities=all"
	}
	transport, err := newTransport(of)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	answer, err := r.get(ctx, transport, url)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	models, err := catalog.ParseModels(answer)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	return models, nil
}

// newTransport makes what carries one question: the next one is minutes away. It follows no redirects, since it is used without a client.
func newTransport(of Upstream) (*http.Transport, error) {
	made := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	var roots *x509.CertPool
	if len(of.Authorities) > 0 {
		var err error
		if roots, err = egress.Roots(of.Authorities); err != nil {
			return nil, fmt.Errorf("what is said to be the certificates of its authorities %w", err)
		}
	}
	return made, egress.Set(made, of.ProxyURL, roots)
}

func (r *Reader) get(ctx context.Context, transport http.RoundTripper, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {r.agent}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	if err == nil && len(answer) > maxBytes {
		err = errors.New("the answer is too long")
	}
	return answer, err
}
