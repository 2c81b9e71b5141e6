package openai

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/pricing"
)

func TestMessagesThatAreRefused(t *testing.T) {
	refuses(t, Messages, map[string]refusalCase{
		"NoLimit":          {`{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "max_tokens"},
		"NullLimit":        {`{"model":"m","max_tokens":null,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens"},
		"NegativeLimit":    {`{"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens"},
		"NoMessages":       {`{"model":"m","max_tokens":1,"messages":[]}`, "messages"},
		"MessagesAsText":   {`{"model":"m","max_tokens":1,"messages":"hi"}`, "messages"},
		"TextMessage":      {messageOf(`"hi"`), "messages[0]"},
		"OddContent":       {messageOf(`{"role":"user","content":5}`), "messages[0].content"},
		"TextBlock":        {messageOf(`{"role":"user","content":["hi"]}`), "messages[0].content[0]"},
		"File":             {messageOf(`{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"file_1"}}]}`), "messages[0].content[0].source.file_id"},
		"FileInResult":     {messageOf(`{"role":"user","content":[{"type":"tool_result","content":[{"type":"document","source":{"file_id":"x"}}]}]}`), "messages[0].content[0].content[0].source.file_id"},
		"HotTemperature":   {messageWith(`"temperature":1.1`), "temperature"},
		"NegativeTopK":     {messageWith(`"top_k":-1`), "top_k"},
		"StopAsText":       {messageWith(`"stop_sequences":"x"`), "stop_sequences"},
		"StopOfNumbers":    {messageWith(`"stop_sequences":["x",1]`), "stop_sequences[1]"},
		"SystemNumber":     {messageWith(`"system":5`), "system"},
		"ToolsAsObject":    {messageWith(`"tools":{}`), "tools"},
		"ToolAsText":       {messageWith(`"tools":["x"]`), "tools[0]"},
		"ChoiceAsWord":     {messageWith(`"tool_choice":"auto"`), "tool_choice"},
		"ChoiceUnknown":    {messageWith(`"tool_choice":{"type":"required"}`), "tool_choice.type"},
		"ChoiceOfNone":     {messageWith(`"tool_choice":{"type":"tool"}`), "tool_choice.name"},
		"ThinkingTooMuch":  {messageWith(`"thinking":{"type":"enabled","budget_tokens":100}`), "thinking.budget_tokens"},
		"ThinkingHowMuch":  {messageWith(`"thinking":{"type":"enabled"}`), "thinking.budget_tokens"},
		"ThinkingOtherwis": {messageWith(`"thinking":{"type":"hard"}`), "thinking.type"},
		"Effort":           {messageWith(`"output_config":{"effort":"huge"}`), "output_config.effort"},
		"OlderSchema":      {messageWith(`"output_format":{"type":"json_schema","schema":"x"}`), "output_format.schema"},
		"Schema":           {messageWith(`"output_config":{"format":{"type":"json_schema","schema":"x"}}`), "output_config.format.schema"},
		"UserNumber":       {messageWith(`"metadata":{"user_id":5}`), "metadata.user_id"},
		"TwoValues":        {messageOf(`{"role":"user","Role":"assistant","content":"hi"}`), "Role"},
		"OtherCase":        {messageWith(`"Max_Tokens":5`), "Max_Tokens"},
	})
}

func TestWhatOfAMessageIsTheRoutesOrHasNoBound(t *testing.T) {
	const image = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`
	bounds(t, Messages, map[string]boundCase{
		"Plain": {messageWith(`"system":"be brief","stop_sequences":["x"],"top_k":5,"thinking":{"type":"adaptive"},"service_tier":"auto"`), "", ""},
		"Turns": {messageOf(`{"role":"user","content":"weather?"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},` +
			`{"type":"tool_use","id":"t","name":"weather","input":{"city":"Oslo"}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"rain"}]}]}`), "", ""},
		"ClientTools":     {messageWith(`"tools":[{"name":"a","input_schema":{}},{"type":"custom","name":"b"},{"type":"bash_20250124","name":"bash"}]`), "", ""},
		"ServerTool":      {messageWith(`"tools":[{"name":"a"},{"type":"web_search_20260318","name":"web_search"}]`), "tools[1].type", ""},
		"CodeExecution":   {messageWith(`"tools":[{"type":"code_execution_20260521","name":"x"}]`), "tools[0].type", ""},
		"McpServers":      {messageWith(`"mcp_servers":[{"url":"https://x"}]`), "mcp_servers", ""},
		"Container":       {messageWith(`"container":"c"`), "container", ""},
		"Geo":             {messageWith(`"inference_geo":"us"`), "inference_geo", ""},
		"Speed":           {messageWith(`"speed":"fast"`), "speed", ""},
		"Tier":            {messageWith(`"service_tier":"priority"`), "service_tier", ""},
		"StandardOnly":    {messageWith(`"service_tier":"standard_only"`), "", ""},
		"Fallbacks":       {messageWith(`"fallbacks":["x"]`), "fallbacks", ""},
		"Beta":            {messageWith(`"betas":["x"]`), "betas", ""},
		"ServerToolBlock": {messageOf(`{"role":"assistant","content":[{"type":"server_tool_use","id":"x"}]}`), "messages[0].content[0].type", ""},
		"BlockOfNoType":   {messageOf(`{"role":"user","content":[{"text":"x"}]}`), "messages[0].content[0].type", ""},
		"Mark":            {messageWith(`"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]`), "system[0].cache_control", ""},
		"MarkOfTool":      {messageWith(`"tools":[{"name":"a","cache_control":{"type":"ephemeral"}}]`), "tools[0].cache_control", ""},
		"MarkOfAll":       {messageWith(`"cache_control":{"type":"ephemeral"}`), "cache_control", ""},
		"NullMark":        {messageWith(`"cache_control":null,"system":[{"type":"text","text":"x","cache_control":null}]`), "", ""},
		"Image":           {messageOf(`{"role":"user","content":[{"type":"text","text":"see"},` + image + `]}`), "", "messages[0].content[1]"},
		"ImageInResult": {
			messageOf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[` + image + `]}]}`),
			"", "messages[0].content[0].content[0]",
		},
	})
}

func TestMarksForCachingAreLetThroughWhereTheRoutePricesThem(t *testing.T) {
	r := mustParseAs(t, Messages, messageWith(`"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]`))
	if name, bad := ForbiddenField(r, true); bad {
		t.Errorf("%s is refused", name)
	}
}

// Every byte that a tokenizer may see has to be in the bound, and what Anthropic adds for tools that it describes itself.
func TestTheBoundOfAMessageCoversItsParts(t *testing.T) {
	least := func(body string, more int64) {
		t.Helper()
		plain := PromptTokensBound(mustParseAs(t, Messages, messageWith("")), 0)
		if got := PromptTokensBound(mustParseAs(t, Messages, body), 0); got < plain+more {
			t.Errorf("%s is bounded by %d, want %d more than %d", body, got, more, plain)
		}
	}
	const long = "0123456789012345678901234567890123456789012345678901234567890123456789"
	least(messageWith(`"system":"`+long+`"`), 70)
	least(messageWith(`"system":[{"type":"text","text":"`+long+`"}]`), 70)
	least(messageOf(`{"role":"user","content":[{"type":"text","text":"`+long+`"}]}`), 60)
	least(messageOf(`{"role":"assistant","content":[{"type":"tool_use","input":{"x":"`+long+`"}}]}`), 70)
	least(messageWith(`"tools":[{"name":"a","description":"`+long+`"}]`), 70+toolsOverhead)
	least(messageWith(`"tools":[{"type":"text_editor_20250728","name":"x"}]`), 700+toolsOverhead)
	least(messageWith(`"output_config":{"format":{"type":"json_schema","schema":{"title":"`+long+`"}}}`), 70+toolsOverhead)
	least(messageWith(`"output_format":{"type":"json_schema","schema":{"title":"`+long+`"}},"output_config":{}`), 70+toolsOverhead)
}

func TestTheUsageOfAMessage(t *testing.T) {
	cases := map[string]struct {
		usage string
		want  *pricing.Usage
		fails bool
	}{
		"tokens of the prompt do not overlap": {
			usage: `{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"output_tokens":5}`,
			want:  &pricing.Usage{PromptTokens: 60, CachedTokens: 20, CacheWriteTokens: 30, CompletionTokens: 5},
		},
		"none are cached": {
			usage: `{"input_tokens":10,"cache_read_input_tokens":null,"output_tokens":5}`, want: usageOf(10, 5),
		},
		"all are cached": {
			usage: `{"input_tokens":0,"cache_read_input_tokens":20,"output_tokens":5}`,
			want:  &pricing.Usage{PromptTokens: 20, CachedTokens: 20, CompletionTokens: 5},
		},
		"OpenRouter's cost": {
			usage: `{"input_tokens":10,"output_tokens":5,"cost":0.00005,"is_byok":false}`,
			want:  &pricing.Usage{PromptTokens: 10, CompletionTokens: 5, Cost: nano(50_000)},
		},
		"thinking is part of the answer": {
			usage: `{"input_tokens":10,"output_tokens":5,"output_tokens_details":{"thinking_tokens":4}}`,
			want:  &pricing.Usage{PromptTokens: 10, CompletionTokens: 5, ReasoningTokens: 4},
		},
		"without the prompt":  {usage: `{"output_tokens":5}`, fails: true},
		"without the answer":  {usage: `{"input_tokens":5}`, fails: true},
		"a count of nothing":  {usage: `{"input_tokens":-1,"output_tokens":5}`, fails: true},
		"a cache of nonsense": {usage: `{"input_tokens":1,"cache_read_input_tokens":"x","output_tokens":5}`, fails: true},
		"no object":           {usage: `5`, fails: true},
		"null is none":        {usage: `null`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			answer, err := Messages.ReadAnswer([]byte(`{"type":"message","content":[{"type":"text","text":"a"}],"usage":` + test.usage + `}`))
			if diff := cmp.Diff(test.want, answer.Usage, sameMoney); diff != "" || (err != nil) != test.fails || !answer.Generated {
				t.Errorf("%v, %+v (-want +got):\n%s", err, answer, diff)
			}
		})
	}
}

func TestTheMeterOfAMessage(t *testing.T) {
	const (
		start   = `{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":20,"output_tokens":1}}}`
		unknown = `{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}`
		block   = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
		delta   = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}`
		input   = `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}`
		signed  = `{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"abcdef"}}`
		ping    = `{"type":"ping"}`
		end     = `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}`
		whole   = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":40,"cache_read_input_tokens":2,"output_tokens":7,"cost":0.5}}`
		zeros   = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":7}}`
		stop    = `{"type":"message_stop"}`
		failed  = `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`
	)
	cached := func(prompt, cached, completion int64) *pricing.Usage {
		return &pricing.Usage{PromptTokens: prompt, CachedTokens: cached, CompletionTokens: completion}
	}
	cases := map[string]struct {
		stream  string
		want    metered
		preview bool
	}{
		"the prompt of the first usage, the answer of the last": {
			stream: events(start, block, ping, delta, input, signed, end, stop),
			want:   metered{Usage: cached(30, 20, 7), Done: true, Finished: true, Bytes: 12},
		},
		"the last usage has all": {
			stream: events(start, delta, whole, stop),
			want: metered{
				Usage: &pricing.Usage{PromptTokens: 42, CachedTokens: 2, CompletionTokens: 7, Cost: nano(500_000_000)},
				Done:  true, Finished: true, Bytes: 5,
			},
		},
		"nothing of a prompt is no count of it": {
			stream: events(start, zeros, stop), want: metered{Usage: cached(30, 20, 7), Done: true, Finished: true},
		},
		"OpenRouter counts the prompt at the end": {
			stream: events(unknown, delta, whole, stop),
			want: metered{
				Usage: &pricing.Usage{PromptTokens: 42, CachedTokens: 2, CompletionTokens: 7, Cost: nano(500_000_000)},
				Done:  true, Finished: true, Bytes: 5,
			},
		},
		"a prompt that nobody counted": {stream: events(unknown, end, stop), want: metered{Unknown: true, Done: true, Finished: true}},
		"a placeholder is no bill":     {stream: events(start, delta), want: metered{Usage: cached(30, 20, 1), Bytes: 5}, preview: true},
		"an error": {
			stream: events(start, delta, failed),
			want:   metered{Usage: cached(30, 20, 1), Reported: &ReportedError{Type: "overloaded_error", Message: "Overloaded"}, Bytes: 5}, preview: true,
		},
		"OpenAI's end is none": {stream: events(delta) + "data: [DONE]\n\n", want: metered{Bytes: 5}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, preview := meteredBy(t, Messages, test.stream)
			if diff := cmp.Diff(test.want, got, sameMoney); diff != "" || preview != test.preview {
				t.Errorf("a placeholder: %t (-want +got):\n%s", preview, diff)
			}
		})
	}
}

func TestAMessageBecomesTheStreamThatWasAskedFor(t *testing.T) {
	const answer = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` +
		`{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"text","text":"<a>","citations":null},` +
		`{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}},{"type":"redacted_thinking","data":"x"}],` +
		`"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}`
	want := events(
		`{"type":"message_start","message":{"content":[],"id":"msg_1","model":"m","role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"input_tokens":3,"output_tokens":2}}}`,
		`{"type":"content_block_start","content_block":{"signature":"","thinking":"","type":"thinking"},"index":0}`,
		`{"type":"content_block_delta","delta":{"thinking":"hm","type":"thinking_delta"},"index":0}`,
		`{"type":"content_block_delta","delta":{"signature":"sig","type":"signature_delta"},"index":0}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","content_block":{"citations":null,"text":"","type":"text"},"index":1}`,
		`{"type":"content_block_delta","delta":{"text":"<a>","type":"text_delta"},"index":1}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","content_block":{"id":"toolu_1","input":{},"name":"weather","type":"tool_use"},"index":2}`,
		`{"type":"content_block_delta","delta":{"partial_json":"{\"city\":\"Oslo\"}","type":"input_json_delta"},"index":2}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","content_block":{"data":"x","type":"redacted_thinking"},"index":3}`,
		`{"type":"content_block_stop","index":3}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":3,"output_tokens":2}}`,
		`{"type":"message_stop"}`,
	)
	got, err := Messages.StreamOf([]byte(answer), true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sortedEvents(t, want), sortedEvents(t, string(got))); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	rereads(t, Messages, answer)
	for _, body := range []string{"", "[]", "{}", `{"content":3}`, `{"content":[{}]}`, `{"content":[3]}`} {
		if stream, err := Messages.StreamOf([]byte(body), true); err == nil {
			t.Errorf("%q becomes %q", body, stream)
		}
	}
}

// sortedEvents are the names of events, and their data with the members in one order.
func sortedEvents(t *testing.T, stream string) (all []string) {
	t.Helper()
	read, err := readAll(newReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range read {
		all = append(all, string(event.Name)+" "+canonical(t, event.Data))
	}
	return all
}

func TestErrorsHaveAnthropicsShapeWhereItsClientsAsk(t *testing.T) {
	for status, kind := range map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
		405: "invalid_request_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
		502: "api_error", 503: "api_error", 504: "timeout_error", 529: "overloaded_error",
	} {
		w := httptest.NewRecorder()
		DialectAt("/messages").Write(w, &Error{Status: status, Type: "x", Code: "y", Message: "z"})
		want := `{"type":"error","error":{"type":"` + kind + `","message":"z","code":"y"}}`
		if w.Code != status || w.Body.String() != want {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	event := string(DialectAt("/messages").Event(&Error{Status: 502, Message: "gone"}))
	if want := events(`{"type":"error","error":{"type":"api_error","message":"gone"}}`); event != want {
		t.Errorf("%q, want %q", event, want)
	}
}

func TestRateLimitsAreToldInAnthropicsHeadersToo(t *testing.T) {
	header := http.Header{}
	now := time.Date(2026, 11, 26, 17, 0, 0, 500, time.FixedZone("", 3600))
	DialectAt("/messages").SetRateLimit(header, RateLimit{Unit: "requests", Limit: 5, Remaining: -1, ResetsIn: 90 * time.Second}, now)
	want := http.Header{
		"X-Ratelimit-Limit-Requests": {"5"}, "X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"1m30s"},
		"Anthropic-Ratelimit-Requests-Limit": {"5"}, "Anthropic-Ratelimit-Requests-Remaining": {"0"},
		"Anthropic-Ratelimit-Requests-Reset": {"2026-11-26T16:01:30Z"},
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}
	other := http.Header{}
	DialectAt("/chat/completions").SetRateLimit(other, RateLimit{Unit: "tokens", Limit: 5}, now)
	if len(other) != 3 {
		t.Errorf("a chat is told %v", other)
	}
}

func TestTheVersionOfAnthropicsAPI(t *testing.T) {
	for version, served := range map[string]bool{"": true, "2023-06-01": true, "2026-10-21": true, "2023-01-01": false, "latest": false} {
		problem := Messages.CheckHeader(http.Header{"Anthropic-Version": {version}})
		if (problem == nil) != served {
			t.Errorf("%q: %v", version, problem)
		}
	}
	if problem := Chat.CheckHeader(http.Header{"Anthropic-Version": {"latest"}}); problem != nil {
		t.Errorf("a chat is asked for a version: %v", problem)
	}
}

func TestTheKeyOfAMessageGoesWhereItsServerLooksForIt(t *testing.T) {
	const bearer = "Bearer "
	cases := map[string]struct {
		provider Provider
		key      string
		want     http.Header
	}{
		"OpenRouter":        {OpenRouter, "sk-or", http.Header{"Authorization": {bearer + "sk-or"}}},
		"Anthropic":         {Compatible, "sk-ant-api03-x", http.Header{"X-Api-Key": {"sk-ant-api03-x"}}},
		"a compatible one":  {Compatible, "x", http.Header{"Authorization": {bearer + "x"}, "X-Api-Key": {"x"}}},
		"one without a key": {Compatible, "", http.Header{}},
	}
	for name, test := range cases {
		header := http.Header{}
		if test.key != "" {
			header.Set("Authorization", bearer+test.key)
		}
		Messages.SetHeader(header, test.provider, test.key)
		test.want.Set("Anthropic-Version", "2023-06-01")
		if diff := cmp.Diff(test.want, header); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}
