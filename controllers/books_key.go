package controllers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
)

const (
	// keyTimeout bounds one question.
	keyTimeout = 10 * time.Second
	// maxKeyBytes bounds an answer; OpenRouter's have a kilobyte.
	maxKeyBytes = 64 << 10
)

// OpenRouterBills asks OpenRouter, by GET /key. Nothing of an answer but the sum is ever shown: whoever writes a route chooses the URL.
type OpenRouterBills struct {
	transport http.RoundTripper
}

// NewOpenRouterBills makes one. It follows no redirects, since it uses a bare transport: a key goes to the host of the route and nowhere
// else.
func NewOpenRouterBills() *OpenRouterBills {
	return &OpenRouterBills{transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true, // The next question is minutes away.
		TLSHandshakeTimeout:    keyTimeout,
		MaxResponseHeaderBytes: maxKeyBytes,
	}}
}

// Billed implements BillReader. The error never has the key in it.
func (o *OpenRouterBills) Billed(ctx context.Context, baseURL, key string) (money.Amount, error) {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/key", nil)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking what was billed: %w", err)
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + key}, "Accept": {"application/json"}, "User-Agent": {"modelroute-manager"},
	}
	response, err := o.transport.RoundTrip(request)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking %s/key what was billed: %w", baseURL, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return money.Amount{}, fmt.Errorf("asking %s/key what was billed: status %d", baseURL, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeyBytes))
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking %s/key what was billed: %w", baseURL, err)
	}
	billed, err := openai.KeyUsage(body)
	if err != nil {
		return money.Amount{}, fmt.Errorf("asking %s/key what was billed: %w", baseURL, err)
	}
	return billed, nil
}
