package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// logged waits for the access log's line of the last request, and returns it.
func (w *world) logged(t *testing.T) map[string]any {
	t.Helper()
	var found map[string]any
	w.eventually("the request is logged", func() bool {
		for text := range strings.Lines(w.logs.String()) {
			var line map[string]any
			w.must(json.Unmarshal([]byte(text), &line))
			if line["msg"] == "Request" {
				found = line
			}
		}
		return found != nil
	})
	return found
}

func TestARequestIsLoggedInOneLine(t *testing.T) {
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000)},
		edit:    func(c *routeconfig.Config) { c.Routes[0].Consumers[0].Team = "platform" },
	})
	answer := w.ask(asking("answer=10", streamed)).expectOK(t)
	spent := w.routeSpend().Settled
	line := w.logged(t)
	for _, measured := range []string{"durationMs", "firstTokenMs", "queuedMs", "promptTokens"} {
		if value, _ := line[measured].(float64); value <= 0 {
			t.Errorf("%s is %v", measured, line[measured])
		}
		delete(line, measured)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "Request", "requestId": answer.header.Get("X-Request-Id"), "operation": "chat", "status": 200.0,
		"route": "ai-platform/mixtral-8x22b-instruct", "consumer": "search", "team": "platform", "key": "k_1",
		"model": "mixtral-8x22b-instruct", "stream": true, "upstream": "openrouter", "attempts": 1.0,
		"responseModel": "mistralai/mixtral-8x22b-instruct", "generation": answer.header.Get("X-Generation-Id"),
		"cachedTokens": 0.0, "completionTokens": 10.0, "reasoningTokens": 0.0,
		"costUSD": money.FromNano(spent).String(), "costNanoUSD": float64(spent), "uncertain": false,
	}
	if id := answer.header.Get("X-Upstream-Request-Id"); id != "" {
		want["upstreamRequestId"] = id
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("the line (-want +got):\n%s", diff)
	}
}

func TestARefusedRequestIsLoggedWithItsCode(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 0)}})
	w.ask(asking("", ""))
	line := w.logged(t)
	if line["code"] != "budget_exhausted" || line["status"] != 402.0 || line["attempts"] != 0.0 || line["costUSD"] != nil {
		t.Errorf("the line is %v", line)
	}
}

func TestARequestIsNamedByItsClientOrByUs(t *testing.T) {
	w := begin(t, setup{})
	for reason, test := range map[string]struct {
		sent string
		kept bool
	}{
		"a sane id":                      {"Req_1.a-B", true},
		"the longest":                    {strings.Repeat("x", 128), true},
		"none":                           {"", false},
		"too long":                       {strings.Repeat("x", 129), false},
		"with white space":               {"a b", false},
		"with what could be markup":      {"<b>", false},
		"the key itself":                 {consumerKey, false},
		"something with the key in it":   {"id-" + consumerKey, false},
		"with letters that are no ASCII": {"jürgen", false},
	} {
		t.Run(reason, func(t *testing.T) {
			for path, status := range map[string]int{"/v1/models": 200, "/v1/nothing": 404} {
				request := w.request(t.Context(), http.MethodGet, w.url+path, "", http.Header{"Authorization": {"Bearer " + consumerKey}})
				request.Header.Set("X-Request-Id", test.sent)
				answer := w.do(request)
				got := answer.header.Values("X-Request-Id")
				if len(got) != 1 || answer.status != status || (got[0] == test.sent) != test.kept || got[0] == "" {
					t.Errorf("%s: status %d, %v", path, answer.status, got)
				}
			}
		})
	}
	if first, second := w.get(w.url, nil).header, w.get(w.url, nil).header; first.Get("X-Request-Id") == second.Get("X-Request-Id") {
		t.Error("two requests have one id")
	}
}

func TestOurRequestIDStaysHere(t *testing.T) {
	w := begin(t, setup{})
	request := w.chat(t.Context(), asking("", ""))
	request.Header.Set("X-Request-Id", "mine-1")
	w.do(request).expectOK(t)
	if got := w.last().header.Values("X-Request-Id"); len(got) != 0 {
		t.Errorf("the upstream got %v", got)
	}
}

// Secrets are everywhere that clients and upstreams can put them. None may come out where operators look.
func TestNothingThatOperatorsSeeHoldsContentOrKeys(t *testing.T) {
	const content = "what-people-write"
	secrets := []string{consumerKey, upstreamKey, content}
	w, traces, finish := traced(t, setup{budgets: []*ledgerpb.Budget{monthly("", 1_000_000_000_000)}})
	for _, secret := range secrets {
		spread := func(r *http.Request) *http.Request {
			for _, name := range []string{"X-Request-Id", "User-Agent", "Traceparent", "Tracestate", "Baggage", "Referer", "X-Custom"} {
				r.Header.Set(name, secret+" "+secret)
			}
			r.URL.RawQuery = "q=" + secret
			return r
		}
		ask := func(members string) {
			w.do(spread(w.chat(t.Context(), fmt.Sprintf(
				`{"model":"mixtral-8x22b-instruct","user":%q,"messages":[{"role":"user","content":%q}]%s}`, secret, secret, members))))
		}
		for _, kind := range []string{"application/json", "text/event-stream", secret} {
			for _, body := range []string{
				`{"error":{"code":"` + secret + `","type":"` + secret + `","param":"` + secret + `","message":"` + secret + `"}}`,
				`{"id":"` + secret + `","model":"` + secret + ` x","choices":[{"finish_reason":"` + secret + ` x","message":{"content":"` + secret + `"}}],` +
					`"usage":{"prompt_tokens":"` + secret + `"}}`,
				`{"choices":[{"message":{"content":"` + secret + `"}}],"usage":"` + secret + `"}`,
				`data: {"error":"` + secret + `"}` + "\n\n", `data: ` + secret + "\n\ndata: [DONE]\n\n", secret, "",
			} {
				for _, status := range []int{200, 400, 429, 500} {
					w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
						for _, name := range []string{"X-Request-Id", "X-Generation-Id", "X-Custom"} {
							answer.Header().Set(name, secret+" "+secret)
						}
						answer.Header().Set("Content-Type", kind)
						answer.WriteHeader(status)
						_, _ = fmt.Fprint(answer, body)
					})
					ask("")
					ask(streamed)
				}
			}
		}
		w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) { brokenAnswer(answer, secret) })
		ask("")
		ask(`,"` + secret + `":1`)
		w.do(spread(w.chat(t.Context(), `{"model":"`+secret+`"}`)))
		w.do(spread(w.chat(t.Context(), secret)))
		w.do(spread(w.request(t.Context(), http.MethodPost, w.url+"/v1/"+secret, secret, http.Header{"X-Api-Key": {secret}})))
		w.do(spread(w.request(t.Context(), http.MethodGet, w.url+"/v1/models/"+secret, "", http.Header{"Authorization": {"Bearer " + consumerKey}})))
	}
	metrics := w.metrics()
	finish()
	for where, told := range map[string]string{"the log": w.logs.String(), "the metrics": metrics, "the traces": string(traces.raw)} {
		if told == "" {
			t.Errorf("%s say nothing at all", where)
		}
		for _, secret := range secrets {
			if at := strings.Index(told, secret); at >= 0 {
				t.Errorf("%s hold %s: %.300q", where, secret, told[max(at-200, 0):])
			}
		}
	}
}

// brokenAnswer is no HTTP.
func brokenAnswer(answer http.ResponseWriter, secret string) {
	connection, _, err := http.NewResponseController(answer).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(connection, "HTTP/1.1 %s\r\n%s\r\n\r\n", secret, secret)
	_ = connection.Close()
}
