package proxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// panicking is a server with a transport of the test's own.
func panicking(t *testing.T, transport http.RoundTripper) (*server, *ledgertest.Ledger) {
	t.Helper()
	books := ledgertest.Start(t)
	books.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Consumers: []string{"search"}})
	kept, replay, err := journal.Open(journal.Options{Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{}, LedgerToken: books.Token}
	s := newServer(t.Context(), options, kept, replay)
	s.transports.usual = transport
	encoded, err := routeconfig.Encode(routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  routeconfig.Ledger{URL: books.URL},
		Routes: []routeconfig.Route{{
			Namespace: "ai", Name: "chat", Model: routeconfig.Model{Name: "chat", ContextLength: 1000},
			Upstreams: []routeconfig.Upstream{{
				Name: "only", Provider: routeconfig.OpenRouter, BaseURL: "http://127.0.0.1:1", Model: "x", TimeoutSeconds: 5,
				Pricing: routeconfig.Pricing{PromptPicoUSD: 1000, CompletionPicoUSD: 1000},
			}},
			// The SHA-256 of "key".
			Consumers: []routeconfig.Consumer{{Name: "search", Keys: []routeconfig.Key{
				{ID: "k_1", SHA256: "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"},
			}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.load(encoded)
	go s.ledger.Run(t.Context())
	return s, books
}

func TestAPanicInMidFlightIsSettledAsUncertain(t *testing.T) {
	s, books := panicking(t, roundTripper(func(*http.Request) (*http.Response, error) { panic("out of the blue") }))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions",
		strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"hi"}]}`))
	request.Header.Set("Authorization", "Bearer key")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	if answer.Code != http.StatusInternalServerError || !strings.Contains(answer.Body.String(), `"internal_error"`) {
		t.Errorf("the client got %d: %s", answer.Code, answer.Body)
	}
	spend := books.Usage("ai", "chat").GetSpend()
	// What is held is shown as of the last heartbeat, which may have come while the request was under way.
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		isReported := s.ledger.Owed() == 0
		spend = books.Usage("ai", "chat").GetSpend()
		if isReported && spend.GetHeldNanoUsd() == 0 {
			break
		}
	}
	if spend.GetUncertainNanoUsd() == 0 || spend.GetHeldNanoUsd() != 0 || spend.GetSettledNanoUsd() != 0 {
		t.Errorf("spend %v, want the hold as uncertain and nothing else", spend)
	}
}
