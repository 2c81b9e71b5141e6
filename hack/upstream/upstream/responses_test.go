package upstream

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (w world) respond(t *testing.T, input string, members ...string) answer {
	t.Helper()
	all := append([]string{asMixtral, `"input":` + input}, members...)
	return w.do(t, http.MethodPost, "/v1/responses", "{"+strings.Join(all, ",")+"}")
}

type wireResponse struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	Status string `json:"status"`
	Output []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		CallID    string `json:"call_id"`
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"output"`
	Incomplete *struct{ Reason string } `json:"incomplete_details"`
	Error      *struct{ Code, Message string }
	Usage      *struct {
		wireUsage
		Input   int `json:"input_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		Output int `json:"output_tokens"`
		Total  int `json:"total_tokens"`
	} `json:"usage"`
}

func (a answer) response(t *testing.T) wireResponse {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.raw)
	}
	return decode[wireResponse](t, a.raw)
}

func (r wireResponse) text() string {
	if len(r.Output) == 0 || len(r.Output[0].Content) == 0 {
		return ""
	}
	return r.Output[0].Content[0].Text
}

const goldenResponse = `{"id":"ID","object":"response","created_at":0,"status":"incomplete","error":null,` +
	`"incomplete_details":{"reason":"max_output_tokens"},"instructions":"Be brief.","max_output_tokens":6,` +
	`"model":"mistralai/mixtral-8x22b-instruct","provider":"Mistral","output":[{"id":"msg_NAME","type":"message","status":"incomplete",` +
	`"role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Quantum entanglement"}]}],` +
	`"parallel_tool_calls":true,"previous_response_id":null,"service_tier":"default","store":false,"temperature":1,` +
	`"text":{"format":{"type":"text"}},"tool_choice":"none","tools":[],"top_p":1,"truncation":"disabled","metadata":{},` +
	`"usage":{"input_tokens":38,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":6,` +
	`"output_tokens_details":{"reasoning_tokens":0},"total_tokens":44,"cost":0.000112,"is_byok":false,"cost_details":` +
	`{"upstream_inference_cost":0.000112,"upstream_inference_input_cost":0.000076,"upstream_inference_output_cost":0.000036}}}`

// unnamed takes away what differs from one response to the next.
func unnamed(text, id string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, id, "ID"), id[strings.LastIndex(id, "-")+1:], "NAME")
	return regexp.MustCompile(`"created_at":\d+`).ReplaceAllString(text, `"created_at":0`)
}

func TestResponseHasOpenAIsShape(t *testing.T) {
	w := start(t, Options{})
	a := w.respond(t, `"`+entanglement+`"`, `"instructions":"Be brief."`, `"max_output_tokens":6`)
	id := a.response(t).ID
	if a.header.Get("X-Generation-Id") != id {
		t.Errorf("id %q, header %q", id, a.header.Get("X-Generation-Id"))
	}
	if diff := cmp.Diff(goldenResponse, unnamed(string(a.raw), id)); diff != "" {
		t.Error(diff)
	}
	if r := w.onlyRecord(t); r.CostNanoUSD != 112_000 || r.PromptTokens != 38 || r.CompletionTokens != 6 || r.Endpoint != Responses {
		t.Errorf("booked %+v", r)
	}
}

const goldenResponseStream = `: OPENROUTER PROCESSING

event: response.created
data: {"type":"response.created","sequence_number":0,"response":RESPONSE}

event: response.in_progress
data: {"type":"response.in_progress","sequence_number":1,"response":RESPONSE}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_NAME","type":"message","status":"in_progress","role":"assistant","content":[]}}

event: response.content_part.added
data: {"type":"response.content_part.added","sequence_number":3,"output_index":0,"item_id":"msg_NAME","content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":4,"output_index":0,"item_id":"msg_NAME","content_index":0,"delta":"Quan","logprobs":[]}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":5,"output_index":0,"item_id":"msg_NAME","content_index":0,"delta":"tum","logprobs":[]}

event: response.output_text.done
data: {"type":"response.output_text.done","sequence_number":6,"output_index":0,"item_id":"msg_NAME","content_index":0,"text":"Quantum","logprobs":[]}

event: response.content_part.done
data: {"type":"response.content_part.done","sequence_number":7,"output_index":0,"item_id":"msg_NAME","content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Quantum"}}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":8,"output_index":0,"item":{"id":"msg_NAME","type":"message","status":"incomplete","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Quantum"}]}}

event: response.incomplete
data: {"type":"response.incomplete","sequence_number":9,"response":RESPONSE}

`

func TestResponseStreamHasOpenAIsShape(t *testing.T) {
	w := start(t, Options{})
	a := w.respond(t, `"`+entanglement+`"`, `"max_output_tokens":2`, streaming)
	got := unnamed(string(a.raw), a.header.Get("X-Generation-Id"))
	got = regexp.MustCompile(`"response":{.*}`).ReplaceAllString(got, `"response":RESPONSE}`)
	if diff := cmp.Diff(goldenResponseStream, got); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(string(a.raw), `"usage":{`); n != 1 {
		t.Errorf("the usage comes %d times, want it in the last event only", n)
	}
}

const flatTool = `"tools":[{"type":"function","name":"get_weather","description":"The weather in a city","parameters":` +
	`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]`

func TestResponsesTakeItems(t *testing.T) {
	const call = `{"type":"function_call","call_id":"call_1","name":"get_weather","arguments":"{}"}`
	cases := map[string]struct{ reason, input, members, status, text, call string }{
		"Message":  {"a message without a type", `[{"role":"user","content":"` + entanglement + `"}]`, `"store":false`, "completed", "Quantum entanglement is", ""},
		"Parts":    {"text in parts", `[{"type":"message","role":"user","content":[{"type":"input_text","text":"` + entanglement + `"}]}]`, `"store":false`, "completed", "Quantum", ""},
		"Limit":    {"cut", `"` + entanglement + `"`, `"max_output_tokens":1`, "incomplete", "Quan", ""},
		"Function": {"a function to be called", `"What is the weather in Oslo?"`, flatTool, "completed", "", `{"city":"Oslo"}`},
		"Forced":   {"this function must be", `"Hello"`, flatTool + `,"tool_choice":{"type":"function","name":"get_weather"}`, "completed", "", `{"city":`},
		"NoTool":   {"no function may be", `"What is the weather in Oslo?"`, flatTool + `,"tool_choice":"none"`, "completed", "weather", ""},
		"Returned": {
			"what the function returned", `[{"role":"user","content":"weather in Oslo"},{"type":"reasoning","summary":[]},` + call +
				`,{"type":"function_call_output","call_id":"call_1","output":"4 degrees"}]`, flatTool, "completed", "The tool says: 4 degrees", "",
		},
		"Format": {
			"JSON by a schema", `"Ada"`, `"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":` +
				`{"ok":{"type":"boolean"}},"required":["ok"]}}}`, "completed", `{"ok":`, "",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			r := w.respond(t, tc.input, `"temperature":0`, tc.members).response(t)
			if r.Status != tc.status || !strings.Contains(r.text(), tc.text) || (r.Incomplete != nil) != (tc.status == "incomplete") {
				t.Errorf("%s: got %+v", tc.reason, r)
			}
			if tc.call != "" && (r.Output[0].Type != "function_call" || r.Output[0].Name != "get_weather" || !strings.HasPrefix(r.Output[0].Arguments, tc.call)) {
				t.Errorf("%s: got %+v", tc.reason, r.Output)
			}
			if b := w.onlyRecord(t); exactNano(t, r.Usage.Cost) != b.CostNanoUSD || r.Usage.Total != b.PromptTokens+b.CompletionTokens {
				t.Errorf("%s: usage %+v, booked %+v", tc.reason, r.Usage, b)
			}
			frames := w.respond(t, tc.input, `"temperature":0`, tc.members, streaming).frames(t)
			last := decode[struct{ Response wireResponse }](t, []byte(frames[len(frames)-1].data)).Response
			if last.text() != r.text() || last.Status != r.Status || last.Usage.Total != r.Usage.Total {
				t.Errorf("%s: the stream ends with %+v, the answer is %+v", tc.reason, last, r)
			}
		})
	}
}

func TestResponsesRefuse(t *testing.T) {
	cases := map[string]struct {
		reason, input, members string
		status                 int
		message                string
	}{
		"None":       {"no input", `null`, `"user":"a"`, 400, "input"},
		"NoItems":    {"no items", `[]`, `"user":"a"`, 400, "input"},
		"Item":       {"no such item", `[{"type":"x"}]`, `"user":"a"`, 400, "input[0].type"},
		"Role":       {"no such role", `[{"role":"tool","content":"a"}]`, `"user":"a"`, 400, "input[0].role"},
		"Part":       {"no such part", `[{"role":"user","content":[{"type":"x"}]}]`, `"user":"a"`, 400, "input[0].content[0].type"},
		"Image":      {"no images", `[{"role":"user","content":[{"type":"input_image"}]}]`, `"user":"a"`, 404, "input_image"},
		"Previous":   {"no memory", `"a"`, `"previous_response_id":"resp_1"`, 400, "previous_response_id"},
		"Background": {"no memory", `"a"`, `"background":true`, 400, "background"},
		"Tool":       {"no such tool", `"a"`, `"tools":[{"type":"mcp"}]`, 400, "tools[0]"},
		"Choice":     {"of no tools", `"a"`, `"tool_choice":"required"`, 400, "tool_choice"},
		"Format":     {"a schema has a name", `"a"`, `"text":{"format":{"type":"json_schema","schema":{}}}`, 400, "text.format"},
		"Limit":      {"at least 1", `"a"`, `"max_output_tokens":0`, 400, "max_output_tokens"},
		"Context":    {"too much", `"a"`, `"max_output_tokens":65536`, 400, "maximum context length"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.respond(t, tc.input, tc.members)
			if p := a.problem(t); a.status != tc.status || !strings.Contains(p.Message, tc.message) || w.Billed(Filter{}).Count != 0 {
				t.Errorf("%s: got %d %s", tc.reason, a.status, a.raw)
			}
		})
	}
}

func TestResponsesFail(t *testing.T) {
	w := start(t, Options{})
	for fault, want := range map[string]string{"error-chunk=6": "response.failed", "error-chunk=6,empty-choices": "error"} {
		frames := w.respond(t, `"What is a teapot?"`, streaming, `"user":"fault:`+fault+`"`).frames(t)
		last := frames[len(frames)-1]
		if len(frames) != 7 || last.name != want || !strings.Contains(last.data, `"sequence_number":6`) || !strings.Contains(last.data, "server_error") {
			t.Errorf("%s: %d events, the last is %+v", fault, len(frames), last)
		}
	}
	if r := w.respond(t, `"a"`, `"user":"fault:error-200=choice"`).response(t); r.Status != "failed" || r.Error.Code != "server_error" || r.Usage != nil {
		t.Errorf("got %+v", r)
	}
	if s := w.Billed(Filter{}); s.Count != 3 || s.TotalNanoUSD != 0 {
		t.Errorf("failures are billed: %+v", s)
	}
}
