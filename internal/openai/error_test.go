package openai

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/money"
)

func TestErrorsHaveOpenAIsShape(t *testing.T) {
	denial := Denial{
		Budget: "monthly", Limit: money.FromNano(100_000_000_000), Remaining: money.FromNano(1_500_000), Needed: money.FromNano(2_000_001),
		ResetsIn: 90*time.Minute + time.Millisecond,
	}
	endless := denial
	endless.ResetsIn = 0
	ofTeam := endless
	ofTeam.Owner = "team search"
	const fits = `Budget \"monthly\" of 100.00 USD has 0.0015 USD left, and this request can cost up to 0.002000001 USD.`
	tests := map[string]struct {
		err    *Error
		status int
		body   string
		header map[string]string
	}{
		"InvalidRequest": {
			InvalidRequest("messages[0].content", "Images of <%d> MB", 5), 400,
			`{"error":{"message":"Images of <5> MB","type":"invalid_request_error","param":"messages[0].content","code":null}}`, nil,
		},
		"Unauthorized": {
			Unauthorized("No key."), 401,
			`{"error":{"message":"No key.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
			map[string]string{"Www-Authenticate": "Bearer"},
		},
		"NotFound": {
			NotFound("No %s here.", "/x"), 404,
			`{"error":{"message":"No /x here.","type":"invalid_request_error","param":null,"code":"unknown_url"}}`, nil,
		},
		"ModelNotFound": {
			ModelNotFound("gpt"), 404,
			`{"error":{"message":"The model \"gpt\" is not served here. GET /v1/models lists the models that are."` +
				`,"type":"invalid_request_error","param":"model","code":"model_not_found"}}`, nil,
		},
		"MethodNotAllowed": {
			MethodNotAllowed("POST"), 405,
			`{"error":{"message":"This path takes POST only.","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}`,
			map[string]string{"Allow": "POST"},
		},
		"TooLarge": {
			TooLarge(1024), 413,
			`{"error":{"message":"The body is larger than 1024 bytes.","type":"invalid_request_error","param":null,"code":"body_too_large"}}`, nil,
		},
		"BudgetExhausted": {
			BudgetExhausted(denial), 402,
			`{"error":{"message":"` + fits + ` Ask for fewer completion tokens, or wait: the budget is renewed in 1h30m1s."` +
				`,"type":"insufficient_quota","param":null,"code":"budget_exhausted"}}`,
			map[string]string{"X-Should-Retry": "false"},
		},
		"BudgetOfATeamExhausted": {
			BudgetExhausted(ofTeam), 402,
			`{"error":{"message":"Team search's b` + fits[1:] + ` Ask for fewer completion tokens, or for a larger budget."` +
				`,"type":"insufficient_quota","param":null,"code":"budget_exhausted"}}`,
			map[string]string{"X-Should-Retry": "false"},
		},
		"BudgetExhaustedForGood": {
			BudgetExhausted(endless), 402,
			`{"error":{"message":"` + fits + ` Ask for fewer completion tokens, or for a larger budget."` +
				`,"type":"insufficient_quota","param":null,"code":"budget_exhausted"}}`,
			map[string]string{"X-Should-Retry": "false"},
		},
		"BudgetHeld": {
			BudgetHeld(denial, 1100*time.Millisecond), 429,
			`{"error":{"message":"` + fits + ` Requests that are under way hold the rest and may give some of it back. Retry shortly."` +
				`,"type":"rate_limit_error","param":null,"code":"budget_held"}}`,
			map[string]string{"Retry-After": "2"},
		},
		"BudgetHeldForAMoment": {
			BudgetHeld(denial, 0), 429,
			`{"error":{"message":"` + fits + ` Requests that are under way hold the rest and may give some of it back. Retry shortly."` +
				`,"type":"rate_limit_error","param":null,"code":"budget_held"}}`,
			map[string]string{"Retry-After": "1"},
		},
		"LedgerUnavailable": {
			LedgerUnavailable(), 503,
			`{"error":{"message":"The budget of this request cannot be checked at the moment, so it was not sent. ` +
				`Nothing was charged. Retry shortly.","type":"server_error","param":null,"code":"ledger_unavailable"}}`,
			map[string]string{"Retry-After": "2"},
		},
		"RouteSuspended": {
			RouteSuspended("chat"), 503,
			`{"error":{"message":"The model \"chat\" is suspended here until whoever runs this endpoint resumes it. ` +
				`Nothing was sent or charged.","type":"server_error","param":"model","code":"route_suspended"}}`,
			map[string]string{"X-Should-Retry": "false"},
		},
		"UpstreamServer": {
			UpstreamError(502, "upstream_unreachable", "Gone."), 502,
			`{"error":{"message":"Gone.","type":"server_error","param":null,"code":"upstream_unreachable"}}`, nil,
		},
		"UpstreamLimit": {
			UpstreamError(429, "", "Slow."), 429, `{"error":{"message":"Slow.","type":"rate_limit_error","param":null,"code":null}}`, nil,
		},
		"UpstreamRefusal": {
			UpstreamError(400, "context_length_exceeded", "Long."), 400,
			`{"error":{"message":"Long.","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}`, nil,
		},
		"Internal": {
			Internal(), 500,
			`{"error":{"message":"The request failed inside of the proxy. Retry, and tell its operators if it persists."` +
				`,"type":"server_error","param":null,"code":"internal_error"}}`, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			Dialect{Operation: Chat}.Write(recorder, test.err)
			if recorder.Code != test.status {
				t.Errorf("status is %d, want %d", recorder.Code, test.status)
			}
			if diff := cmp.Diff(test.body, recorder.Body.String()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			want := http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(test.body))}}
			for name, value := range test.header {
				want.Set(name, value)
			}
			if diff := cmp.Diff(want, recorder.Header()); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARateLimitThatRoutesShareSaysWhoseItIs(t *testing.T) {
	for unit, want := range map[string]string{
		"requests": `Key ai/bot's rate limit "all" of 5 requests is used up. Retry in 1s.`,
		"tokens":   `Key ai/bot's rate limit "all" of 5 tokens has 0 left, and this request can take up to 3. Retry in 1s.`,
	} {
		limit := RateLimit{Name: "all", Owner: "key ai/bot", Unit: unit, Limit: 5, ResetsIn: time.Second}
		if got := RateLimitExceeded(limit, 3, time.Second).Message; got != want {
			t.Errorf("the client is told %q, want %q", got, want)
		}
	}
}

func TestErrorsHaveOpenRoutersNumbersForItsClients(t *testing.T) {
	dialect := Dialect{Operation: Chat, NumericCodes: true}
	for want, err := range map[string]*Error{
		`{"error":{"message":"Long.","type":"invalid_request_error","param":null,"code":400,` +
			`"metadata":{"error_type":"context_length_exceeded"}}}`: UpstreamError(400, "context_length_exceeded", "Long."),
		`{"error":{"message":"Bad.","type":"invalid_request_error","param":"n","code":400,` +
			`"metadata":{"error_type":"invalid_request_error"}}}`: InvalidRequest("n", "Bad."),
	} {
		recorder := httptest.NewRecorder()
		dialect.Write(recorder, err)
		if diff := cmp.Diff(want, recorder.Body.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	event := only(t, string(dialect.Event(UpstreamError(502, "upstream_cut", "Gone."))))
	want := `{"error":{"message":"Gone.","type":"server_error","param":null,"code":502,` +
		`"metadata":{"http_status":502,"error_type":"upstream_cut"}},"id":"","object":"chat.completion.chunk","created":0,"model":"",` +
		`"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`
	if diff := cmp.Diff(want, string(event.Data)); diff != "" {
		t.Errorf("in a stream (-want +got):\n%s", diff)
	}
}

func TestAnErrorsTextNamesItsStatusAndCode(t *testing.T) {
	for want, err := range map[string]error{
		"400 invalid_request_error: no": InvalidRequest("x", "no"),
		"401 invalid_api_key: no":       Unauthorized("no"),
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestAnErrorInAStreamIsAnErrorToEveryClient(t *testing.T) {
	raw := Dialect{Operation: Chat}.Event(UpstreamError(502, "upstream_cut", "The upstream went away\nin mid-stream."))
	event := only(t, string(raw))
	// OpenAI's SDK for Python raises on a truthy error; others parse a chunk and look at its finish reason.
	want := `{"error":{"message":"The upstream went away\nin mid-stream.","type":"server_error","param":null,"code":"upstream_cut",` +
		`"metadata":{"http_status":502,"error_type":"server_error"}},` +
		`"id":"","object":"chat.completion.chunk","created":0,"model":"",` +
		`"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`
	if diff := cmp.Diff(want, string(event.Data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	reported := &ReportedError{Code: "upstream_cut", Type: "server_error", Message: "The upstream went away\nin mid-stream."}
	if diff := cmp.Diff(metered{Reported: reported, Finished: true}, meter(t, string(raw))); diff != "" {
		t.Errorf("our own meter (-want +got):\n%s", diff)
	}
}
