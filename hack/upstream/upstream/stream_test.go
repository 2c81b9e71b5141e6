package upstream

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStreamHasOpenRoutersShape(t *testing.T) {
	w := start(t, Options{})
	a := w.chat(t, body(entanglement, `"stream":true`))
	e := a.events(t)

	if !strings.HasPrefix(string(a.raw), ": OPENROUTER PROCESSING\n\ndata: {") {
		t.Errorf("want a keep-alive comment before the first event, got %.60q", a.raw)
	}
	if e.comments < 2 {
		t.Errorf("want comments between events too, got %d in all", e.comments)
	}
	if !strings.HasSuffix(string(a.raw), "\n\ndata: [DONE]\n\n") || !e.done {
		t.Errorf("want [DONE] as the last event, got %q", a.raw[len(a.raw)-40:])
	}
	first, last := e.chunks[0], e.chunks[len(e.chunks)-1]
	if first.Choices[0].Delta.Role != "assistant" || first.Object != "chat.completion.chunk" {
		t.Errorf("first chunk: %s", e.payloads[0])
	}
	if len(last.Choices) != 0 || last.Usage == nil || !strings.Contains(e.payloads[len(e.payloads)-1], `"choices":[]`) {
		t.Errorf("last chunk: %s", e.payloads[len(e.payloads)-1])
	}
	if len(e.usages()) != 1 {
		t.Errorf("usage came %d times", len(e.usages()))
	}
	for i, chunk := range e.chunks {
		if chunk.ID != a.header.Get("X-Generation-Id") || chunk.Model != mixtral || chunk.Provider != "Mistral" {
			t.Errorf("chunk %d: %s", i, e.payloads[i])
		}
		if i > 0 && len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Role != "" {
			t.Errorf("chunk %d has a role again", i)
		}
	}
}

func TestStreamSaysWhatJSONSays(t *testing.T) {
	for _, perChunk := range []int{1, 3, 1000} {
		w := start(t, Options{TokensPerChunk: perChunk})
		for _, members := range []string{`"seed":1`, `"seed":1,"n":3`, `"seed":1,"n":2,"max_tokens":7`, `"seed":1,"stop":"teapot"`} {
			c := w.chat(t, body("What is a teapot?", members)).completion(t)
			e := w.chat(t, body("What is a teapot?", members, `"stream":true`)).events(t)
			finishes := map[int]int{}
			for _, chunk := range e.chunks {
				for _, choice := range chunk.Choices {
					if choice.Finish != nil {
						finishes[choice.Index]++
					}
				}
			}
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
			r := w.request(t, http.MethodPost, "/v1/chat/completions", body("What is a teapot?", `"stream":true`, tc.members))
			res, err := http.DefaultClient.Do(r.WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			var seen strings.Builder
			buffer := make([]byte, 512)
			for strings.Count(seen.String(), "data: ") < 5 {
				n, err := res.Body.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				seen.Write(buffer[:n])
			}
			hangUp()
			record := w.onlyRecord(t)
			if !record.Cancelled || !record.Streamed {
				t.Errorf("%s: %+v", tc.reason, record)
			}
			if tc.whole && (record.CompletionTokens != 500 || record.FinishReason != "stop") {
				t.Errorf("%s: %+v", tc.reason, record)
			}
			if !tc.whole && (record.CompletionTokens < 3 || record.CompletionTokens >= 500 || record.CostNanoUSD == 0) {
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
		"CancellableHeaders": {"before the headers, cancellable: nothing came of it", `"stream":true,"user":"fault:delay=1m,cancellable"`, false},
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
