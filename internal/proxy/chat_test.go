package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// completion is what tests read of an answer.
type completion struct {
	Object  string
	Choices []struct {
		Index        int
		Message      json.RawMessage
		Delta        struct{ Content string }
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	}
	Error json.RawMessage
}

// chunks are the data events of a stream; the last one must be [DONE] unless the stream is said to break.
func (r reply) chunks(t *testing.T) (chunks []completion, done bool) {
	t.Helper()
	body := strings.ReplaceAll(r.body, "\r\n", "\n")
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, found := strings.CutPrefix(block, "data: ")
		if !found {
			t.Fatalf("a client would have to read something else than data: %q", block)
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		if done {
			t.Fatalf("something follows the end: %q", block)
		}
		var chunk completion
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("a chunk is no JSON: %v: %.500q", err, data)
		}
		chunks = append(chunks, chunk)
	}
	return chunks, done
}

// textOf joins the deltas of the first choice.
func textOf(chunks []completion) string {
	var text strings.Builder
	for _, chunk := range chunks {
		for _, choice := range chunk.Choices {
			if choice.Index == 0 {
				text.WriteString(choice.Delta.Content)
			}
		}
	}
	return text.String()
}

func TestTheModelPagesRequestIsAnswered(t *testing.T) {
	w := begin(t, setup{})
	answer := w.ask(pageRequest).expectOK(t)
	var got completion
	w.must(json.Unmarshal([]byte(answer.body), &got))
	if got.Object != "chat.completion" || len(got.Choices) != 1 || got.Usage == nil {
		t.Fatalf("this is no completion: %s", answer.body)
	}
	want := strings.Replace(pageRequest, `"mixtral-8x22b-instruct"`, `"mistralai/mixtral-8x22b-instruct"`, 1)
	if diff := cmp.Diff(want, w.last().body); diff != "" {
		t.Errorf("only the model may change on the way upstream (-want +got):\n%s", diff)
	}
	if answer.header.Get("X-Generation-Id") == "" || answer.header.Get("Content-Type") != "application/json" {
		t.Errorf("header: %v", answer.header)
	}
	w.booksAgree()
}

func TestTheModelPagesRequestIsStreamed(t *testing.T) {
	w := begin(t, setup{})
	body := strings.Replace(pageRequest, "{\n", "{\n    \"stream\": true,\n", 1)
	answer := w.ask(body).expectOK(t)
	chunks, done := answer.chunks(t)
	if !done || textOf(chunks) == "" {
		t.Fatalf("the stream lacks its text or its end: %s", answer.body)
	}
	for _, chunk := range chunks {
		if chunk.Usage != nil {
			t.Errorf("the client did not ask for usage and got it: %s", answer.body)
		}
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
		if got := answer.header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(w.last().body, `"include_usage":true`) {
		t.Errorf("usage was not asked for: %s", w.last().body)
	}
	w.booksAgree()
}

func TestUsageIsShownToWhoAskedForIt(t *testing.T) {
	w := begin(t, setup{})
	answer := w.ask(asking("", streamed+`,"stream_options":{"include_usage":true}`)).expectOK(t)
	chunks, _ := answer.chunks(t)
	if last := chunks[len(chunks)-1]; last.Usage == nil || last.Usage.CompletionTokens == 0 {
		t.Errorf("the last chunk has no usage: %s", answer.body)
	}
	w.booksAgree()
}

func TestTheBooksAgreeWithTheUpstreamsToTheNano(t *testing.T) {
	const tools = `,"tools":[{"type":"function","function":{"name":"look_up","parameters":{"type":"object","properties":{"word":{"type":"string"}},` +
		`"required":["word"]}}}],"tool_choice":"required"`
	cases := map[string]string{
		"a plain answer":                       asking("", ""),
		"three choices":                        asking("", `,"n":3`),
		"a stop sequence":                      asking("", `,"stop":["e"]`),
		"a completion limit":                   asking("", `,"max_tokens":7`),
		"a tool call":                          asking("", tools),
		"a JSON object":                        asking("", `,"response_format":{"type":"json_object"}`),
		"the alias of the model":               strings.Replace(asking("", ""), "mixtral-8x22b", "mistralai/mixtral-8x22b", 1),
		"a cost with an exponent":              asking("exponent", ""),
		"a fee on top of the customer's key":   asking("byok", ""),
		"no cost, so that the prices count":    asking("no-cost", ""),
		"more tokens than the limit":           asking("overrun=50", `,"max_tokens":7`),
		"a stream":                             asking("", streamed),
		"a stream of three choices":            asking("", streamed+`,"n":3`),
		"a stream of a tool call":              asking("", streamed+tools),
		"a stream with usage at its beginning": asking("usage=first", streamed),
		"a stream with usage on every chunk":   asking("usage=every", streamed),
		"a stream with usage beside a choice":  asking("usage=with-choices", streamed),
		"a stream with usage null elsewhere":   asking("usage=null-others", streamed),
		"a stream with lines of CR LF":         asking("crlf", streamed),
		"a stream in pieces of three bytes":    asking("split", streamed),
		"a stream of CR LF in pieces":          asking("split,crlf", streamed),
		"a stream with retry lines":            asking("retry-lines", streamed),
		"a stream with a chunk of a megabyte":  asking("big=1048576", streamed),
		"a stream that ends without a newline": asking("no-trailing-newline", streamed),
		"a stream without a cost":              asking("no-cost", streamed),
		"a stream with a fee":                  asking("byok", streamed),
		"a stream that was answered as JSON":   asking("json", streamed),
	}
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000), monthly(consumerName, 100_000_000_000)}})
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			before := w.upstream.Billed(upstream.Filter{})
			answer := w.ask(body).expectOK(t)
			if strings.Contains(body, streamed) {
				chunks, done := answer.chunks(t)
				if !done || len(chunks) == 0 {
					t.Errorf("the stream lacks its chunks or its end: %.2000s", answer.body)
				}
			}
			if billed := w.upstream.Billed(upstream.Filter{}); billed.Count != before.Count+1 || billed.TotalNanoUSD <= before.TotalNanoUSD {
				t.Errorf("the upstream did not bill this one request: %d requests, %d nano-USD", billed.Count, billed.TotalNanoUSD)
			}
			w.booksAgree()
		})
	}
}

func TestAJSONAnswerToAStreamedRequestIsAStreamForTheClient(t *testing.T) {
	w := begin(t, setup{})
	answer := w.ask(asking("json", streamed)).expectOK(t)
	if got := answer.header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	chunks, done := answer.chunks(t)
	if !done || textOf(chunks) == "" || chunks[0].Object != "chat.completion.chunk" {
		t.Errorf("this is no stream that an SDK can read: %s", answer.body)
	}
}

func TestWhatTheUpstreamSaysArrivesByteForByte(t *testing.T) {
	w := begin(t, setup{})
	const usage = `{"prompt_tokens":3,"completion_tokens":2,"cost":0.000018,"is_byok":false}`
	const plain = "{ \"id\":\"gen-1\",\n\t\"choices\":[{\"message\":{\"content\":\"h\\u00e9\",\"reasoning_details\":[{\"x\":1e3}]},\"finish_reason\":\"stop\"," +
		"\"native_finish_reason\":\"eos\"}] , \"provider\":\"Mistral\", \"usage\": " + usage + " }\n"
	const first = `data: {"id":"gen-1","obfuscation":"aX","choices":[{"index":0,"delta":{"content":"h\u00e9"},"finish_reason":null}],"provider":"Mistral"}` + "\n\n"
	const second = "event: message\nid: 7\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\ndata: \"finish_reason\":\"stop\"}]}\r\n\r\n"
	const end = `data: {"choices":[],"usage":` + usage + "}\n\ndata: [DONE]\n\n"
	cases := map[string]struct {
		contentType, body, members, want string
	}{
		"JSON":                         {"application/json; charset=utf-8", plain, "", plain},
		"a stream with usage":          {"text/event-stream", first + second + end, streamed + `,"stream_options":{"include_usage":true}`, first + second + end},
		"a stream without usage":       {"text/event-stream; charset=utf-8", first + second + end, streamed, first + second + "data: [DONE]\n\n"},
		"a stream without comments":    {"text/event-stream", ": OPENROUTER PROCESSING\n\n" + first + ": x\n\nretry: 1\n\n" + end, streamed, first + "data: [DONE]\n\n"},
		"a stream with null for usage": {"text/event-stream", strings.Replace(first, `"provider"`, `"usage":null,"provider"`, 1) + end, streamed, first + "data: [DONE]\n\n"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w.received.answerWith(func(answer http.ResponseWriter, _ *http.Request) {
				answer.Header().Set("Content-Type", test.contentType)
				_, _ = io.WriteString(answer, test.body)
			})
			answer := w.ask(asking("", test.members)).expectOK(t)
			if diff := cmp.Diff(test.want, answer.body); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
	if got, want := w.routeSpend(), (spend{Settled: int64(len(cases)) * 18_000}); got != want {
		t.Errorf("spend %+v, want %+v", got, want)
	}
}

func TestDefaultsAreSetWhereTheClientSentNothing(t *testing.T) {
	w := begin(t, setup{edit: func(config *routeconfig.Config) {
		config.Routes[0].Defaults = []routeconfig.Parameter{
			{Name: "max_completion_tokens", Value: json.RawMessage(`9`)},
			{Name: "temperature", Value: json.RawMessage(`0.70`)},
		}
	}})
	const both = `,"max_completion_tokens":9,"temperature":0.70`
	cases := map[string]struct{ members, want string }{
		"nothing sent":                        {"", both},
		"a value sent":                        {`,"temperature":0`, `,"temperature":0,"max_completion_tokens":9`},
		"a null is a choice":                  {`,"temperature":null`, `,"temperature":null,"max_completion_tokens":9`},
		"the other name of the limit is sent": {`,"max_tokens":5`, `,"max_tokens":5,"temperature":0.70`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w.ask(asking("", test.members)).expectOK(t)
			want := strings.Replace(asking("", test.want), `"mixtral`, `"mistralai/mixtral`, 1)
			if diff := cmp.Diff(want, w.last().body); diff != "" {
				t.Errorf("body upstream (-want +got):\n%s", diff)
			}
		})
	}
	w.booksAgree()
}

func TestUnderABudgetThatDeniesACompletionLimitIsAlwaysSent(t *testing.T) {
	w := begin(t, setup{budgets: []*ledgerpb.Budget{monthly("", 100_000_000_000)}})
	const long = 1 << 20
	cases := map[string]struct{ members, want string }{
		"none sent":              {"", `,"max_completion_tokens":16384`},
		"null sent":              {`,"max_completion_tokens":null`, `,"max_completion_tokens":16384`},
		"a small one stays":      {`,"max_tokens":5`, `,"max_tokens":5`},
		"a large one is clamped": {fmt.Sprintf(`,"max_tokens":%d`, long), `,"max_tokens":16384`},
		"two are clamped each":   {fmt.Sprintf(`,"max_tokens":5,"max_completion_tokens":%d`, long), `,"max_tokens":5,"max_completion_tokens":16384`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w.ask(asking("", test.members)).expectOK(t)
			want := strings.Replace(asking("", test.want), `"mixtral`, `"mistralai/mixtral`, 1)
			if diff := cmp.Diff(want, w.last().body); diff != "" {
				t.Errorf("body upstream (-want +got):\n%s", diff)
			}
		})
	}
	w.booksAgree()
}

func TestAnUpstreamThatReportsNoCostIsPaidByItsPrices(t *testing.T) {
	for _, provider := range []routeconfig.Provider{routeconfig.OpenAI, routeconfig.OpenAICompatible} {
		t.Run(string(provider), func(t *testing.T) {
			w := begin(t, setup{
				budgets: []*ledgerpb.Budget{monthly("", 10_000_000_000)},
				edit:    func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].Provider = provider },
			})
			w.ask(asking("no-cost", "")).expectOK(t)
			w.ask(asking("no-cost,usage=null-others", streamed)).expectOK(t)
			w.booksAgree()
		})
	}
}
