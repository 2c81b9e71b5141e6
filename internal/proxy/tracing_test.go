package proxy_test

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// The names of the spans.
const (
	requestSpan = "POST /v1/chat/completions"
	attemptSpan = "chat mixtral-8x22b-instruct"
)

func TestARequestIsTracedWithEachOfItsAttempts(t *testing.T) {
	w, traces, finish := traced(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)},
		edit: func(c *routeconfig.Config) {
			second := c.Routes[0].Upstreams[0]
			second.Name = "second"
			c.Routes[0].Upstreams = append(c.Routes[0].Upstreams, second)
			c.Routes[0].MaxAttempts = 2
		},
	})
	attempts := 0
	w.received.answerWith(func(answer http.ResponseWriter, r *http.Request) {
		if attempts++; attempts == 1 {
			answer.Header().Set("X-Request-Id", "upstreams-own")
			answer.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(answer, `{"error":{"message":"busy","code":503}}`)
			return
		}
		w.upstream.ServeHTTP(answer, r)
	})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	request := w.chat(t.Context(), asking("answer=10", streamed))
	request.Header.Set("Traceparent", "00-"+trace+"-"+parent+"-01")
	request.Header.Set("X-Request-Id", "mine-1")
	answer := w.do(request).expectOK(t)
	if got := w.last().header.Get("Traceparent"); got != "" {
		t.Errorf("the upstream is told of the client's trace: %s", got)
	}
	finish()

	requests, tries := traces.named(requestSpan), traces.named(attemptSpan)
	if len(requests) != 1 || len(tries) != 2 {
		t.Fatalf("%d spans of requests and %d of attempts: %v", len(requests), len(tries), traces.spans)
	}
	whole := requests[0]
	if hex.EncodeToString(whole.GetTraceId()) != trace || hex.EncodeToString(whole.GetParentSpanId()) != parent ||
		whole.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the request's span is not the client's child: %v", whole)
	}
	for _, one := range tries {
		if string(one.GetParentSpanId()) != string(whole.GetSpanId()) || one.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
			t.Errorf("an attempt's span is not the request's child: %v", one)
		}
	}
	got := attributesOf(whole.GetAttributes())
	want := map[string]any{
		"http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": int64(200),
		"modelroute.request_id": "mine-1", "modelroute.route": "ai-platform/mixtral-8x22b-instruct", "modelroute.consumer": "search",
		"modelroute.key_id": "k_1", "modelroute.attempts": int64(2), "modelroute.cost.uncertain": false,
		"modelroute.cost.nano_usd": w.routeSpend().Settled,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of the request (-want +got):\n%s", diff)
	}
	failed, served := attributesOf(tries[0].GetAttributes()), attributesOf(tries[1].GetAttributes())
	if failed["error.type"] != "upstream_overloaded" || failed["modelroute.upstream_request_id"] != "upstreams-own" ||
		tries[0].GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("of the attempt that failed: %v", failed)
	}
	if first, _ := served["gen_ai.response.time_to_first_chunk"].(float64); first <= 0 {
		t.Errorf("the first token came after %v", served["gen_ai.response.time_to_first_chunk"])
	}
	prompt, _ := served["gen_ai.usage.input_tokens"].(int64)
	if prompt <= 0 {
		t.Errorf("%d tokens of the prompt", prompt)
	}
	wantServed := map[string]any{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openrouter", "gen_ai.request.model": "mistralai/mixtral-8x22b-instruct",
		"gen_ai.request.stream": true, "gen_ai.response.model": "mistralai/mixtral-8x22b-instruct",
		"gen_ai.response.id": answer.header.Get("X-Generation-Id"), "gen_ai.response.finish_reasons": []string{"stop"},
		"gen_ai.response.time_to_first_chunk": served["gen_ai.response.time_to_first_chunk"], "gen_ai.usage.input_tokens": prompt,
		"gen_ai.usage.output_tokens": int64(10), "gen_ai.usage.cache_read.input_tokens": int64(0),
		"gen_ai.usage.reasoning.output_tokens": int64(0),
		"server.address":                       served["server.address"], "server.port": served["server.port"],
		"modelroute.upstream": "second", "modelroute.cost.nano_usd": w.routeSpend().Settled, "modelroute.cost.uncertain": false,
	}
	if diff := cmp.Diff(wantServed, served); diff != "" {
		t.Errorf("of the attempt that was served (-want +got):\n%s", diff)
	}
	if traces.resource["service.name"] != "modelroute-proxy" || traces.resource["service.instance.id"] != "proxy-0" ||
		traces.resource["deployment.environment.name"] != "test" {
		t.Errorf("the resource is %v", traces.resource)
	}
	if line := w.logged(t); line["traceId"] != trace || line["requestId"] != "mine-1" || line["attempts"] != 2.0 {
		t.Errorf("the log has %v", line)
	}
}

// The first request of a proxy always waits: nothing is drawn yet.
func TestAWaitForMoneyIsTraced(t *testing.T) {
	w, traces, finish := traced(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)}})
	w.ask(asking("", "")).expectOK(t)
	finish()
	waits := traces.named("wait for money")
	if len(waits) == 0 {
		t.Fatalf("no span tells of it: %v", traces.spans)
	}
	if wait := waits[0]; wait.GetEndTimeUnixNano() <= wait.GetStartTimeUnixNano() {
		t.Errorf("it took no time: %v", wait)
	}
}

func TestThePathOfAClientIsNoNameOfASpan(t *testing.T) {
	w, traces, finish := traced(t, setup{})
	w.get(w.url+"/made-up", nil)
	w.get(w.url+"/v1/models/made-up", http.Header{"Authorization": {"Bearer " + consumerKey}})
	w.do(w.request(t.Context(), "MADEUP", w.url+"/v1/models", "", nil))
	finish()
	for _, name := range []string{"GET", "GET /v1/models/{model}", "_OTHER /v1/models"} {
		if len(traces.named(name)) != 1 {
			t.Errorf("no span %q", name)
		}
	}
	if strings.Contains(strings.ToLower(string(traces.raw)), "made") {
		t.Error("a span holds what a client made up")
	}
}

// The parent of a request that is not sampled is not sampled either.
func TestAClientMayHaveItsRequestNotTraced(t *testing.T) {
	w, traces, finish := traced(t, setup{})
	request := w.chat(t.Context(), asking("", ""))
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	w.do(request).expectOK(t)
	finish()
	if len(traces.spans) != 0 {
		t.Errorf("it was: %v", traces.spans)
	}
}
