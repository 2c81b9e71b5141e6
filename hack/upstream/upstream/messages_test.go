package upstream

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var versioned = []string{"Anthropic-Version", "2023-06-01"}

func (w world) message(t *testing.T, text string, headers ...string) answer {
	t.Helper()
	return w.do(t, http.MethodPost, "/v1/messages", text, append(versioned, headers...)...)
}

type wireBlock struct {
	Type  string         `json:"type"`
	Text  string         `json:"text"`
	ID    string         `json:"id"`
	Name  string         `json:"name"`
	Input map[string]any `json:"input"`
}

type wireMessageAnswer struct {
	ID       string           `json:"id"`
	Type     string           `json:"type"`
	Role     string           `json:"role"`
	Content  []wireBlock      `json:"content"`
	Stop     *string          `json:"stop_reason"`
	Sequence *string          `json:"stop_sequence"`
	Usage    wireMessageUsage `json:"usage"`
	Error    *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	RequestID string `json:"request_id"`
}

// messageTokenCounts are the four counts of Anthropic's usage.
type messageTokenCounts struct {
	Input   int `json:"input_tokens"`
	Written int `json:"cache_creation_input_tokens"`
	Read    int `json:"cache_read_input_tokens"`
	Output  int `json:"output_tokens"`
}

type wireMessageUsage struct {
	messageTokenCounts
	wireUsage
}

func (a answer) message(t *testing.T) wireMessageAnswer {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.raw)
	}
	return decode[wireMessageAnswer](t, a.raw)
}

const goldenMessage = `{"id":"ID","type":"message","role":"assistant","model":"mistralai/mixtral-8x22b-instruct","provider":"Mistral",` +
	`"content":[{"type":"text","citations":null,"text":"Quantum entanglement"}],"stop_reason":"max_tokens","stop_sequence":null,` +
	`"usage":{"input_tokens":26,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":` +
	`{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":6,"service_tier":"standard","cost":0.000088,` +
	`"is_byok":false,"cost_details":{"upstream_inference_cost":0.000088,"upstream_inference_prompt_cost":0.000052,` +
	`"upstream_inference_completions_cost":0.000036}}}`

func TestMessageHasAnthropicsShape(t *testing.T) {
	w := start(t, Options{})
	a := w.message(t, body(entanglement, `"max_tokens":6`))
	id := a.message(t).ID
	if a.header.Get("X-Generation-Id") != id || id == "" {
		t.Errorf("id %q, header %q", id, a.header.Get("X-Generation-Id"))
	}
	if diff := cmp.Diff(goldenMessage, strings.ReplaceAll(string(a.raw), id, "ID")); diff != "" {
		t.Error(diff)
	}
	r := w.onlyRecord(t)
	if r.CostNanoUSD != 88_000 || r.PromptTokens != 26 || r.CompletionTokens != 6 || r.Endpoint != Messages || r.FinishReason != "length" {
		t.Errorf("booked %+v", r)
	}
}

const goldenMessageStream = `: OPENROUTER PROCESSING

event: message_start
data: {"type":"message_start","message":{HEAD,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{INPUT,"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","citations":null,"text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Quan"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"tum"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{INPUT,"output_tokens":2,"cost":0.000064,"is_byok":false,DETAILS}}

event: message_stop
data: {"type":"message_stop"}

`

func TestMessageStreamHasAnthropicsShape(t *testing.T) {
	w := start(t, Options{})
	a := w.message(t, body(entanglement, `"max_tokens":2`, streaming))
	head := `"id":"` + a.header.Get("X-Generation-Id") + `","type":"message","role":"assistant","model":"` + mixtral + `","provider":"Mistral"`
	got := strings.ReplaceAll(string(a.raw), head, "HEAD")
	got = regexp.MustCompile(`"input_tokens":26.*?}`).ReplaceAllString(got, "INPUT")
	got = regexp.MustCompile(`"cost_details":{[^}]*}`).ReplaceAllString(got, "DETAILS")
	if diff := cmp.Diff(goldenMessageStream, got); diff != "" {
		t.Error(diff)
	}
}

func TestMessageStreamWithUsageAtItsBegin(t *testing.T) {
	w := start(t, Options{})
	raw := string(w.message(t, body(entanglement, `"max_tokens":2`, streaming), FaultHeader, "usage=first").raw)
	if !strings.Contains(raw, `"usage":{"output_tokens":2,"cost":0.000064`) || strings.Count(raw, `"input_tokens":26`) != 1 {
		t.Errorf("got %s", raw)
	}
}

func TestMessagesEndForAReason(t *testing.T) {
	const tool = `"tools":[{"name":"get_weather","description":"The weather in a city","input_schema":` +
		`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]`
	cases := map[string]struct{ reason, prompt, members, stop, sequence string }{
		"End":      {"the answer is said", entanglement, `"max_tokens":500`, "end_turn", ""},
		"Limit":    {"cut", entanglement, `"max_tokens":3`, "max_tokens", ""},
		"Nothing":  {"only the cache was to be filled", entanglement, `"max_tokens":0`, "max_tokens", ""},
		"Sequence": {"a stop sequence came", entanglement, `"max_tokens":500,"stop_sequences":["zzz"," is a"]`, "stop_sequence", " is a"},
		"Tool":     {"a tool is to be called", "What is the weather in Oslo?", `"max_tokens":500,` + tool, "tool_use", ""},
		"ToolCut":  {"its input does not fit", "What is the weather in Oslo?", `"max_tokens":3,` + tool, "max_tokens", ""},
		"NoTool":   {"no tool may be", "What is the weather in Oslo?", `"max_tokens":500,"tool_choice":{"type":"none"},` + tool, "end_turn", ""},
		"AnyTool":  {"a tool must be", "Hello", `"max_tokens":500,"tool_choice":{"type":"any"},` + tool, "tool_use", ""},
		"ThisTool": {"this tool must be", "Hello", `"max_tokens":500,"tool_choice":{"type":"tool","name":"get_weather"},` + tool, "tool_use", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			m := w.message(t, body(tc.prompt, tc.members)).message(t)
			sequence := ""
			if m.Sequence != nil {
				sequence = *m.Sequence
			}
			if *m.Stop != tc.stop || sequence != tc.sequence {
				t.Errorf("%s: ended with %s %q, want %s %q", tc.reason, *m.Stop, sequence, tc.stop, tc.sequence)
			}
			if r := w.onlyRecord(t); exactNano(t, m.Usage.Cost) != r.CostNanoUSD || r.CostNanoUSD != int64(m.Usage.Input)*2000+int64(m.Usage.Output)*6000 {
				t.Errorf("%s: usage %+v, booked %+v", tc.reason, m.Usage, r)
			}
			if tc.stop == "tool_use" && (len(m.Content) != 1 || m.Content[0].Name != "get_weather" || m.Content[0].Input["city"] == nil) {
				t.Errorf("%s: content %+v", tc.reason, m.Content)
			}
			stream := w.message(t, body(tc.prompt, tc.members, streaming))
			if want := `"stop_reason":"` + tc.stop + `"`; !strings.Contains(string(stream.raw), want) {
				t.Errorf("%s: no %s in %s", tc.reason, want, stream.raw)
			}
		})
	}
}

func TestMessagesAnswerWhatAToolReturned(t *testing.T) {
	w := start(t, Options{})
	m := w.message(t, `{`+asMixtral+`,"max_tokens":50,"system":[{"type":"text","text":"Be brief."}],"messages":[
		{"role":"user","content":"What is the weather in Oslo?"},
		{"role":"assistant","content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{"city":"Oslo"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"4 degrees"}]}]}]}`).message(t)
	if m.Content[0].Text != "The tool says: 4 degrees" {
		t.Errorf("got %+v", m.Content)
	}
}

func TestMessagesReadAndWriteACache(t *testing.T) {
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	w := start(t, Options{Now: now.Now})
	system := strings.Repeat("One rule of many. ", 20)
	const mark = `,"cache_control":{"type":"ephemeral"}`
	ask := func(turns string, headers ...string) messageTokenCounts {
		t.Helper()
		text := `{` + asMixtral + `,"max_tokens":5,"system":[{"type":"text","text":"` + system + `"` + mark + `}],"messages":[` + turns + `]}`
		m := w.message(t, text, headers...).message(t)
		records := w.Billed(Filter{}).Requests
		r, u := records[len(records)-1], m.Usage
		want := int64(u.Input)*2000 + int64(u.Read)*200 + int64(u.Written)*2500 + int64(u.Output)*6000
		if exactNano(t, u.Cost) != want || r.CostNanoUSD != want || r.PromptTokens != u.Input+u.Read+u.Written {
			t.Errorf("want %d nano-USD, usage %+v, booked %+v", want, u, r)
		}
		return u.messageTokenCounts
	}
	const first = `{"role":"user","content":[{"type":"text","text":"What is a teapot?"` + mark + `}]}`
	const second = `{"role":"user","content":"What is a teapot?"},{"role":"assistant","content":"A pot."},` +
		`{"role":"user","content":[{"type":"text","text":"For what?"` + mark + `}]}`
	steps := []struct {
		reason string
		got    messageTokenCounts
		want   messageTokenCounts
	}{
		{"the first time all that is marked is written", ask(first), messageTokenCounts{4, 163, 0, 5}},
		{"the same again is read", ask(first), messageTokenCounts{4, 0, 163, 5}},
		{"what was said before is read, and the rest written", ask(second), messageTokenCounts{4, 23, 163, 5}},
		{"another key has a cache of its own", ask(first, "Authorization", "Bearer sk-or-other"), messageTokenCounts{4, 163, 0, 5}},
		{"another beginning is another prompt", func() messageTokenCounts { system += "More."; return ask(first) }(), messageTokenCounts{4, 165, 0, 5}},
	}
	for _, step := range steps {
		if diff := cmp.Diff(step.want, step.got); diff != "" {
			t.Errorf("%s: %s", step.reason, diff)
		}
	}
	now.set(now.Now().Add(4 * time.Minute))
	if u := ask(first); u.Written != 0 {
		t.Errorf("after four minutes the cache is forgotten: %+v", u)
	}
	now.set(now.Now().Add(4 * time.Minute))
	if u := ask(first); u.Written != 0 {
		t.Errorf("what was read four minutes ago is forgotten: %+v", u)
	}
	now.set(now.Now().Add(cacheLife))
	if u := ask(first); u.Read != 0 {
		t.Errorf("after five minutes without use the cache is still there: %+v", u)
	}
}

func TestChatReadsAndWritesTheSameCache(t *testing.T) {
	w := start(t, Options{})
	const marked = `{` + asMixtral + `,"max_tokens":5,"messages":[{"role":"system","content":` +
		`[{"type":"text","text":"You know all of teapots.","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"Why?"}]}`
	first := w.chat(t, marked).completion(t).Usage
	second := w.chat(t, marked).completion(t).Usage
	if first.PromptDetails.Written == 0 || first.PromptDetails.Cached != 0 || second.PromptDetails.Cached != first.PromptDetails.Written {
		t.Errorf("first %+v, then %+v", first.PromptDetails, second.PromptDetails)
	}
	records := w.Billed(Filter{}).Requests
	if records[0].CostNanoUSD-records[1].CostNanoUSD != int64(first.PromptDetails.Written)*2300 {
		t.Errorf("%d, then %d nano-USD", records[0].CostNanoUSD, records[1].CostNanoUSD)
	}
	if failed := w.chat(t, strings.Replace(marked, "teapots", "kettles", 1), FaultHeader, "error-200=choice"); failed.status != 200 {
		t.Errorf("got %d", failed.status)
	}
	if u := w.chat(t, strings.Replace(marked, "teapots", "kettles", 1)).completion(t).Usage; u.PromptDetails.Cached != 0 {
		t.Errorf("a failure has written to the cache: %+v", u)
	}
}

func TestMessagesTakeAnthropicsKeyHeader(t *testing.T) {
	w := start(t, Options{})
	if a := w.message(t, body("a", `"max_tokens":5`), "Authorization", "", "X-Api-Key", anyKey); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if a := w.chat(t, body("a"), "Authorization", "", "X-Api-Key", anyKey); a.status != 401 {
		t.Errorf("chat completions take it too: %d", a.status)
	}
}

func TestMessagesRefuseAsAnthropicDoes(t *testing.T) {
	w := start(t, Options{})
	const limit = `"max_tokens":5`
	turns := func(messages string) string { return `{` + asMixtral + `,` + limit + `,"messages":[` + messages + `]}` }
	cases := map[string]struct {
		reason, body string
		headers      []string
		status       int
		kind, text   string
	}{
		"NoVersion": {"the version of the API", body("a", limit), []string{"Anthropic-Version", ""}, 400, "invalid_request_error", "anthropic-version"},
		"NoKey":     {"no key", body("a", limit), []string{"Authorization", ""}, 401, "authentication_error", "credentials"},
		"NoLimit":   {"a limit is needed", body("a"), nil, 400, "invalid_request_error", "max_tokens: Field required"},
		"Hot":       {"temperature ends at 1", body("a", limit, `"temperature":1.5`), nil, 400, "invalid_request_error", "temperature"},
		"Model":     {"no such model", body("a", limit, `"model":"a/b"`), nil, 400, "invalid_request_error", "a/b"},
		"Role":      {"no such role", turns(`{"role":"tool","content":"a"}`), nil, 400, "invalid_request_error", "messages.0.role"},
		"Empty":     {"nothing said", turns(`{"role":"user","content":""}`), nil, 400, "invalid_request_error", "non-empty content"},
		"EmptyText": {"an empty block", turns(`{"role":"user","content":[{"type":"text","text":""}]}`), nil, 400, "invalid_request_error", "messages.0.content.0.text"},
		"Block":     {"no such block", turns(`{"role":"user","content":[{"type":"x"}]}`), nil, 400, "invalid_request_error", "'type'"},
		"Image":     {"no images", turns(`{"role":"user","content":[{"type":"image"}]}`), nil, 404, "not_found_error", "image"},
		"Result":    {"of which call", turns(`{"role":"user","content":[{"type":"tool_result"}]}`), nil, 400, "invalid_request_error", "tool_use_id"},
		"Stop":      {"a blank stop", body("a", limit, `"stop_sequences":[" "]`), nil, 400, "invalid_request_error", "non-whitespace"},
		"Tool":      {"a tool of the provider's", body("a", limit, `"tools":[{"type":"bash_20250124","name":"bash"}]`), nil, 400, "invalid_request_error", "tools.0"},
		"Choice":    {"no such choice", body("a", limit, `"tool_choice":{"type":"required"}`), nil, 400, "invalid_request_error", "tool_choice"},
		"Fault429":  {"too many", body("a", limit), []string{FaultHeader, "status=429,retry-after=7"}, 429, "rate_limit_error", "Provider"},
		"Fault529":  {"too busy", body("a", limit), []string{FaultHeader, "status=529"}, 529, "overloaded_error", "Provider"},
		"Fault503":  {"down", body("a", limit), []string{FaultHeader, "status=503"}, 503, "api_error", "Provider"},
		"Method":    {"the method", "", nil, 405, "invalid_request_error", "Method"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := w.message(t, tc.body, tc.headers...)
			if name == "Method" {
				a = w.get(t, "/v1/messages")
			}
			m := decode[wireMessageAnswer](t, a.raw)
			if a.status != tc.status || m.Type != "error" || m.Error == nil || m.Error.Type != tc.kind || !strings.Contains(m.Error.Message, tc.text) {
				t.Errorf("%s: got %d %s", tc.reason, a.status, a.raw)
			}
			if !strings.HasPrefix(m.RequestID, "req_") {
				t.Errorf("%s: request_id %q", tc.reason, m.RequestID)
			}
		})
	}
	if n := w.Billed(Filter{}).Count; n != 0 {
		t.Errorf("%d refusals were billed", n)
	}
}

func TestMessagesSearchTheWebAtAPrice(t *testing.T) {
	w := start(t, Options{})
	a := w.message(t, body("a", `"max_tokens":5`, `"tools":[{"type":"web_search_20250305","name":"web_search"}]`))
	if r := w.onlyRecord(t); r.CostNanoUSD != int64(r.PromptTokens)*2000+5*6000+webSearchNano || !strings.Contains(string(a.raw), `"web_search_requests":1`) {
		t.Errorf("booked %+v for %s", r, a.raw)
	}
}
