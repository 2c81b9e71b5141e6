package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// goldenStream is a stream of two tokens. HEAD stands for what every chunk begins with,
// OPEN for the end of a choice that goes on.
const goldenStream = `: OPENROUTER PROCESSING

data: {HEAD,"choices":[{"index":0,"delta":{"role":"assistant","content":""},OPEN}]}

data: {HEAD,"choices":[{"index":0,"delta":{"content":"Quan"},OPEN}]}

: OPENROUTER PROCESSING

data: {HEAD,"choices":[{"index":0,"delta":{"content":"tum"},OPEN}]}

data: {HEAD,"choices":[{"index":0,"delta":{"content":""},"finish_reason":"length","native_finish_reason":"length","logprobs":null}]}

: OPENROUTER PROCESSING

data: {HEAD,"choices":[],"usage":{"prompt_tokens":26,"completion_tokens":2,"total_tokens":28,"cost":0.000064,"is_byok":false,DETAILS}}

data: [DONE]

`

func TestStreamHasOpenRoutersShape(t *testing.T) {
	w := start(t, Options{CommentEvery: 2})
	a := w.chat(t, body(entanglement, streaming, `"max_tokens":2`))
	id := a.header.Get("X-Generation-Id")
	head := regexp.MustCompile(`"id":"` + id + `","object":"chat.completion.chunk","created":\d+,"model":"` + mixtral + `",` +
		`"provider":"Mistral","system_fingerprint":"fp_modelroute_1","service_tier":"default"`)
	details := regexp.MustCompile(`"prompt_tokens_details":.*\d}}}`)
	got := details.ReplaceAllString(head.ReplaceAllString(string(a.raw), "HEAD"), "DETAILS}}")
	got = strings.ReplaceAll(got, `"finish_reason":null,"native_finish_reason":null,"logprobs":null`, "OPEN")
	if diff := cmp.Diff(goldenStream, got); diff != "" {
		t.Error(diff)
	}
	if a.header.Get("Content-Type") != "text/event-stream" || id == "" {
		t.Errorf("headers %v", a.header)
	}
}

func TestStreamSaysWhatJSONSays(t *testing.T) {
	for _, perChunk := range []int{1, 3, 1000} {
		w := start(t, Options{TokensPerChunk: perChunk})
		for _, members := range []string{`"seed":1`, `"seed":1,"n":3`, `"seed":1,"n":2,"max_tokens":7`, `"seed":1,"stop":"teapot"`} {
			c := w.chat(t, body("What is a teapot?", members)).completion(t)
			e := w.chat(t, body("What is a teapot?", members, streaming)).events(t)
			finishes := e.finishes()
			for i, choice := range c.Choices {
				if diff := cmp.Diff(*choice.Message.Content, e.text(i)); diff != "" {
					t.Errorf("%s, choice %d: %s", members, i, diff)
				}
				if finishes[i] != 1 {
					t.Errorf("%s, choice %d ends %d times", members, i, finishes[i])
				}
			}
			if diff := cmp.Diff(c.Usage, &e.usages()[0]); diff != "" {
				t.Errorf("%s: %s", members, diff)
			}
		}
	}
}

// finishes counts the finish reasons of each choice.
func (e events) finishes() map[int]int {
	out := map[int]int{}
	for _, chunk := range e.chunks {
		for _, choice := range chunk.Choices {
			if choice.Finish != nil {
				out[choice.Index]++
			}
		}
	}
	return out
}

// readEvents reads a stream until so many data events have begun.
func readEvents(t *testing.T, stream io.Reader, count int) {
	t.Helper()
	lines := bufio.NewReader(stream)
	for count > 0 {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "data: ") {
			count--
		}
	}
}

func TestHangingUp(t *testing.T) {
	cases := map[string]struct {
		reason  string
		members string
		whole   bool
	}{
		"Mistral":     {"Mistral cannot be cancelled: everything is billed", `"user":"fault:answer=500,chunk-delay=5ms"`, true},
		"OpenAI":      {"OpenAI stops: what was sent is billed", `"model":"` + gpt + `","user":"fault:answer=500,chunk-delay=5ms"`, false},
		"Cancellable": {"the fault makes any provider stop", `"user":"fault:cancellable,answer=500,chunk-delay=5ms"`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			r := w.request(t, http.MethodPost, "/v1/chat/completions", body("What is a teapot?", streaming, tc.members))
			res, err := http.DefaultClient.Do(r.WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			readEvents(t, res.Body, 5)
			hangUp()
			record := w.onlyRecord(t)
			whole := record.CompletionTokens == 500 && record.FinishReason == "stop"
			partly := record.CompletionTokens >= 3 && record.CompletionTokens < 500 && record.FinishReason == ""
			if !record.Cancelled || !record.Streamed || whole != tc.whole || partly == tc.whole || record.CostNanoUSD == 0 {
				t.Errorf("%s: %+v", tc.reason, record)
			}
		})
	}
}

func TestHangingUpBeforeTheFirstToken(t *testing.T) {
	cases := map[string]struct {
		reason  string
		members string
		billed  bool
	}{
		"Headers":            {"before the headers, not cancellable", `"stream":true,"user":"fault:delay=1m"`, true},
		"JSON":               {"an answer without a stream is never cancellable", `"user":"fault:delay=1m,cancellable"`, true},
		"CancellableHeaders": {"cancellable before the headers", `"stream":true,"user":"fault:delay=1m,cancellable"`, false},
		"Byte":               {"before the first byte, not cancellable", `"stream":true,"user":"fault:first-byte-delay=1m"`, true},
		"CancellableByte":    {"before the first byte, cancellable", `"stream":true,"user":"fault:first-byte-delay=1m,cancellable"`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			conn := w.send(t, body("What is a teapot?", tc.members))
			if strings.Contains(tc.members, "first-byte") {
				if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			r := w.onlyRecord(t)
			if !r.Cancelled || (r.CostNanoUSD > 0) != tc.billed || (r.CompletionTokens > 0) != tc.billed {
				t.Errorf("%s: %+v", tc.reason, r)
			}
		})
	}
}

// deaf takes a stream until the first comment after a data event, as a caller that hangs up between the two.
type deaf struct {
	*httptest.ResponseRecorder
}

func (d deaf) Write(raw []byte) (int, error) {
	if d.Body.Len() > len(keepAlive) && string(raw) == keepAlive {
		return 0, syscall.EPIPE
	}
	return d.ResponseRecorder.Write(raw)
}

func TestHangingUpAfterAnEventPaysForIt(t *testing.T) {
	w := start(t, Options{CommentEvery: 4})
	r := w.request(t, http.MethodPost, "/v1/chat/completions", body(entanglement, streaming, `"user":"fault:cancellable"`))
	caller := deaf{httptest.NewRecorder()}
	w.ServeHTTP(caller, r)
	got := answer{raw: caller.Body.Bytes(), header: caller.Header()}.events(t)
	if r := w.onlyRecord(t); r.CompletionTokens != 3 || CountTokens(got.text(0)) != 3 || !r.Cancelled {
		t.Errorf("%q was sent, booked %+v", got.text(0), r)
	}
}

func TestInsuranceDoesNotCoverAWebSearch(t *testing.T) {
	w := start(t, Options{})
	w.chat(t, body("a", streaming, `"web_search_options":{},"user":"fault:error-chunk=3"`))
	if r := w.onlyRecord(t); r.CostNanoUSD != webSearchNano || r.FinishReason != finishError {
		t.Errorf("booked %+v", r)
	}
}

// send writes a chat request on a connection of its own and does not wait for the answer.
func (w world) send(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := w.request(t, http.MethodPost, "/v1/chat/completions", text).Write(conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestHangingUpWhileTokensTakeTheirTime(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options Options
		stream  bool
	}{
		"JSON":       {"an answer in one piece waits for all of its tokens", Options{TokenDelay: time.Hour}, false},
		"FirstToken": {"a stream waits for its first token", Options{FirstTokenDelay: time.Hour}, true},
		"NextToken":  {"and for each of the others", Options{TokenDelay: time.Hour}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, tc.options)
			conn := w.send(t, body(entanglement, fmt.Sprintf(`"stream":%v`, tc.stream)))
			if tc.stream {
				if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
					t.Fatal(err)
				}
			}
			if n := w.Billed(Filter{}).Count; n != 0 {
				t.Errorf("%s: booked before its time", tc.reason)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if r := w.onlyRecord(t); !r.Cancelled || r.CompletionTokens != 62 || r.CostNanoUSD == 0 {
				t.Errorf("%s: %+v", tc.reason, r)
			}
		})
	}
}

// TestSplitTearsWrites looks at the chunks of the transfer encoding, which a client's reader would join again.
func TestSplitTearsWrites(t *testing.T) {
	w := start(t, Options{})
	conn := bufio.NewReader(w.send(t, body("What is a teapot?", `"stream":true,"max_tokens":9,"user":"fault:split"`)))
	for {
		line, err := conn.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
	}
	sizes := map[int64]int{}
	for {
		line, err := conn.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			break
		}
		sizes[size]++
		if _, err := conn.Discard(int(size) + 2); err != nil {
			t.Fatal(err)
		}
	}
	if got := slices.Sorted(maps.Keys(sizes)); !cmp.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("writes had sizes %v, want 1, 2 and 3 bytes", got)
	}
}
