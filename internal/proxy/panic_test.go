package proxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
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
	s.load(configsource.Version{Encoded: encoded})
	go s.ledger.Run(t.Context())
	return s, books
}

// askChat sends a request with the consumer's key.
func askChat(t *testing.T, s *server) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions",
		strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"hi"}]}`))
	request.Header.Set("Authorization", "Bearer key")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	return answer
}

func TestAPanicInMidFlightIsSettledAsUncertain(t *testing.T) {
	s, books := panicking(t, roundTripper(func(*http.Request) (*http.Response, error) { panic("out of the blue") }))
	answer := askChat(t, s)
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

func TestAnAttemptThatPanicsIsCountedAsFailedAndItsTraceSaysSo(t *testing.T) {
	s, _ := panicking(t, roundTripper(func(*http.Request) (*http.Response, error) { panic("out of the blue") }))
	spans := tracetest.NewSpanRecorder()
	s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer(tracerName)
	askChat(t, s)
	for _, name := range []string{"chat chat", "POST /v1/chat/completions"} {
		at := slices.IndexFunc(spans.Ended(), func(span sdktrace.ReadOnlySpan) bool { return span.Name() == name })
		if at < 0 {
			t.Fatalf("the span %q has not ended; these have: %v", name, spans.Ended())
		}
		span := spans.Ended()[at]
		if span.Status().Code != codes.Error || !slices.Contains(span.Attributes(), attribute.String("error.type", "internal_error")) ||
			!slices.Contains(span.Attributes(), attribute.Bool("modelroute.cost.uncertain", true)) {
			t.Errorf("the span %q has the status %v and the attributes %v", name, span.Status(), span.Attributes())
		}
	}
	page := httptest.NewRecorder()
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`modelroute_proxy_upstream_attempts_total{namespace="ai",result="failed",route="chat",upstream="only"} 1`,
		`modelroute_proxy_upstream_attempts_total{namespace="ai",result="served",route="chat",upstream="only"} 0`,
	} {
		if !strings.Contains(page.Body.String(), line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for _, name := range []string{"gen_ai_client_operation_duration_seconds_count", "gen_ai_server_request_duration_seconds_count"} {
		if !slices.ContainsFunc(strings.Split(page.Body.String(), "\n"), func(line string) bool {
			return strings.HasPrefix(line, name) && strings.Contains(line, `error_type="internal_error"`) && strings.HasSuffix(line, " 1")
		}) {
			t.Errorf("%s does not count an internal error", name)
		}
	}
}
