package wire

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/test/world"
)

// The books of a failed request: nothing was billed, the bill is known, or it is not.
const (
	free      = "free"
	billed    = "billed"
	uncertain = "uncertain"
)

func (c *client) bookedAs(t *testing.T, how string, since world.Mark) {
	t.Helper()
	switch how {
	case free:
		c.booked(t, since, world.Spend{})
	case billed:
		c.bookedAsBilled(t, since)
	default:
		c.bookedAsUncertain(t, since)
	}
}

func TestCase09AFailureBeforeTheFirstByteIsAnErrorWithAStatus(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault, members string
		status         int
		code           string
		books          string
	}{
		"an error in the first chunk":             {"error-chunk=0", streamed, 502, "upstream_error", free},
		"the same with no choices":                {"error-chunk=0,empty-choices", streamed, 502, "upstream_error", free},
		"the same with a word as the code":        {"error-chunk=0,string-code", streamed, 502, "upstream_error", free},
		"a status of 200 with nothing but error":  {"error-200", "", 502, "upstream_error", free},
		"the same to a request for a stream":      {"error-200", streamed, 502, "upstream_error", free},
		"a word as the code of that":              {"error-200,string-code", "", 502, "upstream_error", free},
		"an error with a status, before a stream": {"status=503", streamed, 503, "upstream_overloaded", free},
		"an end before the first event":           {"cut=0", streamed, 502, "upstream_disconnected", uncertain},
		"no answer at all":                        {"lost", "", 502, "upstream_disconnected", uncertain},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			got := c.ask(asking(test.fault, short+test.members))
			got.expectFailure(t, test.status, test.code)
			if kind := got.header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("content type %q", kind)
			}
			c.bookedAs(t, test.books, before)
		})
	}
}

func TestCase09AFailureInMidStreamIsAnErrorChunkAndNeverACleanEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault string
		// code is in the error of the last chunk.
		code  string
		books string
	}{
		"an error":                           {"error-chunk=3", "502", uncertain},
		"an error without choices":           {"error-chunk=3,empty-choices", "502", uncertain},
		"an error with a word as its code":   {"error-chunk=3,string-code", "provider_unavailable", uncertain},
		"a broken connection":                {"cut=3", "upstream_disconnected", uncertain},
		"a broken connection, usage before":  {"cut=3,usage=first", "upstream_disconnected", uncertain},
		"a clean end without [DONE]":         {"no-done", "upstream_disconnected", billed},
		"the same with lines of CR LF":       {"no-done,crlf", "upstream_disconnected", billed},
		"a broken connection, torn to bytes": {"cut=3,split", "upstream_disconnected", uncertain},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			got := c.ask(asking(test.fault, short+streamed)).expectOK(t)
			chunks, done := got.chunks(t)
			last := chunks[len(chunks)-1]
			if done || !strings.Contains(string(last.Error), test.code) {
				t.Errorf("ended well: %t, and the last chunk has the error %s", done, last.Error)
			}
			if len(chunks) < 2 {
				t.Errorf("what came before the failure is lost: %s", got.body)
			}
			c.bookedAs(t, test.books, before)
		})
	}
}

func TestCase09AnEventThatIsCutInItsMiddleIsNotPassedOn(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	c.AnswerWith(events(delta("a"), `data: {"choices":[{"index":0,"delta":{"content":"h`))
	chunks, done := c.ask(asking("", short+streamed)).expectOK(t).chunks(t)
	if done || len(chunks) != 2 || !strings.Contains(string(chunks[1].Error), "upstream_disconnected") {
		t.Errorf("done: %t, chunks: %+v", done, chunks)
	}
	c.bookedAsUncertain(t, world.Mark{})
}

func TestCase09AnErrorBesideAnAnswerKeepsTheAnswerAndItsBill(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const body = `{"choices":[{"index":0,"finish_reason":"error","error":{"code":502,"message":"provider failed"},"message":{"content":"half"}}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":2,"cost":0.000018}}`
	for name, test := range map[string]struct{ said, want string }{
		"as it is":        {"provider failed", "provider failed"},
		"without our key": {"not for " + world.UpstreamKey, "not for [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			c.AnswerWith(answer(strings.Replace(body, "provider failed", test.said, 1)))
			want := strings.Replace(body, "provider failed", test.want, 1)
			if got := c.ask(asking("", "")).expectOK(t); got.body != want {
				t.Errorf("the answer is %s", got.body)
			}
			c.booked(t, before, world.Spend{Settled: 18_000})
		})
	}
}

func TestCase15WhatIsWrongWithOurOwnKeyIsNotShownAsTheClientsFault(t *testing.T) {
	t.Parallel()
	quoting := func(status int, code, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Www-Authenticate", "Bearer")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":{"code":"`+code+`","message":"`+message+` `+world.UpstreamKey+`"}}`)
		}
	}
	cases := map[string]struct {
		fault string
		code  string
		with  http.HandlerFunc
	}{
		"our key is refused":               {"status=401", "upstream_auth", nil},
		"our key may not":                  {"status=403", "upstream_auth", nil},
		"our account is empty":             {"status=402", "upstream_payment_required", nil},
		"our account is empty, as a 429":   {"", "upstream_payment_required", quoting(429, "insufficient_quota", "You exceeded your current quota.")},
		"a message that quotes our key":    {"", "upstream_auth", quoting(401, "invalid_api_key", "Incorrect API key provided:")},
		"the upstream lacks the model":     {"status=404", "upstream_not_found", nil},
		"the upstream's page is elsewhere": {"", "upstream_not_found", quoting(302, "moved", "Moved.")},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		for how, members := range map[string]string{"plain": "", "streamed": streamed} {
			t.Run(name+", "+how, func(t *testing.T) {
				before := c.Mark()
				c.AnswerWith(test.with)
				got := c.ask(asking(test.fault, members))
				got.expectFailure(t, http.StatusBadGateway, test.code)
				if got.header.Get("X-Should-Retry") != "false" || got.header.Get("Www-Authenticate") != "" {
					t.Errorf("SDKs would try again, or ask for another key: %v", got.header)
				}
				if strings.Contains(got.body, world.UpstreamKey) {
					t.Errorf("our key is shown: %s", got.body)
				}
				c.booked(t, before, world.Spend{})
			})
		}
	}
}

// ours are errors inside of an answer that are about our key or our account, with the code that the client gets instead.
var ours = map[string]struct{ failure, code string }{
	"our account is empty, by number":   {`{"code":402,"message":"Insufficient credits."}`, "upstream_payment_required"},
	"our account is empty, by its word": {`{"code":"insufficient_quota","message":"You exceeded your current quota."}`, "upstream_payment_required"},
	"our account is empty, by its type": {
		`{"code":"x","message":"Add credits.","metadata":{"error_type":"payment_required"}}`, "upstream_payment_required",
	},
	"our account is empty, as an availability": {
		`{"error_type":"payment_required","http_status":402,"message":"x","availability":{"retryable":false}}`, "upstream_payment_required",
	},
	"our key is refused, by number":   {`{"code":401,"message":"User not found."}`, "upstream_auth"},
	"our key is refused, by its word": {`{"code":"invalid_api_key","message":"Incorrect API key: ` + world.UpstreamKey + `"}`, "upstream_auth"},
	"our key may not":                 {`{"code":"x","type":"permission_denied","message":"Not allowed."}`, "upstream_auth"},
}

func TestCase15AnErrorInsideAGoodStatusThatIsAboutOurKeyIsNotTheClientsEither(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	for name, test := range ours {
		inside := `{"error":` + test.failure + `}`
		for how, upstream := range map[string]http.HandlerFunc{"JSON": answer(inside), "a stream": events("data: " + inside + "\n\n")} {
			t.Run(name+", in "+how, func(t *testing.T) {
				c.AnswerWith(upstream)
				c.ask(asking("", streamed)).expectFailure(t, http.StatusBadGateway, test.code)
			})
		}
	}
	c.BooksAgree()
}

func TestCase15AnErrorInMidStreamThatIsAboutOurKeyIsNotTheClientsEither(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range ours {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			inside := `{"id":"x","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":` + test.failure + `}`
			c.AnswerWith(events(delta("a"), "data: "+inside+"\n\n", done))
			got := c.ask(asking("", short+streamed)).expectOK(t)
			chunks, ended := got.chunks(t)
			if failure := string(chunks[len(chunks)-1].Error); ended || len(chunks) != 2 || !strings.Contains(failure, test.code) {
				t.Errorf("ended well: %t, and the last of %d chunks has the error %s", ended, len(chunks), failure)
			}
			c.bookedAsUncertain(t, before)
		})
	}
}

func TestCase15OurKeyIsTakenOutOfAnErrorInMidStream(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const failure = `{"choices":[],"error":{"code":500,"message":"The provider failed for ` + world.UpstreamKey + `."}}`
	c.AnswerWith(events(delta("a"), "data: "+failure+"\n\n"))
	got := c.ask(asking("", streamed)).expectOK(t)
	if strings.Contains(got.body, world.UpstreamKey) || !strings.Contains(got.body, "The provider failed for ") {
		t.Errorf("the stream is %s", got.body)
	}
}

func TestEveryStatusOfAnUpstreamBecomesOneThatTellsClientsWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	cases := map[int]struct {
		status int
		// final is true if trying again is of no use, which only statuses that SDKs would try again have to say.
		final bool
	}{
		400: {400, false}, 401: {502, true}, 402: {502, true}, 403: {502, true}, 404: {502, true}, 405: {502, true}, 408: {504, false},
		412: {412, false}, 413: {413, false}, 422: {422, false}, 429: {429, false},
		500: {502, false}, 502: {502, false}, 503: {503, false}, 504: {504, false}, 524: {504, false}, 529: {503, false},
	}
	c := begin(t, world.Setup{})
	for status, want := range cases {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			c.AnswerWith(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Should-Retry", "true") // It is said to us, whose key it was, and need not hold for the client.
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"error":{"message":"It failed."}}`)
			})
			got := c.ask(asking("", ""))
			if got.status != want.status || (got.header.Get("X-Should-Retry") == "false") != want.final || got.header.Get("Retry-After") != "3" {
				t.Errorf("%d becomes %d with %v", status, got.status, got.header)
			}
		})
	}
}

func TestWhatTheClientItselfDidWrongIsToldAsTheUpstreamSaysIt(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const body = `{"error":{"message":"temperature is too high.","type":"invalid_request_error","param":"temperature","code":"decimal_above_max_value"}}`
	c.AnswerWith(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, body)
	})
	found := c.ask(asking("", "")).expectFailure(t, http.StatusBadRequest, "decimal_above_max_value")
	if found.Param == nil || *found.Param != "temperature" || found.Message != "temperature is too high." {
		t.Errorf("the error is %+v", found)
	}
	c.booked(t, world.Mark{}, world.Spend{})
}
