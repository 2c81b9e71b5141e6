package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// counts says that the metrics have series, given by how they begin.
func (w *world) counts(series ...string) {
	w.t.Helper()
	found := w.metrics()
	for _, want := range series {
		if !strings.Contains(found, "\n"+want) {
			w.t.Errorf("not counted: %s\n%s", want, found)
		}
	}
}

// seriesOf are the names and labels of all that is counted, without the values.
func (w *world) seriesOf() map[string]bool {
	w.t.Helper()
	series := map[string]bool{}
	for line := range strings.Lines(w.metrics()) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "#") {
			series[line[:at]] = true
		}
	}
	return series
}

func TestRequestsAreCountedByTheConventionsForGenerativeAI(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)}})
	w.ask(asking("answer=10", "")).expectOK(t)
	w.ask(asking("answer=10", streamed)).expectOK(t)
	w.ask(asking("status=503", ""))
	w.settled()
	const of = `{gen_ai_operation_name="chat",gen_ai_provider_name="openrouter",gen_ai_request_model="mixtral-8x22b-instruct",` +
		`gen_ai_response_model="mistralai/mixtral-8x22b-instruct",`
	const at = `namespace="ai-platform",route="mixtral-8x22b-instruct",server_address="127.0.0.1"`
	const here = `namespace="ai-platform",route="mixtral-8x22b-instruct",upstream="openrouter"`
	w.counts(
		"gen_ai_server_request_duration_seconds_count{error_type=\"\","+of[1:]+here+"} 2",
		"gen_ai_server_request_duration_seconds_count{error_type=\"upstream_overloaded\",gen_ai_operation_name=\"chat\"",
		"gen_ai_server_time_to_first_token_seconds_count"+of+here+"} 1",
		"gen_ai_server_time_per_output_token_seconds_count"+of+here+"} 1",
		"gen_ai_client_operation_duration_seconds_count{error_type=\"\","+of[1:]+at,
		"gen_ai_client_operation_duration_seconds_bucket{error_type=\"\","+of[1:]+at,
		"gen_ai_client_token_usage_sum"+of+`gen_ai_token_type="output",`+at,
		`modelroute_proxy_requests_total{consumer="search",namespace="ai-platform",route="mixtral-8x22b-instruct",status_class="2xx"} 2`,
		`modelroute_proxy_requests_total{consumer="search",namespace="ai-platform",route="mixtral-8x22b-instruct",status_class="5xx"} 1`,
		`modelroute_proxy_tokens_total{consumer="search",kind="completion",namespace="ai-platform",route="mixtral-8x22b-instruct"} 20`,
		`modelroute_proxy_spend_nano_usd_total{certainty="exact",consumer="search",namespace="ai-platform",route="mixtral-8x22b-instruct",`+
			`source="reported",upstream="openrouter"}`,
		`modelroute_proxy_upstream_attempts_total{namespace="ai-platform",result="served",route="mixtral-8x22b-instruct",upstream="openrouter"} 2`,
		`modelroute_proxy_upstream_attempts_total{namespace="ai-platform",result="failed",route="mixtral-8x22b-instruct",upstream="openrouter"} 1`,
		`modelroute_proxy_queue_seconds_count{namespace="ai-platform",route="mixtral-8x22b-instruct"}`,
		"modelroute_proxy_queue_requests 0",
	)
}

func TestWhatIsHeldIsShownWhileItIsHeld(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)}})
	asked, answer := make(chan struct{}), make(chan struct{})
	w.received.answerWith(func(upstream http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		w.upstream.ServeHTTP(upstream, r)
	})
	var client sync.WaitGroup
	client.Go(func() { w.ask(asking("", `,"max_tokens":10`)).expectOK(t) })
	<-asked
	w.counts(`modelroute_proxy_holds_open{namespace="ai-platform",route="mixtral-8x22b-instruct"} 1`)
	if !regexp.MustCompile(`modelroute_proxy_holds_nano_usd\{[^}]*\} [1-9]`).MatchString(w.metrics()) {
		t.Error("the amount is not shown")
	}
	close(answer)
	client.Wait()
	w.settled()
	if strings.Contains(w.metrics(), "modelroute_proxy_holds_open{") {
		t.Error("it is still shown as held")
	}
}

// Clients and upstreams can make up any number of names. None of them becomes a label.
func TestNothingThatOthersSendMakesASeries(t *testing.T) {
	w := begin(t, setup{})
	names := func(i int) string { return fmt.Sprintf("made-up-%d", i) }
	client := func(i int) {
		if i%100 == 0 {
			w.do(w.request(t.Context(), http.MethodPost, w.url+"/v1/"+names(i), "{}", nil))
		}
		request := w.chat(t.Context(), `{"model":"`+names(i)+`","messages":[{"role":"user","content":"x"}]}`)
		request.Header.Set("X-Request-Id", names(i))
		w.do(request)
	}
	upstream := func(i int) {
		w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
			answer.Header().Set("Content-Type", "application/json")
			answer.Header().Set("X-Request-Id", names(i))
			if i%2 == 0 {
				answer.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprintf(answer, `{"error":{"code":%q,"type":%q,"message":"no"}}`, names(i), names(i))
				return
			}
			_, _ = fmt.Fprintf(answer, `{"model":%q,"choices":[{"finish_reason":%q}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
				names(i), names(i))
		})
		w.ask(asking("", ""))
	}
	client(0)
	upstream(0)
	upstream(1)
	w.settled() // A request is counted once its answer is out.
	before := w.seriesOf()
	var clients sync.WaitGroup
	for first := range 20 {
		clients.Go(func() {
			for i := range 500 {
				client(first*500 + i)
			}
		})
	}
	clients.Wait()
	for i := range 100 {
		upstream(i)
	}
	w.settled()
	after := w.seriesOf()
	for series := range after {
		if !before[series] && !strings.HasPrefix(series, "go_") && !strings.HasPrefix(series, "process_") || strings.Contains(series, "made-up") {
			t.Errorf("a new series: %s", series)
		}
	}
	w.counts(`modelroute_proxy_requests_total{consumer="_other",namespace="_other",route="_other",status_class="4xx"} 10102`)
}

func TestTheSeriesOfARouteThatIsGoneGo(t *testing.T) {
	w := begin(t, setup{})
	w.ask(asking("", "")).expectOK(t)
	w.settled()
	renamed := w.config
	renamed.Routes = append([]routeconfig.Route(nil), w.config.Routes...)
	renamed.Routes[0].Name = "another"
	w.ledger.put(t, renamed.Routes[0], nil)
	hash := w.deliver(renamed)
	w.eventually("the new configuration is served", func() bool { return strings.Contains(w.metrics(), hash) })
	found := w.metrics()
	if strings.Contains(found, `route="mixtral-8x22b-instruct"`) {
		t.Errorf("still there:\n%s", found)
	}
	w.counts(`modelroute_proxy_requests_total{consumer="search",namespace="ai-platform",route="another",status_class="2xx"} 0`)
}

func TestAnErrorInMidStreamIsNoSuccess(t *testing.T) {
	w := begin(t, setup{})
	w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(answer, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"+
			"data: {\"error\":{\"code\":\"server_error\",\"message\":\"no\"},\"choices\":[]}\n\ndata: [DONE]\n\n")
	})
	w.ask(asking("", streamed)).expectOK(t)
	w.settled()
	w.counts(`gen_ai_client_operation_duration_seconds_count{error_type="_OTHER"`, `gen_ai_server_request_duration_seconds_count{error_type="_OTHER"`)
}
