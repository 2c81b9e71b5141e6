package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const secondKey = "sk-or-second-upstreams-own-key"

// second is another upstream of the world's route, behind its first one, which asks for half the price.
type second struct {
	*upstream.Server
	received *receiver
}

// withSecond begins a world with a second upstream. A fault in a request is the first one's; one that is marked as the second one's, as
// "[[second:status=503]]", is that one's.
func withSecond(t *testing.T, s setup) (*world, *second) {
	t.Helper()
	other := &second{Server: upstream.New(upstream.Options{
		Keys: []upstream.Key{{Label: "second", Secret: secondKey, LimitNano: upstream.NoLimit}},
	})}
	other.received = &receiver{next: other.Server}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading what the second upstream gets: %v", err)
		}
		body = bytes.ReplaceAll(body, []byte("[[fault:"), []byte("[[first:"))
		body = bytes.ReplaceAll(body, []byte("[[second:"), []byte("[[fault:"))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		other.received.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	edit := s.edit
	s.edit = func(config *routeconfig.Config) {
		route := &config.Routes[0]
		added := route.Upstreams[0]
		added.Name, added.Provider, added.BaseURL = "second", routeconfig.OpenAICompatible, server.URL+"/api/v1"
		added.APIKeyFile, added.Parameters = added.APIKeyFile+".second", nil
		added.Pricing = routeconfig.Pricing{PromptPicoUSD: 1_000_000, CompletionPicoUSD: 3_000_000}
		route.Upstreams = append(route.Upstreams, added)
		if edit != nil {
			edit(config)
		}
		if route.MaxAttempts == 1 {
			route.MaxAttempts = 2
		}
	}
	w := prepare(t, s)
	w.write(w.keyFile+".second", secondKey)
	w.start(s)
	w.eventually("the proxy is ready", func() bool { return w.status(w.adminURL+"/readyz") == http.StatusOK })
	return w, other
}

// halfPrice is what the second upstream's answers cost by the route's prices for it.
func (s *second) halfPrice() (nano int64) {
	for _, one := range s.Billed(upstream.Filter{}).Requests {
		nano += int64(one.PromptTokens)*1000 + int64(one.CompletionTokens)*3000
	}
	return nano
}

func TestAnotherUpstreamServesWhatOneCannot(t *testing.T) {
	for name, body := range map[string]string{
		"it is overloaded":                   asking("status=503", short),
		"it is busy":                         asking("status=429,retry-after=7", short),
		"it does not accept our key":         asking("status=401", short),
		"our account there is out of money":  asking("status=402", short),
		"it does not know the model":         asking("status=404", short),
		"it breaks the connection":           asking("reset", short),
		"its answer is nothing but an error": asking("error-200", short),
		"its stream is nothing but an error": asking("error-chunk=0", short+streamed),
		"its stream ends before it begins":   asking("cut=0", short+streamed),
	} {
		t.Run(name, func(t *testing.T) {
			w, other := withSecond(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
			answer := w.ask(body).expectOK(t)
			if got := len(other.received.all()); got != 1 {
				t.Fatalf("the second upstream got %d requests, want 1: %s", got, answer.body)
			}
			if header := answer.header.Get("Retry-After"); header != "" {
				t.Errorf("the client got the first upstream's Retry-After: %s", header)
			}
			asked := other.received.all()[0]
			if got := asked.header.Get("Authorization"); got != "Bearer "+secondKey {
				t.Errorf("the second upstream got the key %q", got)
			}
			if strings.Contains(asked.body, `"max_completion_tokens"`) == strings.Contains(asked.body, `"max_tokens"`) {
				t.Errorf("the second upstream got more than one completion limit, or none: %s", asked.body)
			}
			w.settled()
			spent, billed := w.routeSpend(), w.upstream.Billed(upstream.Filter{}).TotalNanoUSD
			if spent.Settled != other.halfPrice() {
				t.Errorf("%d nano-USD are settled, want the %d that the second one's answer costs", spent.Settled, other.halfPrice())
			}
			if spent.Uncertain < billed || spent.Held != 0 {
				t.Errorf("%d are uncertain and %d held, the first one billed %d", spent.Uncertain, spent.Held, billed)
			}
		})
	}
}

func TestAnUpstreamThatCannotBeReachedIsPassedBy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	w, other := withSecond(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)},
		edit:    func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].BaseURL = nobody },
	})
	w.ask(asking("", short)).expectOK(t)
	w.settled()
	if spent := w.routeSpend(); spent != (spend{Settled: other.halfPrice()}) {
		t.Errorf("spent is %+v, want %d settled", spent, other.halfPrice())
	}
}

func TestNoOtherUpstreamIsAskedWhatOneHasAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"the request is at fault":      {asking("status=400", short), http.StatusBadRequest},
		"a stream breaks in its midst": {asking("cut=3", short+streamed), http.StatusOK},
		"an error comes in a stream":   {asking("error-chunk=3", short+streamed), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			w, other := withSecond(t, setup{})
			answer := w.ask(test.body)
			if answer.status != test.status || !strings.Contains(answer.body, `"error"`) {
				t.Errorf("status %d, want %d: %s", answer.status, test.status, answer.body)
			}
			if got := len(other.received.all()); got != 0 {
				t.Errorf("the second upstream got %d requests", got)
			}
		})
	}
}

func TestWhenAllUpstreamsFailTheLastOneIsToldOf(t *testing.T) {
	w, other := withSecond(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000), yearly(ledgerpb.Unit_UNIT_REQUESTS, 2)}})
	answer := w.ask(asking("status=500]] [[second:status=429,retry-after=3", short))
	if answer.status != http.StatusTooManyRequests || answer.header.Get("Retry-After") != "3" {
		t.Errorf("status %d, Retry-After %q: %s", answer.status, answer.header.Get("Retry-After"), answer.body)
	}
	if len(w.received.all()) != 1 || len(other.received.all()) != 1 {
		t.Errorf("the upstreams got %d and %d requests", len(w.received.all()), len(other.received.all()))
	}
	w.settled()
	if spent := w.routeSpend(); spent != (spend{}) {
		t.Errorf("spent is %+v, want nothing", spent)
	}
	// It counted once, whatever it took.
	answer = w.ask(asking("status=503", short)).expectOK(t)
	if remaining := answer.header.Get("X-Ratelimit-Remaining-Requests"); remaining != "0" {
		t.Errorf("%s requests remain, want none of the two", remaining)
	}
	for _, line := range []string{`upstream="openrouter"} 2`, `result="served",route="mixtral-8x22b-instruct",upstream="second"} 1`} {
		w.eventually("the metrics have "+line, func() bool { return strings.Contains(w.metrics(), line) })
	}
}

func TestAnUpstreamWithoutAKeyIsPassedBy(t *testing.T) {
	w, other := withSecond(t, setup{})
	w.write(w.keyFile, "")
	w.eventually("the second upstream serves", func() bool {
		return w.ask(asking("", short)).status == http.StatusOK && len(other.received.all()) > 0
	})
}

// OpenRouter is told the price that was reserved for. It refuses rather than to bill more, and then another upstream serves.
func TestAnUpstreamThatWouldChargeMoreThanItsPriceIsPassedBy(t *testing.T) {
	tooLittle := routeconfig.Parameter{Name: "provider", Value: []byte(`{"max_price":{"prompt":"1.99","completion":"6.00"}}`)}
	w, other := withSecond(t, setup{edit: func(config *routeconfig.Config) {
		config.Routes[0].Upstreams[0].Parameters = []routeconfig.Parameter{tooLittle}
	}})
	w.ask(asking("", short)).expectOK(t)
	if body := w.last().body; !strings.Contains(body, `"provider":{"max_price":{"prompt":"1.99","completion":"6.00"}}`) {
		t.Errorf("the first upstream got %s", body)
	}
	if billed := w.upstream.Billed(upstream.Filter{}).TotalNanoUSD; billed != 0 {
		t.Errorf("the first upstream billed %d nano-USD", billed)
	}
	if got := len(other.received.all()); got != 1 {
		t.Errorf("the second upstream got %d requests", got)
	}
}
