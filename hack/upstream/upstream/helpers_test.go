package upstream

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	mixtral = "mistralai/mixtral-8x22b-instruct"
	gpt     = "openai/gpt-4o"
	anyKey  = "sk-or-v1-0123456789"
)

// world is an upstream behind a real listener, and a client of it.
type world struct {
	*Server
	url string
}

func start(t *testing.T, options Options) world {
	t.Helper()
	s := New(options)
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	return world{s, listener.URL}
}

// body is a chat request of one user message, with more members of the object.
func body(prompt string, members ...string) string {
	content, err := json.Marshal(prompt)
	if err != nil {
		panic(err)
	}
	all := append([]string{`"messages":[{"role":"user","content":` + string(content) + `}]`}, members...)
	text := strings.Join(all, ",")
	if !strings.Contains(text, `"model"`) && !strings.Contains(text, `"models"`) {
		text = `"model":"` + mixtral + `",` + text
	}
	return "{" + text + "}"
}

type answer struct {
	status int
	header http.Header
	raw    []byte
	err    error // of reading the body
}

func (w world) request(t *testing.T, method, path, text string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+anyKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (w world) do(t *testing.T, method, path, text string, headers ...string) answer {
	t.Helper()
	res, err := http.DefaultClient.Do(w.request(t, method, path, text, headers...))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, raw, err}
}

func (w world) chat(t *testing.T, text string, headers ...string) answer {
	t.Helper()
	return w.do(t, http.MethodPost, "/api/v1/chat/completions", text, headers...)
}

func (w world) get(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return w.do(t, http.MethodGet, path, "", headers...)
}

// decode reads JSON with the tests' own types, which know nothing of the server's.
func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	return out
}

type wireUsage struct {
	Prompt        int         `json:"prompt_tokens"`
	Completion    int         `json:"completion_tokens"`
	Total         int         `json:"total_tokens"`
	Cost          json.Number `json:"cost"`
	BYOK          *bool       `json:"is_byok"`
	PromptDetails struct {
		Cached  int `json:"cached_tokens"`
		Written int `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	Details *struct {
		Inference json.Number `json:"upstream_inference_cost"`
	} `json:"cost_details"`
}

type wireCall struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type wireMessage struct {
	Role    string     `json:"role"`
	Content *string    `json:"content"`
	Calls   []wireCall `json:"tool_calls"`
}

type wireChoice struct {
	Index   int         `json:"index"`
	Finish  *string     `json:"finish_reason"`
	Native  *string     `json:"native_finish_reason"`
	Message wireMessage `json:"message"`
	Delta   wireMessage `json:"delta"`
	Error   *wireError  `json:"error"`
}

type wireError struct {
	Code     any    `json:"code"`
	Message  string `json:"message"`
	Metadata struct {
		Type     string `json:"error_type"`
		Provider string `json:"provider_name"`
	} `json:"metadata"`
	Availability *struct {
		Code string `json:"code"`
	} `json:"availability"`
}

type wireCompletion struct {
	ID       string       `json:"id"`
	Object   string       `json:"object"`
	Model    string       `json:"model"`
	Provider string       `json:"provider"`
	Tier     string       `json:"service_tier"`
	Choices  []wireChoice `json:"choices"`
	Usage    *wireUsage   `json:"usage"`
	Error    *wireError   `json:"error"`
}

func (a answer) completion(t *testing.T) wireCompletion {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.raw)
	}
	return decode[wireCompletion](t, a.raw)
}

func (a answer) problem(t *testing.T) wireError {
	t.Helper()
	return *decode[wireCompletion](t, a.raw).Error
}

func (c wireCompletion) text() string {
	if len(c.Choices) == 0 || c.Choices[0].Message.Content == nil {
		return ""
	}
	return *c.Choices[0].Message.Content
}

// events reads a stream by the rules of server-sent events: blocks end with an empty line, other fields are ignored.
type events struct {
	chunks   []wireCompletion
	payloads []string
	comments int
	done     bool
}

func (a answer) events(t *testing.T) events {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type %q with %s", got, a.raw)
	}
	var out events
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(a.raw))
	for block := range strings.SplitSeq(text, "\n\n") {
		var data []string
		for line := range strings.SplitSeq(block, "\n") {
			if payload, ok := strings.CutPrefix(line, "data: "); ok {
				data = append(data, payload)
			} else if strings.HasPrefix(line, ":") {
				out.comments++
			}
		}
		switch payload := strings.Join(data, "\n"); payload {
		case "":
		case "[DONE]":
			out.done = true
		default:
			out.payloads = append(out.payloads, payload)
			out.chunks = append(out.chunks, decode[wireCompletion](t, []byte(payload)))
		}
	}
	return out
}

// text joins the content of one choice.
func (e events) text(index int) string {
	var out strings.Builder
	for _, chunk := range e.chunks {
		for _, c := range chunk.Choices {
			if c.Index == index && c.Delta.Content != nil {
				out.WriteString(*c.Delta.Content)
			}
		}
	}
	return out.String()
}

func (e events) usages() []wireUsage {
	var out []wireUsage
	for _, chunk := range e.chunks {
		if chunk.Usage != nil {
			out = append(out, *chunk.Usage)
		}
	}
	return out
}

// onlyRecord is the one record in the books, waiting for it a while.
func (w world) onlyRecord(t *testing.T) Record {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s := w.Billed(Filter{})
		if len(s.Requests) == 1 {
			return s.Requests[0]
		}
		if time.Now().After(deadline) || len(s.Requests) > 1 {
			t.Fatalf("want one record in the books, have %+v", s.Requests)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// startTLS serves the same upstream by HTTPS.
func startTLS(t *testing.T, s *Server) world {
	t.Helper()
	listener := httptest.NewTLSServer(s)
	t.Cleanup(listener.Close)
	return world{s, listener.URL}
}

// client trusts the certificates of every listener in these tests. It keeps no connection, and so never sends a request twice.
func (w world) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return &http.Client{Transport: transport}
}
