package openai

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/pricing"
)

func TestResponsesThatAreRefused(t *testing.T) {
	refuses(t, Responses, map[string]refusalCase{
		"NoInput":         {`{"model":"m"}`, "input"},
		"NullInput":       {`{"model":"m","input":null}`, "input"},
		"EmptyInput":      {`{"model":"m","input":[]}`, "input"},
		"TextItem":        {responseOf(`"hi"`), "input[0]"},
		"OddContent":      {responseOf(`{"role":"user","content":5}`), "input[0].content"},
		"TextPart":        {responseOf(`{"role":"user","content":["hi"]}`), "input[0].content[0]"},
		"Reference":       {responseOf(`{"type":"item_reference","id":"msg_1"}`), "input[0]"},
		"ShortReference":  {responseOf(`{"id":"msg_1"}`), "input[0]"},
		"NullReference":   {responseOf(`{"type":null,"id":"msg_1"}`), "input[0]"},
		"File":            {responseOf(`{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}`), "input[0].content[0].file_id"},
		"FileOfOutput":    {responseOf(`{"type":"function_call_output","output":[{"type":"input_image","file_id":"f"}]}`), "input[0].output[0].file_id"},
		"Previous":        {responseWith(`"previous_response_id":"resp_1"`), "previous_response_id"},
		"Conversation":    {responseWith(`"conversation":{"id":"conv_1"}`), "conversation"},
		"Template":        {responseWith(`"prompt":{"id":"pmpt_1"}`), "prompt"},
		"Background":      {responseWith(`"background":true`), "background"},
		"Store":           {responseWith(`"store":true`), "store"},
		"StoreText":       {responseWith(`"store":"no"`), "store"},
		"Limit":           {responseWith(`"max_output_tokens":0`), "max_output_tokens"},
		"HotTemperature":  {responseWith(`"temperature":2.1`), "temperature"},
		"Logprobs":        {responseWith(`"top_logprobs":21`), "top_logprobs"},
		"Verbosity":       {responseWith(`"text":{"verbosity":"chatty"}`), "text.verbosity"},
		"FormatOfNoType":  {responseWith(`"text":{"format":{}}`), "text.format.type"},
		"FormatUnknown":   {responseWith(`"text":{"format":{"type":"xml"}}`), "text.format.type"},
		"FormatOfNoName":  {responseWith(`"text":{"format":{"type":"json_schema","schema":{}}}`), "text.format.name"},
		"Choice":          {responseWith(`"tool_choice":"any"`), "tool_choice"},
		"ChoiceOfHosted":  {responseWith(`"tool_choice":{"type":"web_search"}`), "tool_choice.type"},
		"ChoiceOfNoName":  {responseWith(`"tool_choice":{"type":"function"}`), "tool_choice.name"},
		"Truncation":      {responseWith(`"truncation":"middle"`), "truncation"},
		"Include":         {responseWith(`"include":"x"`), "include"},
		"Effort":          {responseWith(`"reasoning":{"effort":"huge"}`), "reasoning.effort"},
		"Instructions":    {responseWith(`"instructions":["x"]`), "instructions"},
		"LimitOfAChat":    {responseWith(`"Max_Output_Tokens":5`), "Max_Output_Tokens"},
		"MetadataOfLists": {responseWith(`"metadata":{"a":[]}`), "metadata.a"},
	})
}

func TestWhatOfAResponseIsTheRoutesOrHasNoBound(t *testing.T) {
	bounds(t, Responses, map[string]boundCase{
		"Plain": {responseWith(`"instructions":"be brief","text":{"format":{"type":"text"},"verbosity":"low"},"truncation":"auto","store":false,"background":false,` +
			`"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},"service_tier":"auto","previous_response_id":null`), "", ""},
		"Turns": {responseOf(`{"role":"user","content":"weather?"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},` +
			`{"type":"function_call","call_id":"c","name":"weather","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"rain"},` +
			`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"rain","annotations":[]}]}`), "", ""},
		"Tools":           {responseWith(`"tools":[{"type":"function","name":"a","parameters":{}},{"type":"custom","name":"b"}]`), "", ""},
		"WebSearch":       {responseWith(`"tools":[{"type":"function","name":"a"},{"type":"web_search"}]`), "tools[1].type", ""},
		"McpTool":         {responseWith(`"tools":[{"type":"mcp","server_url":"https://x"}]`), "tools[0].type", ""},
		"Namespace":       {responseWith(`"tools":[{"type":"namespace","tools":[]}]`), "tools[0].type", ""},
		"HostedCall":      {responseOf(`{"role":"user","content":"x"},{"type":"web_search_call","id":"ws_1"}`), "input[1].type", ""},
		"AdditionalTools": {responseOf(`{"type":"additional_tools","role":"developer","tools":[]}`), "input[0].type", ""},
		"Tier":            {responseWith(`"service_tier":"priority"`), "service_tier", ""},
		"Models":          {responseWith(`"models":["x"]`), "models", ""},
		"Context":         {responseWith(`"context_management":[{}]`), "context_management", ""},
		"Moderation":      {responseWith(`"moderation":{}`), "moderation", ""},
		"CacheOptions":    {responseWith(`"prompt_cache_options":{}`), "prompt_cache_options", ""},
		"Image":           {responseOf(`{"role":"user","content":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x"}]}`), "", "input[0].content[1]"},
		"ImageOfTool":     {responseOf(`{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"x"}]}`), "", "input[0].output[0]"},
	})
}

func TestTheBoundOfAResponseCoversItsParts(t *testing.T) {
	const long = "0123456789012345678901234567890123456789012345678901234567890123456789"
	plain := PromptTokensBound(mustParseAs(t, Responses, responseWith("")), 0)
	for body, more := range map[string]int64{
		`{"model":"m","input":"` + long + `"}`:                                                                60,
		responseWith(`"instructions":"` + long + `"`):                                                         70,
		responseOf(`{"role":"user","content":[{"type":"input_text","text":"` + long + `"}]}`):                 60,
		responseOf(`{"type":"function_call_output","output":"` + long + `"}`):                                 70,
		responseOf(`{"type":"reasoning","encrypted_content":"` + long + `"}`):                                 70,
		responseWith(`"tools":[{"type":"function","name":"a","description":"` + long + `"}]`):                 70 + toolsOverhead,
		responseWith(`"text":{"format":{"type":"json_schema","name":"a","schema":{"title":"` + long + `"}}}`): 70 + toolsOverhead,
	} {
		if got := PromptTokensBound(mustParseAs(t, Responses, body), 0); got < plain+more {
			t.Errorf("%s is bounded by %d, want %d more than %d", body, got, more, plain)
		}
	}
}

func TestAResponseThatCannotFitItsContextIsRefused(t *testing.T) {
	const context = 50
	words := ""
	for range 200 {
		words += "Thousands of letters that every tokenizer makes many tokens of. "
	}
	for body, fits := range map[string]bool{
		`{"model":"m","input":"` + words + `"}`:                                                false,
		responseOf(`{"role":"user","content":[{"type":"input_text","text":"` + words + `"}]}`): false,
		`{"model":"m","truncation":"auto","input":"` + words + `"}`:                            true,
		responseWith(`"max_output_tokens":50`):                                                 false,
		responseWith(`"max_output_tokens":20`):                                                 true,
	} {
		problem := mustParseAs(t, Responses, body).CheckContext(context, 0, OpenAI)
		if (problem == nil) != fits || !fits && (problem.Code != CodeContextLengthExceeded || problem.Param != "input") {
			t.Errorf("%.60s: %v", body, problem)
		}
	}
}

func TestTheMeterOfAResponse(t *testing.T) {
	const (
		created = `{"type":"response.created","sequence_number":0,"response":{"status":"in_progress","provider":"Mistral","output":[],"usage":null}}`
		text    = `{"type":"response.output_text.delta","delta":"hello","sequence_number":4}`
		input   = `{"type":"response.function_call_arguments.delta","delta":"{}"}`
		told    = `{"type":"response.output_text.done","text":"hello"}`
		used    = `"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":15`
		end     = `{"type":"response.completed","response":{"status":"completed","output":[{}],"error":null,` + used + `}}}`
		cut     = `{"response":{"status":"incomplete","output":[{}],` + used + `,"cost":0.5}},"type":"response.incomplete"}`
		failed  = `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"gone"},"usage":null}}`
		flat    = `{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":3}`
		nested  = `{"type":"error","error":{"code":"x","message":"slow"}}`
	)
	want := pricing.Usage{PromptTokens: 10, CachedTokens: 4, CompletionTokens: 5, ReasoningTokens: 3}
	billed := want
	billed.Cost = nano(500_000_000)
	cases := map[string]struct {
		stream string
		want   metered
	}{
		"the last event has the usage": {
			events(created, text, input, told, end), metered{Usage: &want, Done: true, Finished: true, Bytes: 7},
		},
		"whichever member comes first, and with OpenRouter's cost": {
			"data: " + cut + "\n\n", metered{Usage: &billed, Done: true, Finished: true},
		},
		"a response that failed": {
			events(created, failed),
			metered{Reported: &ReportedError{Code: "server_error", Message: "gone"}, Done: true, Finished: true},
		},
		"an error that is no response": {
			events(created, flat), metered{Reported: &ReportedError{Code: "rate_limit_exceeded", Type: "error", Message: "slow"}},
		},
		"an error in a member":     {events(nested), metered{Reported: &ReportedError{Code: "x", Message: "slow"}}},
		"a chat's end is none":     {events(text) + "data: [DONE]\n\n", metered{Bytes: 5}},
		"and does no harm behind":  {events(end) + "data: [DONE]\n\n", metered{Usage: &want, Done: true, Finished: true}},
		"a usage of nothing known": {events(`{"type":"response.completed","response":{"usage":{}}}`), metered{Unknown: true, Done: true, Finished: true}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, _ := meteredBy(t, Responses, test.stream)
			if diff := cmp.Diff(test.want, got, sameMoney); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAResponseThatFailedIsNoAnswer(t *testing.T) {
	for body, want := range map[string]*ReportedError{
		`{"object":"response","status":"failed","error":{"code":"server_error","message":"gone"},"output":[]}`: {Code: "server_error", Message: "gone"},
		`{"object":"response","status":"failed","error":null,"output":[]}`:                                     {Message: "the response failed"},
		`{"error":{"message":"x"}}`: {Message: "x"},
		`{"object":"response","status":"completed","error":null,"output":[{"type":"message"}]}`: nil,
	} {
		answer, err := Responses.ReadAnswer([]byte(body))
		if diff := cmp.Diff(want, answer.Reported); diff != "" || err != nil || answer.Generated != (want == nil) {
			t.Errorf("%s: %+v, %v\n%s", body, answer, err, diff)
		}
	}
}

func TestAResponseBecomesTheStreamThatWasAskedFor(t *testing.T) {
	const (
		text    = `{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"<a>","annotations":[]}]}`
		call    = `{"id":"fc_1","type":"function_call","status":"completed","call_id":"c","name":"weather","arguments":"{}"}`
		thought = `{"id":"rs_1","type":"reasoning","summary":[]}`
		used    = `{"input_tokens":3,"output_tokens":2}`
		answer  = `{"id":"resp_1","object":"response","status":"completed","error":null,"output":[` + thought + `,` + text + `,` + call + `],"usage":` + used + `}`
		begun   = `{"id":"resp_1","object":"response","status":"in_progress","error":null,"incomplete_details":null,"output":[],"usage":null}`
	)
	want := events(
		`{"type":"response.created","sequence_number":0,"response":`+begun+`}`,
		`{"type":"response.in_progress","sequence_number":1,"response":`+begun+`}`,
		`{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":`+thought+`}`,
		`{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":`+thought+`}`,
		`{"type":"response.output_item.added","sequence_number":4,"output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}`,
		`{"type":"response.content_part.added","sequence_number":5,"output_index":1,"item_id":"msg_1","content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`,
		`{"type":"response.output_text.delta","sequence_number":6,"output_index":1,"item_id":"msg_1","content_index":0,"delta":"<a>","logprobs":[]}`,
		`{"type":"response.output_text.done","sequence_number":7,"output_index":1,"item_id":"msg_1","content_index":0,"text":"<a>","logprobs":[]}`,
		`{"type":"response.content_part.done","sequence_number":8,"output_index":1,"item_id":"msg_1","content_index":0,"part":{"type":"output_text","text":"<a>","annotations":[]}}`,
		`{"type":"response.output_item.done","sequence_number":9,"output_index":1,"item":`+text+`}`,
		`{"type":"response.output_item.added","sequence_number":10,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"c","name":"weather","arguments":""}}`,
		`{"type":"response.function_call_arguments.delta","sequence_number":11,"output_index":2,"item_id":"fc_1","delta":"{}"}`,
		`{"type":"response.function_call_arguments.done","sequence_number":12,"output_index":2,"item_id":"fc_1","name":"weather","arguments":"{}"}`,
		`{"type":"response.output_item.done","sequence_number":13,"output_index":2,"item":`+call+`}`,
		`{"type":"response.completed","sequence_number":14,"response":`+answer+`}`,
	)
	got, err := Responses.StreamOf([]byte(answer), true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sortedEvents(t, want), sortedEvents(t, string(got))); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	rereads(t, Responses, answer)
	for _, body := range []string{"", "[]", "{}", `{"output":[]}`, `{"output":[],"status":"queued"}`, `{"output":[{"type":"message"}],"status":"completed"}`} {
		if stream, err := Responses.StreamOf([]byte(body), true); err == nil {
			t.Errorf("%q becomes %q", body, stream)
		}
	}
}

func TestAnErrorInAStreamOfResponsesIsAnEventOfIts(t *testing.T) {
	event := string(DialectAt("/responses").Event(UpstreamError(502, "upstream_error", "gone")))
	if want := events(`{"type":"error","code":"upstream_error","message":"gone","param":null,"sequence_number":0}`); event != want {
		t.Errorf("%q, want %q", event, want)
	}
}
