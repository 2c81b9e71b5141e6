// Package listing reads the lists of models of upstreams, by GET /models.
package listing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/modelroute/modelroute/internal/catalog"
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
type Reader struct {
	transport http.RoundTripper
	agent     string
}

// NewReader makes one, which upstreams know by the name of an agent. It follows no redirects, since it uses a bare transport.
func NewReader(agent string) *Reader {
	return &Reader{agent: agent, transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true, // The next question is minutes away.
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}}
}

// Models returns what an upstream lists, by the models' ids. OpenRouter leaves out models of embeddings if it is not asked for all.
func (r *Reader) Models(ctx context.Context, baseURL string, isOpenRouter bool) (map[string]catalog.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	url := baseURL + "/models"
	if isOpenRouter {
		url += "?output_modalities=all"
	}
	answer, err := r.get(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	models, err := catalog.ParseModels(answer)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	return models, nil
}

func (r *Reader) get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {r.agent}}
	response, err := r.transport.RoundTrip(request)
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
