package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// mark is where the books stood before a request.
type mark struct {
	spend  spend
	billed int64
}

func (w *world) mark() mark {
	w.t.Helper()
	return mark{spend: w.routeSpend(), billed: w.upstream.Billed(upstream.Filter{}).TotalNanoUSD}
}

// since is what the ledger and the upstream have booked since the mark.
func (w *world) since(before mark) (spend, int64) {
	w.t.Helper()
	now := w.mark()
	return spend{Settled: now.spend.Settled - before.spend.Settled, Uncertain: now.spend.Uncertain - before.spend.Uncertain}, now.billed - before.billed
}

// exactlyBooked says that the ledger has what the upstream billed.
func (w *world) exactlyBooked(t *testing.T, before mark) {
	t.Helper()
	if got, billed := w.since(before); got != (spend{Settled: billed}) {
		t.Errorf("booked %+v, while the upstream billed %d", got, billed)
	}
}

// uncertainlyBooked says that one request counts as spent with its whole hold, which covers what the upstream billed.
func (w *world) uncertainlyBooked(t *testing.T, before mark) {
	t.Helper()
	got, billed := w.since(before)
	if got.Settled != 0 || got.Uncertain < billed || got.Uncertain < leastHold || got.Uncertain > mostHold {
		t.Errorf("booked %+v, while the upstream billed %d: want the hold, between %d and %d, as uncertain",
			got, billed, leastHold, mostHold)
	}
}

// short is a completion limit that keeps holds small, so that they can be told from what was spent.
const short = `,"max_tokens":200`

const (
	// leastHold is what 200 completion tokens cost, in nano-USD, and mostHold adds more prompt than any request of these tests has.
	leastHold = 200 * 6000
	mostHold  = leastHold + 1000*2000
)

// ended is how a failed request ended for its client.
type ended struct {
	// status and code are of an error answer; code is empty if the answer is none.
	status int
	code   string
	// inStream is the code of an error event.
	inStream string
}

func TestAFailureOfTheUpstreamIsToldAndBookedForWhatItIs(t *testing.T) {
	const (
		exact     = "exact"
		uncertain = "uncertain"
	)
	cases := map[string]struct {
		body  string
		ended ended
		books string
	}{
		"a bad request":                      {asking("status=400", short), ended{400, "invalid_request", ""}, exact},
		"a bad request with words":           {asking("status=400,string-code", short), ended{400, "invalid_request", ""}, exact},
		"our key is refused":                 {asking("status=401", short), ended{502, "upstream_auth", ""}, exact},
		"our account is empty":               {asking("status=402", short), ended{502, "upstream_payment_required", ""}, exact},
		"our key may not":                    {asking("status=403", short), ended{502, "upstream_auth", ""}, exact},
		"the upstream lacks the model":       {asking("status=404", short), ended{502, "upstream_not_found", ""}, exact},
		"a rate limit":                       {asking("status=429", short), ended{429, "rate_limit_exceeded", ""}, exact},
		"a broken upstream":                  {asking("status=500", short), ended{502, "upstream_error", ""}, exact},
		"an overloaded upstream":             {asking("status=503", short), ended{503, "upstream_overloaded", ""}, exact},
		"an overloaded provider":             {asking("status=529", short), ended{503, "upstream_overloaded", ""}, exact},
		"a slow provider":                    {asking("status=504", short), ended{504, "upstream_timeout", ""}, exact},
		"an error before a stream":           {asking("status=503", short+streamed), ended{503, "upstream_overloaded", ""}, exact},
		"an edge that gave up":               {asking("status=524", short), ended{504, "upstream_timeout", ""}, uncertain},
		"a connection reset":                 {asking("reset", short), ended{502, "upstream_disconnected", ""}, uncertain},
		"an answer lost":                     {asking("lost", short), ended{502, "upstream_disconnected", ""}, uncertain},
		"an answer without usage":            {asking("missing-usage", short), ended{200, "", ""}, uncertain},
		"an error with a good status":        {asking("error-200", short), ended{502, "upstream_error", ""}, exact},
		"the same for a stream":              {asking("error-200", short+streamed), ended{502, "upstream_error", ""}, exact},
		"a stream without usage":             {asking("missing-usage", short+streamed), ended{200, "", ""}, uncertain},
		"a stream cut at once":               {asking("cut=0", short+streamed), ended{502, "upstream_disconnected", ""}, uncertain},
		"a stream cut in the middle":         {asking("cut=3", short+streamed), ended{200, "", "upstream_disconnected"}, uncertain},
		"a cut stream with a preview":        {asking("cut=3,usage=first", short+streamed), ended{200, "", "upstream_disconnected"}, uncertain},
		"a cut stream with a running count":  {asking("cut=3,usage=every", short+streamed), ended{200, "", "upstream_disconnected"}, uncertain},
		"a stream without its end":           {asking("no-done", short+streamed), ended{200, "", "upstream_disconnected"}, exact},
		"a stream that begins with an error": {asking("error-chunk=0", short+streamed), ended{502, "upstream_error", ""}, exact},
		"the same without choices":           {asking("error-chunk=0,empty-choices", short+streamed), ended{502, "upstream_error", ""}, exact},
		"an error in the middle":             {asking("error-chunk=3", short+streamed), ended{200, "", "502"}, uncertain},
		"the same with words":                {asking("error-chunk=3,string-code", short+streamed), ended{200, "", "provider_unavailable"}, uncertain},
	}
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			mark := w.mark()
			answer := w.ask(test.body)
			if answer.broken != nil {
				t.Errorf("the answer breaks off: %v", answer.broken)
			}
			test.ended.check(t, answer)
			if test.books == exact {
				w.exactlyBooked(t, mark)
			} else {
				w.uncertainlyBooked(t, mark)
			}
		})
	}
}

func (e ended) check(t *testing.T, answer reply) {
	t.Helper()
	if e.code != "" {
		answer.expectFailure(t, e.status, e.code)
		return
	}
	answer.expectOK(t)
	if e.inStream == "" {
		return
	}
	chunks, done := answer.chunks(t)
	last := string(chunks[len(chunks)-1].Error)
	if done || !strings.Contains(last, e.inStream) {
		t.Errorf("the stream ends well: %t, or its last chunk has not the error %s: %s", done, e.inStream, last)
	}
}

func TestAStreamThatIsCutAfterItsUsageIsBookedExactly(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)}})
	const members = short + streamed + `,"seed":7,"stream_options":{"include_usage":true}`
	whole, _ := w.ask(asking("answer=5", members)).expectOK(t).chunks(t)
	answer := w.ask(asking(fmt.Sprintf("answer=5,cut=%d", len(whole)), members)).expectOK(t)
	chunks, done := answer.chunks(t)
	if done || len(chunks) != len(whole)+1 || len(chunks[len(chunks)-1].Error) == 0 {
		t.Errorf("the cut stream has %d chunks instead of %d and an error: %s", len(chunks), len(whole), answer.body)
	}
	w.booksAgree()
}

func TestARateLimitOfTheUpstreamSaysWhenToTryAgain(t *testing.T) {
	w := begin(t, setup{})
	answer := w.ask(asking("status=429,retry-after=7", short))
	answer.expectFailure(t, http.StatusTooManyRequests, "rate_limit_exceeded")
	if got := answer.header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After is %q", got)
	}
	w.booksAgree()
}

func TestWhatIsNoAnswerOfAnUpstream(t *testing.T) {
	cases := map[string]struct {
		status            int
		contentType, body string
		members           string
		ended             ended
	}{
		"a page with a good status":          {200, "text/html", "<html>hello</html>", short, ended{502, "upstream_invalid_response", ""}},
		"the same for a stream":              {200, "text/html", "<html>hello</html>", short + streamed, ended{502, "upstream_invalid_response", ""}},
		"nothing at all":                     {200, "application/json", "", short, ended{502, "upstream_invalid_response", ""}},
		"a failure of something on the way":  {502, "text/html", "<html>bad gateway</html>", short, ended{502, "upstream_error", ""}},
		"a stream that nobody asked for":     {200, "text/event-stream", "data: {\"choices\":[]}\n\ndata: [DONE]\n\n", short, ended{502, "upstream_invalid_response", ""}},
		"a stream without a single event":    {200, "text/event-stream", "", short + streamed, ended{502, "upstream_disconnected", ""}},
		"a stream that is cut within a line": {200, "text/event-stream", "data: {\"choi", short + streamed, ended{502, "upstream_disconnected", ""}},
	}
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			mark := w.mark()
			w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
				answer.Header().Set("Content-Type", test.contentType)
				answer.WriteHeader(test.status)
				_, _ = io.WriteString(answer, test.body)
			})
			test.ended.check(t, w.ask(asking("", test.members)))
			w.uncertainlyBooked(t, mark)
		})
	}
}

func TestAnUpstreamThatCannotBeReachedCostsNothing(t *testing.T) {
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)},
		// Nothing listens on port 1.
		edit: func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].BaseURL = "http://127.0.0.1:1/v1" },
	})
	w.ask(asking("", short)).expectFailure(t, http.StatusBadGateway, "upstream_unreachable")
	w.booksAgree()
}

func TestAnUpstreamThatTakesTooLongIsGivenUpAndCountsAsSpent(t *testing.T) {
	cases := map[string]struct {
		body  string
		ended ended
	}{
		"before its header":   {asking("delay=1m", short), ended{504, "upstream_timeout", ""}},
		"within its stream":   {asking("answer=100,chunk-delay=100ms", short+streamed), ended{200, "", "upstream_timeout"}},
		"before its 1st byte": {asking("first-byte-delay=1m", short+streamed), ended{504, "upstream_timeout", ""}},
	}
	w := begin(t, setup{
		budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)},
		edit:    func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].TimeoutSeconds = 1 },
	})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			mark := w.mark()
			test.ended.check(t, w.ask(test.body))
			w.uncertainlyBooked(t, mark)
		})
	}
}
