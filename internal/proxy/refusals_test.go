package proxy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const secretKey = "sk-or-v1-secret"

func TestAnUpstreamsErrorIsReadInEveryUsualShape(t *testing.T) {
	cases := map[string]struct {
		body string
		want upstreamError
	}{
		"OpenRouter's envelope has a number and metadata": {
			body: `{"error":{"code":400,"message":"too long","metadata":{"error_type":"context_length_exceeded"}},"user_id":"u"}`,
			want: upstreamError{found: true, code: "400", kind: "context_length_exceeded", message: "too long"},
		},
		"OpenAI's envelope has words and a parameter": {
			body: `{"error":{"message":"bad","type":"invalid_request_error","param":"stop","code":"invalid_value"}}`,
			want: upstreamError{found: true, code: "invalid_value", kind: "invalid_request_error", message: "bad", param: "stop"},
		},
		"a moderated prompt comes with reasons": {
			body: `{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"],"flagged_input":"…"}}}`,
			want: upstreamError{found: true, code: "403", message: "flagged", moderated: true},
		},
		"an error may be a bare text": {
			body: `{"error":"model is loading"}`,
			want: upstreamError{found: true, message: "model is loading"},
		},
		"older compatible servers have no envelope": {
			body: `{"object":"error","message":"bad","type":"BadRequestError","code":400}`,
			want: upstreamError{found: true, code: "400", kind: "BadRequestError", message: "bad"},
		},
		"a member of another type does not hide the others": {
			body: `{"error":{"code":{"a":1},"message":"bad","metadata":"none"}}`,
			want: upstreamError{found: true, message: "bad"},
		},
		"Mistral's has its list of what is wrong within the message": {
			body: `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted",` +
				`"input":5},{"loc":["body","messages",0],"msg":"Field required"}]},"type":"invalid_request_error","param":null,"code":null}`,
			want: upstreamError{found: true, kind: "invalid_request_error",
				message: "body.top_k: Extra inputs are not permitted; body.messages.0: Field required"},
		},
		"servers made with FastAPI have a detail": {
			body: `{"detail":"Unauthorized"}`,
			want: upstreamError{found: true, message: "Unauthorized"},
		},
		"a page of a load balancer is no error of the upstream": {body: `<html>502</html>`},
		"JSON without an error is none":                         {body: `{"detail":3}`},
		"nothing is none":                                       {body: ``},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got := readUpstreamError([]byte(test.body))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(upstreamError{})); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatClientsAreToldOfAnUpstreamsRefusal(t *testing.T) {
	type told struct {
		Status  int
		Code    string
		NoRetry bool
	}
	cases := map[string]struct {
		status int
		said   upstreamError
		want   told
	}{
		"our key is not the client's fault":                 {status: 401, want: told{502, "upstream_auth", true}},
		"nor is what our key may not do":                    {status: 403, want: told{502, "upstream_auth", true}},
		"a moderated prompt is the client's":                {status: 403, said: upstreamError{moderated: true}, want: told{403, "content_policy_violation", false}},
		"our account's money is not the client's":           {status: 402, want: told{502, "upstream_payment_required", true}},
		"OpenAI says the same with a 429":                   {status: 429, said: upstreamError{code: "insufficient_quota"}, want: told{502, "upstream_payment_required", true}},
		"a rate limit is worth a retry":                     {status: 429, said: upstreamError{code: "429", kind: "rate_limit_exceeded"}, want: told{429, "rate_limit_exceeded", false}},
		"a bad request keeps its word":                      {status: 400, said: upstreamError{code: "context_length_exceeded"}, want: told{400, "context_length_exceeded", false}},
		"a bad request without a word keeps its number":     {status: 422, said: upstreamError{code: "422"}, want: told{422, "422", false}},
		"a model that the upstream lacks is the route's":    {status: 404, want: told{502, "upstream_not_found", true}},
		"a redirect is not followed":                        {status: 302, want: told{502, "upstream_not_found", true}},
		"a timeout is a gateway's timeout":                  {status: 408, want: told{504, "upstream_timeout", false}},
		"an edge's timeout too":                             {status: 524, want: told{504, "upstream_timeout", false}},
		"an overloaded provider has a status of net/http's": {status: 529, want: told{503, "upstream_overloaded", false}},
		"a broken upstream is a bad gateway":                {status: 500, want: told{502, "upstream_error", false}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			refusal := refusalOf(test.status, test.said, secretKey)
			got := told{refusal.Status, refusal.Code, refusal.Header.Get("X-Should-Retry") == "false"}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMessageNeverShowsOurKeyAndIsBounded(t *testing.T) {
	said := upstreamError{found: true, message: "Incorrect API key provided: " + secretKey + ". " + strings.Repeat("é", maxMessageBytes)}
	for _, status := range []int{400, 429, 500, 503} {
		message := refusalOf(status, said, secretKey).Message
		if strings.Contains(message, secretKey) || !strings.Contains(message, redacted) {
			t.Errorf("status %d: the message shows the key: %.100s", status, message)
		}
		if len(message) > maxMessageBytes+100 {
			t.Errorf("status %d: the message has %d bytes", status, len(message))
		}
	}
}

func TestOfAnUpstreamsErrorOnlyKnownWordsAreLogged(t *testing.T) {
	for want, said := range map[string]upstreamError{
		"429 rate_limit_exceeded":               {found: true, code: "429", kind: "rate_limit_exceeded", message: "what people write"},
		"insufficient_quota":                    {found: true, code: "insufficient_quota", kind: "insufficient_quota"},
		"an error without a code that is known": {found: true, code: "what people write", kind: "sk-key", message: "sk-key"},
		"no error in a known shape":             {},
	} {
		if got := said.forLog(); got != want {
			t.Errorf("%+v: got %q, want %q", said, got, want)
		}
	}
}

func TestOnlyAnUpstreamsOwnRefusalIsSurelyFree(t *testing.T) {
	cases := map[string]struct {
		status   int
		ownWords bool
		want     bool
	}{
		"a refused request":                       {400, true, true},
		"a request refused on the way":            {413, false, true},
		"a failure in the upstream's own words":   {502, true, true},
		"a failure that something else reports":   {502, false, false},
		"a timeout that something else reports":   {408, false, false},
		"an edge that gave up on a busy upstream": {524, true, false},
		"a redirect": {307, false, true},
		"an overloaded provider in its own words": {529, true, true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := unbilled(test.status, test.ownWords); got != test.want {
				t.Errorf("unbilled(%d, %t) = %t", test.status, test.ownWords, got)
			}
		})
	}
}
