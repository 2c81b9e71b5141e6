package wire

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// endless writes a beginning, and then a piece again and again until nobody listens any more.
func endless(contentType, begin, piece string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, err := io.WriteString(w, begin)
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, piece)
		}
	}
}

// gzipped is an answer that is compressed although nobody asked for that.
func gzipped(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		_, _ = io.WriteString(writer, body)
		_ = writer.Close()
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

// promising has a Content-Length that is not that of the body.
func promising(length int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(length))
		_, _ = io.WriteString(w, body)
	}
}

const completion = `{"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":`

func TestAnAnswerThatCannotBeReadIsAFailureAndCountsAsItsHold(t *testing.T) {
	t.Parallel()
	good := completion + usage(10, 20, "0.00014") + "}"
	stream := delta("hello") + last + usageEvent(usage(10, 20, "0.00014")) + done
	large := strings.Repeat("x", 1<<20)
	cases := map[string]struct {
		answer  http.HandlerFunc
		members string
		status  int
		code    string
	}{
		"a JSON that never ends":      {endless("application/json", `{"x":"`, large), short, 502, "upstream_invalid_response"},
		"an event that never ends":    {endless("text/event-stream", "data: ", large), short + streamed, 502, "upstream_invalid_response"},
		"an error that never ends":    {failing(endless("application/json", `{"error":{"message":"`, large)), short, 502, "upstream_error"},
		"a compressed JSON":           {gzipped("application/json", good), short, 502, "upstream_invalid_response"},
		"a compressed stream":         {gzipped("text/event-stream", stream), short + streamed, 502, "upstream_invalid_response"},
		"a JSON that is cut":          {promising(len(good), good[:len(good)-10]), short, 502, "upstream_disconnected"},
		"a JSON with something after": {answer(good + "{}"), short, 502, "upstream_invalid_response"},
		"a list":                      {answer("[" + good + "]"), short, 502, "upstream_invalid_response"},
	}
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c.AnswerWith(test.answer)
			before := c.Mark()
			c.ask(asking("", test.members)).expectFailure(t, test.status, test.code)
			c.bookedAsUncertain(t, before)
			c.Eventually("the upstream's connection is free", func() bool { return c.Busy() == 0 })
		})
	}
}

// failing answers with the status of a failure.
func failing(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		next(&statusSetter{ResponseWriter: w, status: http.StatusInternalServerError}, r)
	}
}

type statusSetter struct {
	http.ResponseWriter
	status int
}

func (s *statusSetter) Write(content []byte) (int, error) {
	if s.status != 0 {
		s.WriteHeader(s.status)
		s.status = 0
	}
	return s.ResponseWriter.Write(content)
}

func TestAStreamThatNeverEndsIsEndedByItsTime(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{
		Budgets: []*ledgerpb.Budget{world.Plenty("")},
		Edit:    func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].TimeoutSeconds = 1 },
	})
	c.AnswerWith(endless("text/event-stream", "", delta("x")))
	before := c.Mark()
	chunks, ended := c.ask(asking("", short+streamed)).expectOK(t).chunks(t)
	if final := chunks[len(chunks)-1]; ended || !strings.Contains(string(final.Error), "upstream_timeout") {
		t.Errorf("the stream ends with %+v, and [DONE]: %t", final, ended)
	}
	c.bookedAsUncertain(t, before)
}

func TestARedirectIsNotFollowedSinceItCouldLeadOurKeyAstray(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	c.AnswerWith(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	c.ask(asking("", short)).expectFailure(t, http.StatusBadGateway, "upstream_not_found")
	if got := len(c.Received()); got != 1 {
		t.Errorf("the upstream got %d requests", got)
	}
	c.BooksAgree()
}
