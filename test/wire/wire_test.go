// Package wire proves what a client and an upstream can notice of the proxy: a real proxy with its ledger, spoken to over real sockets.
// The tests named TestCase01 and so on are the conformance cases of the wire, in their order; beside each stands what belongs to it.
package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/test/world"
)

// chatPath is where requests go, as OpenAI's clients have it.
const chatPath = "/v1/chat/completions"

// streamed asks for a stream, and withUsage for one with its usage.
const (
	streamed  = `,"stream":true`
	withUsage = streamed + `,"stream_options":{"include_usage":true}`
)

// short is a completion limit that keeps holds small, so that they can be told from what was spent.
const short = `,"max_tokens":200`

// leastHold is what 200 completion tokens cost, in nano-USD, and mostHold adds more prompt than any request of these tests has.
const (
	leastHold = 200 * world.CompletionNano
	mostHold  = leastHold + 1000*world.PromptNano
)

// asking is a short request with further members, which begin with a comma, and a fault of the upstream, or none.
func asking(fault, members string) string {
	content := "Explain quantum entanglement."
	if fault != "" {
		content += " [[fault:" + fault + "]]"
	}
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, world.Model, content, members)
}

// upstreamBody is a body as it goes upstream if nothing of it is changed but the model's name.
func upstreamBody(body string) string {
	return strings.Replace(body, `"`+world.Model+`"`, `"`+world.UpstreamModel+`"`, 1)
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	// broken is why the body could not be read to its end.
	broken error
}

// client speaks to the proxy of a world.
type client struct {
	*world.World
	t   *testing.T
	key string
}

func begin(t *testing.T, setup world.Setup) *client {
	t.Helper()
	return &client{World: world.Begin(t, setup), t: t, key: world.Key}
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) request(ctx context.Context, method, path, body string) *http.Request {
	c.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, strings.NewReader(body))
	c.must(err)
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Content-Type", "application/json")
	return request
}

// send sends a request and reads the whole answer.
func (c *client) send(request *http.Request) reply {
	c.t.Helper()
	response, err := c.Client.Do(request)
	c.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, header: response.Header, body: string(body), broken: err}
}

// ask sends the body of a chat completion.
func (c *client) ask(body string) reply {
	c.t.Helper()
	return c.post(chatPath, body)
}

// post sends a body to a path.
func (c *client) post(path, body string) reply {
	c.t.Helper()
	return c.send(c.request(c.t.Context(), http.MethodPost, path, body))
}

// open sends a body and returns the answer as it begins.
func (c *client) open(ctx context.Context, body string) (*http.Response, *bufio.Reader) {
	c.t.Helper()
	response, err := c.Client.Do(c.request(ctx, http.MethodPost, chatPath, body))
	c.must(err)
	return response, bufio.NewReader(response.Body)
}

func (r reply) expectOK(t *testing.T) reply {
	t.Helper()
	if r.status != http.StatusOK || r.broken != nil {
		t.Fatalf("status %d, %v: %.2000s", r.status, r.broken, r.body)
	}
	return r
}

// failure is an error in OpenAI's shape.
type failure struct {
	Message, Type string
	Param, Code   *string
}

// expectFailure checks status and code of an error, and that it is in OpenAI's shape with all of its four members.
func (r reply) expectFailure(t *testing.T, status int, code string) failure {
	t.Helper()
	var shape struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.body), &shape); err != nil || r.status != status {
		t.Fatalf("status %d, want %d with an error as JSON (%v): %.2000s", r.status, status, err, r.body)
	}
	var found failure
	for name, member := range map[string]any{"message": &found.Message, "type": &found.Type, "param": &found.Param, "code": &found.Code} {
		if raw, present := shape.Error[name]; !present || json.Unmarshal(raw, member) != nil {
			t.Errorf("the member %s of the error: %s", name, r.body)
		}
	}
	if found.Code == nil || *found.Code != code {
		t.Errorf("the error's code is not %s: %s", code, r.body)
	}
	return found
}

// chunk is what tests read of an event.
type chunk struct {
	Object  string
	Choices []struct {
		Index        int
		Delta        struct{ Content string }
		FinishReason *string `json:"finish_reason"`
	}
	Usage json.RawMessage
	Error json.RawMessage
}

// chunks are the data events of a stream, and whether it ends with [DONE]. Nothing but data may be in it, since some clients stumble over
// comments.
func (r reply) chunks(t *testing.T) (chunks []chunk, done bool) {
	t.Helper()
	body := strings.ReplaceAll(strings.ReplaceAll(r.body, "\r\n", "\n"), "\r", "\n")
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		if done {
			t.Fatalf("something follows the end: %q", block)
		}
		data := strings.ReplaceAll(strings.TrimPrefix(block, "data: "), "\ndata: ", "\n")
		if data == block {
			t.Fatalf("a client would have to read something else than data: %q", block)
		}
		if done = data == "[DONE]"; done {
			continue
		}
		var one chunk
		if err := json.Unmarshal([]byte(data), &one); err != nil {
			t.Fatalf("a chunk is no JSON: %v: %.500q", err, data)
		}
		chunks = append(chunks, one)
	}
	return chunks, done
}

// textOf joins the deltas of the first choice.
func textOf(chunks []chunk) string {
	var text strings.Builder
	for _, one := range chunks {
		for _, choice := range one.Choices {
			if choice.Index == 0 {
				text.WriteString(choice.Delta.Content)
			}
		}
	}
	return text.String()
}

// A script is what an upstream sends, written piece by piece, each flushed by itself.
func script(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		control := http.NewResponseController(w)
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			_ = control.Flush()
		}
	}
}

func events(pieces ...string) http.HandlerFunc { return script("text/event-stream", pieces...) }

func answer(body string) http.HandlerFunc { return script("application/json", body) }

// delta is an event with some text, last one with the reason to finish.
func delta(text string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", text)
}

const (
	last = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done = "data: [DONE]\n\n"
)

// usage is a usage with a cost in USD, as OpenRouter reports it.
func usage(prompt, completion int, cost string) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"cost":%s,"is_byok":false}`,
		prompt, completion, prompt+completion, cost)
}

// usageEvent is the event that has the usage of a stream and nothing else.
func usageEvent(usage string) string {
	return `data: {"choices":[],"usage":` + usage + "}\n\n"
}

// booked says what the ledger has of the route since a mark, in nano-USD.
func (c *client) booked(t *testing.T, since world.Mark, want world.Spend) {
	t.Helper()
	if got, _, _ := c.Since(since); got != want {
		t.Errorf("booked %+v, want %+v", got, want)
	}
}

// bookedAsBilled says that the ledger has what the upstream billed for one request.
func (c *client) bookedAsBilled(t *testing.T, since world.Mark) {
	t.Helper()
	if got, billed, requests := c.Since(since); got != (world.Spend{Settled: billed}) || requests != 1 || billed == 0 {
		t.Errorf("booked %+v, while the upstream billed %d for %d requests", got, billed, requests)
	}
}

// bookedAsUncertain says that one request counts as spent with its whole hold.
func (c *client) bookedAsUncertain(t *testing.T, since world.Mark) {
	t.Helper()
	if got, billed, _ := c.Since(since); got.Settled != 0 || got.Uncertain < max(billed, leastHold) || got.Uncertain > mostHold {
		t.Errorf("booked %+v, while the upstream billed %d: want the hold, between %d and %d, as uncertain",
			got, billed, leastHold, mostHold)
	}
}
