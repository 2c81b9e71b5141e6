// Package openrouter makes and changes API keys at OpenRouter, by its management API:
// https://openrouter.ai/docs/features/provisioning-api-keys.
package openrouter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/modelroute/modelroute/internal/fence"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// timeout bounds one question.
	timeout = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: a page has a hundred keys of half a kilobyte.
	maxAnswer = 1 << 20
	// maxPages bounds the list of keys.
	maxPages = 1000
	// perSecond and burst bound how often OpenRouter is asked, for all routes together.
	perSecond, burst = 10, 10
)

// Account is where keys are made, and in whose name.
type Account struct {
	// BaseURL is that of the upstream, for example https://openrouter.ai/api/v1.
	BaseURL string
	// ManagementKey makes the keys. It is in no error.
	ManagementKey string
}

// Key is what OpenRouter tells of a key. It is not the key.
type Key struct {
	// Hash identifies the key.
	Hash string
	Name string
	// Disabled is true if somebody has disabled it.
	Disabled bool
	fence.Key
}

// ErrNotFound means that there is no key of that hash.
var ErrNotFound = errors.New("there is no such key")

// StatusError is an answer that is none of the expected. Nothing of its body is kept: whoever writes a route chooses the URL.
type StatusError struct{ Status int }

// Error has the status.
func (e *StatusError) Error() string { return "status " + strconv.Itoa(e.Status) }

// Keys makes and changes keys. It may be used by several goroutines.
type Keys struct {
	transport http.RoundTripper
	limiter   *rate.Limiter
}

// NewKeys makes one. It follows no redirects, since it uses a bare transport: a management key goes to the host of the route and nowhere
// else.
func NewKeys() *Keys {
	return &Keys{
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: timeout, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxAnswer,
		},
		limiter: rate.NewLimiter(perSecond, burst),
	}
}

// limits are the fields of a key that are asked for. What provider keys pay counts as well, since it counts against the budgets.
type limits struct {
	Name               string       `json:"name,omitempty"`
	Limit              *json.Number `json:"limit"`
	LimitReset         *fence.Reset `json:"limit_reset"`
	IncludeBYOKInLimit bool         `json:"include_byok_in_limit"`
}

func limitsOf(name string, ask fence.Ask) limits {
	body := limits{Name: name, IncludeBYOKInLimit: true}
	if ask.Limited {
		body.Limit = new(json.Number(ask.Amount.String()))
		if ask.Reset != fence.Never {
			body.LimitReset = &ask.Reset
		}
	}
	return body
}

// Create makes a key and returns it with its hash. This is the only time that it is shown. After an error it may have been made all the
// same: Named finds it.
func (k *Keys) Create(ctx context.Context, at Account, name string, ask fence.Ask) (key, hash string, err error) {
	var made struct {
		Data wireKey `json:"data"`
		Key  string  `json:"key"`
	}
	if err := k.ask(ctx, at, http.MethodPost, "", limitsOf(name, ask), &made); err != nil {
		return "", "", err
	}
	if made.Key == "" || !isHash(made.Data.Hash) {
		return "", "", fmt.Errorf("asking %s/keys: the answer has no key", at.BaseURL)
	}
	return made.Key, made.Data.Hash, nil
}

// Get returns the key of a hash; ErrNotFound if there is none.
func (k *Keys) Get(ctx context.Context, at Account, hash string) (Key, error) {
	var found struct {
		Data wireKey `json:"data"`
	}
	if err := k.ask(ctx, at, http.MethodGet, "/"+url.PathEscape(hash), nil, &found); err != nil {
		return Key{}, err
	}
	return found.Data.key()
}

// Change gives a key another limit. What it has spent stays spent. The error is ErrNotFound if there is no such key.
func (k *Keys) Change(ctx context.Context, at Account, hash string, ask fence.Ask) error {
	return k.ask(ctx, at, http.MethodPatch, "/"+url.PathEscape(hash), limitsOf("", ask), nil)
}

// Delete ends a key. That there is none of that hash is no error.
func (k *Keys) Delete(ctx context.Context, at Account, hash string) error {
	err := k.ask(ctx, at, http.MethodDelete, "/"+url.PathEscape(hash), nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Named returns the keys whose names match, those that are disabled among them.
func (k *Keys) Named(ctx context.Context, at Account, matches func(name string) bool) ([]Key, error) {
	var named []Key
	offset := 0
	for range maxPages {
		var page struct {
			Data []wireKey `json:"data"`
		}
		if err := k.ask(ctx, at, http.MethodGet, "?include_disabled=true&offset="+strconv.Itoa(offset), nil, &page); err != nil {
			return nil, err
		}
		if len(page.Data) == 0 {
			return named, nil
		}
		for _, one := range page.Data {
			if !matches(one.Name) {
				continue
			}
			key, err := one.key()
			if err != nil {
				return nil, err
			}
			named = append(named, key)
		}
		offset += len(page.Data)
	}
	return nil, fmt.Errorf("asking %s/keys: the list has no end", at.BaseURL)
}

// ask asks one question below /keys and reads the answer, if there is somewhere to read it to.
func (k *Keys) ask(ctx context.Context, at Account, method, path string, body, answer any) error {
	if err := k.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("asking %s/keys: %w", at.BaseURL, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := k.exchange(ctx, at, method, path, body, answer); err != nil {
		return fmt.Errorf("asking %s/keys: %w", at.BaseURL, err)
	}
	return nil
}

func (k *Keys) exchange(ctx context.Context, at Account, method, path string, body, answer any) error {
	request, err := newRequest(ctx, at, method, path, body)
	if err != nil {
		return err
	}
	response, err := k.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotFound && len(path) > 1 && path[0] == '/':
		return ErrNotFound
	case response.StatusCode < 200 || response.StatusCode > 299:
		return &StatusError{response.StatusCode}
	case answer == nil:
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return errors.New("the answer cannot be read") // The decoder's own words could quote a key.
	}
	return nil
}

// newRequest makes a question, with a body unless that is nil.
func newRequest(ctx context.Context, at Account, method, path string, body any) (*http.Request, error) {
	sent := io.Reader(http.NoBody)
	header := http.Header{
		"Authorization": {"Bearer " + at.ManagementKey}, "Accept": {"application/json"}, "User-Agent": {"modelroute-manager"},
	}
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(encoded)
		header.Set("Content-Type", "application/json")
	}
	request, err := http.NewRequestWithContext(ctx, method, at.BaseURL+"/keys"+path, sent)
	if err != nil {
		return nil, err
	}
	request.Header = header
	return request, nil
}

// wireKey is a key as OpenRouter writes it.
type wireKey struct {
	Hash             string       `json:"hash"`
	Name             string       `json:"name"`
	Disabled         bool         `json:"disabled"`
	Limit            *json.Number `json:"limit"`
	LimitReset       *fence.Reset `json:"limit_reset"`
	Usage            json.Number  `json:"usage"`
	UsageDaily       json.Number  `json:"usage_daily"`
	UsageWeekly      json.Number  `json:"usage_weekly"`
	UsageMonthly     json.Number  `json:"usage_monthly"`
	BYOKUsage        json.Number  `json:"byok_usage"`
	BYOKUsageDaily   json.Number  `json:"byok_usage_daily"`
	BYOKUsageWeekly  json.Number  `json:"byok_usage_weekly"`
	BYOKUsageMonthly json.Number  `json:"byok_usage_monthly"`
}

func (w wireKey) key() (Key, error) {
	key := Key{Hash: w.Hash, Name: w.Name, Disabled: w.Disabled, Key: fence.Key{Used: map[fence.Reset]money.Amount{}}}
	if !isHash(w.Hash) {
		return Key{}, errors.New("a key has no hash")
	}
	for reset, parts := range map[fence.Reset][2]json.Number{
		fence.Never:   {w.Usage, w.BYOKUsage},
		fence.Daily:   {w.UsageDaily, w.BYOKUsageDaily},
		fence.Weekly:  {w.UsageWeekly, w.BYOKUsageWeekly},
		fence.Monthly: {w.UsageMonthly, w.BYOKUsageMonthly},
	} {
		for _, part := range parts {
			amount, err := amountOf(part)
			if err != nil {
				return Key{}, err
			}
			key.Used[reset] = key.Used[reset].Add(amount)
		}
	}
	if w.Limit == nil {
		return key, nil
	}
	var err error
	key.Limited = true
	if w.LimitReset != nil {
		key.Reset = *w.LimitReset
	}
	key.Amount, err = amountOf(*w.Limit)
	return key, err
}

// amountOf reads an amount in USD; one that is left out is nothing.
func amountOf(number json.Number) (money.Amount, error) {
	if number == "" {
		return money.Amount{}, nil
	}
	amount, err := money.ParseUSDNumber(number.String())
	if err != nil {
		return money.Amount{}, errors.New("an amount of a key cannot be read")
	}
	return amount, nil
}

var hash = regexp.MustCompile(`^[a-zA-Z0-9][-._a-zA-Z0-9]{0,127}$`)

// isHash reports whether a text can be a key's hash: it becomes a part of a URL, and of a status.
func isHash(text string) bool { return hash.MatchString(text) }
