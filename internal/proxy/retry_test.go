package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// asDefault lets a route's requests be tried as often as where the route does not say.
func asDefault(config *routeconfig.Config) { config.Routes[0].MaxAttempts = 0 }

// failing answers the first requests with failures, and gives its place back then.
func (w *world) failing(times int, fail http.HandlerFunc) {
	w.t.Helper()
	w.received.answerWith(func(answer http.ResponseWriter, request *http.Request) {
		if len(w.received.all()) > times {
			w.upstream.ServeHTTP(answer, request)
			return
		}
		fail(answer, request)
	})
}

// withStatus answers with a status and an error in the upstream's own words.
func withStatus(status int, header map[string]string) http.HandlerFunc {
	return func(answer http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			answer.Header().Set(name, value)
		}
		answer.WriteHeader(status)
		_, _ = answer.Write([]byte(`{"error":{"message":"not now","code":null}}`))
	}
}

func TestALoneUpstreamIsAskedAgainWhatMaySucceedThen(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"it is busy":                      withStatus(http.StatusTooManyRequests, nil),
		"it is busy for a moment":         withStatus(http.StatusTooManyRequests, map[string]string{"Retry-After": "0.01"}),
		"it did not get to it":            withStatus(http.StatusRequestTimeout, nil),
		"it failed":                       withStatus(http.StatusInternalServerError, nil),
		"it is overloaded":                withStatus(529, nil),
		"it says that it may be repeated": withStatus(http.StatusConflict, map[string]string{"X-Should-Retry": "true"}),
	} {
		for how, members := range map[string]string{"": short, ", streamed": short + streamed} {
			t.Run(name+how, func(t *testing.T) {
				w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000), yearly(ledgerpb.Unit_UNIT_REQUESTS, 1)}, edit: asDefault})
				w.failing(2, fail)
				answer := w.ask(asking("", members)).expectOK(t)
				if got := len(w.received.all()); got != 3 {
					t.Errorf("the upstream got %d requests, want 3", got)
				}
				if after := answer.header.Get("Retry-After"); after != "" {
					t.Errorf("the client got a failed attempt's Retry-After: %s", after)
				}
				w.booksAgree()
			})
		}
	}
}

func TestALoneUpstreamIsNotAskedAgainWhatWillNotSucceed(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"the request is at fault":        withStatus(http.StatusBadRequest, nil),
		"it does not accept our key":     withStatus(http.StatusUnauthorized, nil),
		"our account is out of money":    withStatus(http.StatusPaymentRequired, nil),
		"it is busy for long":            withStatus(http.StatusTooManyRequests, map[string]string{"Retry-After": "60"}),
		"it says that it is of no use":   withStatus(http.StatusServiceUnavailable, map[string]string{"X-Should-Retry": "false"}),
		"nobody knows what it has done":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"its stream breaks in the midst": func(answer http.ResponseWriter, _ *http.Request) { breakStream(answer) },
	} {
		t.Run(name, func(t *testing.T) {
			w := begin(t, setup{edit: asDefault})
			w.failing(1, fail)
			w.ask(asking("", short+streamed))
			if got := len(w.received.all()); got != 1 {
				t.Errorf("the upstream got %d requests, want 1", got)
			}
		})
	}
}

func breakStream(answer http.ResponseWriter) {
	answer.Header().Set("Content-Type", "text/event-stream")
	_, _ = answer.Write([]byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"))
	panic(http.ErrAbortHandler)
}

func TestAttemptsEnd(t *testing.T) {
	for most, want := range map[int64]int{0: 3, 1: 1, 5: 5} {
		w := begin(t, setup{edit: func(config *routeconfig.Config) { config.Routes[0].MaxAttempts = most }})
		w.failing(100, withStatus(http.StatusServiceUnavailable, nil))
		w.ask(asking("", short)).expectFailure(t, http.StatusServiceUnavailable, "upstream_overloaded")
		if got := len(w.received.all()); got != want {
			t.Errorf("at most %d: the upstream got %d requests, want %d", most, got, want)
		}
	}
}

// An attempt whose cost nobody knows is booked in full, so a third one would only make it dearer.
func TestAnUpstreamIsNotPaidAgainAndAgainForNothing(t *testing.T) {
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)},
		edit:    func(config *routeconfig.Config) { config.Routes[0].MaxAttempts = 9 },
	})
	w.failing(100, func(answer http.ResponseWriter, _ *http.Request) { answer.WriteHeader(http.StatusBadGateway) })
	before := w.routeSpend()
	w.ask(asking("", short))
	if got := len(w.received.all()); got != 2 {
		t.Errorf("the upstream got %d requests, want 2", got)
	}
	after := w.routeSpend()
	if got := after.Uncertain - before.Uncertain; got < 2*leastHold || got > 2*mostHold || after.Settled != before.Settled {
		t.Errorf("booked %+v, want two holds as uncertain", after)
	}
}

func TestAllUpstreamsHaveTheirTurnBeforeOneIsAskedAgain(t *testing.T) {
	w, other := withSecond(t, setup{edit: func(config *routeconfig.Config) { config.Routes[0].MaxAttempts = 3 }})
	w.failing(1, withStatus(http.StatusServiceUnavailable, nil))
	w.ask(asking("", short)).expectOK(t)
	if first, second := len(w.received.all()), len(other.received.all()); first != 1 || second != 1 {
		t.Errorf("the upstreams got %d and %d requests, want one each", first, second)
	}
	// The second one does not know the model, and so is not asked again.
	w.failing(2, withStatus(http.StatusServiceUnavailable, nil))
	w.ask(asking("]] [[second:status=404", short)).expectOK(t)
	if first, second := len(w.received.all()), len(other.received.all()); first != 3 || second != 2 {
		t.Errorf("the upstreams got %d and %d requests, want three and two", first, second)
	}
}

func TestAnUpstreamThatDoesNotTakeTheRequestHidesNoFailure(t *testing.T) {
	spare := httptest.NewServer(http.NotFoundHandler())
	defer spare.Close()
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		asDefault(config)
		mistral := config.Routes[0].Upstreams[0]
		mistral.Name, mistral.Provider, mistral.BaseURL = "mistral", routeconfig.Mistral, spare.URL
		config.Routes[0].Upstreams = append(config.Routes[0].Upstreams, mistral)
	}})
	w.failing(1, withStatus(http.StatusServiceUnavailable, nil))
	w.ask(asking("", short+`,"top_k":5`)).expectOK(t)
	if got := len(w.received.all()); got != 2 {
		t.Errorf("the upstream that takes it got %d requests, want 2", got)
	}
}
