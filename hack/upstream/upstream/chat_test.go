package upstream

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	entanglement = "Explain quantum entanglement in one sentence."
	streaming    = `"stream":true`
	asMixtral    = `"model":"` + mixtral + `"`
	nitro        = `"model":"` + mixtral + `:nitro"`
	toGPT        = `"models":["` + gpt + `"]`
)

const goldenAnswer = `{"id":"ID","object":"chat.completion","created":1800000000,"model":"mistralai/mixtral-8x22b-instruct",` +
	`"provider":"Mistral","system_fingerprint":"fp_modelroute_1","service_tier":"default","choices":[{"index":0,"logprobs":null,` +
	`"finish_reason":"stop","native_finish_reason":"stop","message":{"role":"assistant","content":"Quantum entanglement is a bond ` +
	`between particles that share one quantum state ψ, so that measuring one of them at once fixes what will be found at the ` +
	`other, however far apart they are.","refusal":null,"reasoning":null}}],"usage":{"prompt_tokens":26,"completion_tokens":62,` +
	`"total_tokens":88,"cost":0.000424,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,` +
	`"audio_tokens":0,"video_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"image_tokens":0},"cost_details":` +
	`{"upstream_inference_cost":0.000424,"upstream_inference_prompt_cost":0.000052,"upstream_inference_completions_cost":0.000372}}}`

func TestAnswerHasOpenRoutersShape(t *testing.T) {
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	w := start(t, Options{Now: now.Now})
	a := w.chat(t, body(entanglement))
	id := a.completion(t).ID
	if !regexp.MustCompile(`^gen-1800000000-[A-Za-z0-9]{20}$`).MatchString(id) || a.header.Get("X-Generation-Id") != id {
		t.Errorf("id %q, header %q", id, a.header.Get("X-Generation-Id"))
	}
	if diff := cmp.Diff(goldenAnswer, strings.ReplaceAll(string(a.raw), id, "ID")); diff != "" {
		t.Error(diff)
	}
}

func TestUsageCostIsTheBookedCost(t *testing.T) {
	cases := map[string]struct{ reason, request string }{
		"JSON":     {"the plain answer", body(entanglement)},
		"Stream":   {"usage comes whatever is asked", body(entanglement, streaming, `"stream_options":{"include_usage":false}`)},
		"Choices":  {"the prompt is billed once, every choice is", body(entanglement, `"n":3`)},
		"Tools":    {"a call is tokens too", body("weather in Oslo", weatherTools, streaming)},
		"Priority": {"a dearer tier", body(entanglement, `"service_tier":"priority"`)},
		"Variant":  {"a dearer variant", body(entanglement, `"model":"`+mixtral+`:nitro"`)},
		"Web":      {"a surcharge", body(entanglement, `"plugins":[{"id":"web"}]`)},
		"Exponent": {"the same number in another notation", body(entanglement, `"user":"fault:exponent"`)},
		"Other":    {"another price", body(entanglement, `"model":"`+gpt+`"`)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.chat(t, tc.request)
			var u wireUsage
			if strings.Contains(tc.request, `"stream":true`) {
				all := a.events(t).usages()
				u = all[len(all)-1]
			} else {
				u = *a.completion(t).Usage
			}
			r := w.onlyRecord(t)
			if got := exactNano(t, u.Cost); got != r.CostNanoUSD || r.CostNanoUSD <= 0 {
				t.Errorf("%s: usage says %s = %d nano-USD, the books %d", tc.reason, u.Cost, got, r.CostNanoUSD)
			}
			if diff := cmp.Diff([]int{r.PromptTokens, r.CompletionTokens, r.PromptTokens + r.CompletionTokens},
				[]int{u.Prompt, u.Completion, u.Total}); diff != "" {
				t.Errorf("%s: tokens in the books and in usage differ: %s", tc.reason, diff)
			}
			if r.CostUSD != FormatUSD(r.CostNanoUSD) || *u.BYOK {
				t.Errorf("%s: %+v", tc.reason, r)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	cases := map[string]struct {
		reason, members    string
		prompt, completion int64 // nano-USD per token
		extra              int64
	}{
		"Model":    {"2 and 6 USD per million tokens", asMixtral, 2000, 6000, 0},
		"Nitro":    {"a variant is another, dearer endpoint", nitro, 4000, 12000, 0},
		"Priority": {"a tier has its own price", asMixtral + `,"service_tier":"priority"`, 4000, 12000, 0},
		"Both":     {"variant and tier multiply", `"model":"` + mixtral + `:floor","service_tier":"fast"`, 8000, 24000, 0},
		"Default":  {"the default tier costs nothing more", asMixtral + `,"service_tier":"default"`, 2000, 6000, 0},
		"Primary":  {"fallbacks do not matter while the model works", asMixtral + "," + toGPT, 2000, 6000, 0},
		"Fallback": {"a fallback is billed at its own price", `"user":"fault:status=503",` + asMixtral + "," + toGPT, 2500, 10000, 0},
		"Filtered": {"a fallback serves what is filtered", `"provider":{"only":["OpenAI"]},` + asMixtral + "," + toGPT, 2500, 10000, 0},
		"Web":      {"a search costs by itself", asMixtral + `,"web_search_options":{}`, 2000, 6000, 20_000_000},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			w.chat(t, body("What is a teapot?", tc.members)).completion(t)
			r := w.onlyRecord(t)
			want := int64(r.PromptTokens)*tc.prompt + int64(r.CompletionTokens)*tc.completion + tc.extra
			if r.CostNanoUSD != want {
				t.Errorf("%s: billed %d, want %d", tc.reason, r.CostNanoUSD, want)
			}
		})
	}
}

func TestLimitsAndStops(t *testing.T) {
	const ten = `"seed":1,"user":"fault:answer=10"`
	w := start(t, Options{})
	whole := w.chat(t, body("What is a teapot?", ten)).completion(t).text()
	words := strings.Fields(whole)
	four := `,"stop":["zzz","` + words[2] + `","` + words[1] + `","yyy"]`
	past := `,"stop":["` + words[len(words)-1] + `"]`
	cases := map[string]struct {
		reason  string
		members string
		tokens  int
		finish  string
		text    string // a prefix of whole, checked as such
	}{
		"Natural":     {"an answer that ends by itself", ten, 10, "stop", whole},
		"AtLimit":     {"an answer that just fits ends by itself", ten + `,"max_tokens":10`, 10, "stop", whole},
		"Cut":         {"max_tokens cuts", ten + `,"max_tokens":4`, 4, "length", whole},
		"CutNew":      {"max_completion_tokens cuts the same", ten + `,"max_completion_tokens":4`, 4, "length", whole},
		"Larger":      {"of two limits the larger", ten + `,"max_tokens":2,"max_completion_tokens":6`, 6, "length", whole},
		"Null":        {"null is no limit", ten + `,"max_tokens":null`, 10, "stop", whole},
		"Stop":        {"a stop sequence is billed, not shown", ten + `,"stop":"` + words[1] + `"`, -1, "stop", words[0] + " "},
		"EarliestOf4": {"the first of four to come counts", ten + four, -1, "stop", words[0] + " "},
		"StopAfter":   {"a stop sequence past the limit is never produced", ten + `,"max_tokens":1` + past, 1, "length", whole},
		"NoStop":      {"a stop sequence that does not occur changes nothing", ten + `,"stop":["zzz"]`, 10, "stop", whole},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				a := w.chat(t, body("What is a teapot?", tc.members, fmt.Sprintf(`"stream":%v`, stream)))
				text, finish, u := outcome(t, a, stream)
				if finish != tc.finish || !strings.HasPrefix(whole, text) {
					t.Errorf("%s (stream %v): %q, finish_reason %q, want %q", tc.reason, stream, text, finish, tc.finish)
				}
				count := CountTokens(text)
				if tc.tokens >= 0 && (u.Completion != tc.tokens || count != tc.tokens) {
					t.Errorf("%s (stream %v): usage %d, %d in %q, want %d", tc.reason, stream, u.Completion, count, text, tc.tokens)
				}
				if tc.tokens < 0 && (text != tc.text || u.Completion < 2) {
					t.Errorf("%s (stream %v): %q, usage %d, want %q and the stop", tc.reason, stream, text, u.Completion, tc.text)
				}
			}
		})
	}
}

// outcome is the text, finish reason and last usage of an answer.
func outcome(t *testing.T, a answer, stream bool) (text, finish string, u wireUsage) {
	t.Helper()
	if !stream {
		c := a.completion(t)
		return c.text(), *c.Choices[0].Finish, *c.Usage
	}
	e := a.events(t)
	for _, chunk := range e.chunks {
		for _, c := range chunk.Choices {
			if c.Finish != nil {
				finish = *c.Finish
			}
		}
	}
	all := e.usages()
	return e.text(0), finish, all[len(all)-1]
}

func TestSeedDecidesTheText(t *testing.T) {
	w := start(t, Options{})
	ask := func(prompt, members string) string { return w.chat(t, body(prompt, members)).completion(t).text() }
	const q = "Tell me about teapots"
	if a, b := ask(q, `"seed":7`), ask(q, `"seed":7`); a != b {
		t.Errorf("one seed gave %q and %q", a, b)
	}
	if a, b := ask(q, `"temperature":0`), ask(q, `"temperature":0`); a != b {
		t.Errorf("temperature 0 gave %q and %q", a, b)
	}
	if a, b := ask(q, `"seed":7`), ask(q, `"seed":8`); a == b {
		t.Errorf("two seeds both gave %q", a)
	}
	if a, b := ask(q, `"seed":7`), ask("Tell me about kettles", `"seed":7`); a == b {
		t.Errorf("two prompts both gave %q", a)
	}
	if a, b := ask(q, `"top_p":1`), ask(q, `"top_p":1`); a == b {
		t.Errorf("without a seed the text should vary, got %q twice", a)
	}
	c := w.chat(t, body(q, `"seed":7,"n":2`)).completion(t)
	if *c.Choices[0].Message.Content == *c.Choices[1].Message.Content {
		t.Error("two choices of one request are the same")
	}
	cold := w.chat(t, body(q, `"temperature":0,"n":2`)).completion(t)
	if *cold.Choices[0].Message.Content != *cold.Choices[1].Message.Content {
		t.Error("two choices at temperature 0 differ")
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("!", 70_000)
	const (
		otherTool = `"tool_choice":{"type":"function","function":{"name":"x"}}`
		image     = `{"role":"user","content":[{"type":"image_url"}]}`
		noName    = `"response_format":{"type":"json_schema","json_schema":{}}`
	)
	with := func(messages string) string { return `{` + asMixtral + `,"messages":[` + messages + `]}` }
	priced := func(ceiling string, members ...string) string {
		return body("a", append(members, `"provider":{"max_price":`+ceiling+`}`)...)
	}
	cases := map[string]struct {
		reason  string
		body    string
		status  int
		kind    string
		message string
	}{
		"NotJSON":       {"a body that is no JSON", `{"model":`, 400, "invalid_request", "JSON"},
		"NotAnObject":   {"null is no request", `null`, 400, "invalid_request", "JSON"},
		"Trailing":      {"one object and nothing after it", body("a") + "{}", 400, "invalid_request", "JSON"},
		"NoMessages":    {"nothing to answer", `{"model":"` + mixtral + `"}`, 400, "invalid_request", "messages"},
		"EmptyMessages": {"the same", with(``), 400, "invalid_request", "messages"},
		"Role":          {"no such role", with(`{"role":"x","content":"a"}`), 400, "invalid_request", "role"},
		"Content":       {"no content", with(`{"role":"user"}`), 400, "invalid_request", "content"},
		"NullPart":      {"a part that is none", with(`{"role":"user","content":[null]}`), 400, "invalid_request", "content[0]"},
		"Plugins":       {"a list of objects", body("a", `"plugins":"web"`), 400, "invalid_request", `\"plugins\": expected array`},
		"Image":         {"no endpoint takes images", with(image), 404, "no_endpoints", "image_url"},
		"UnknownModel":  {"no such model", body("a", `"model":"no/such"`), 400, "model_not_found", "no/such is not a valid model ID"},
		"BareModel":     {"an id has its author", body("a", `"model":"mixtral-8x22b-instruct"`), 400, "model_not_found", "not a valid"},
		"OddVariant":    {"no such variant", body("a", `"model":"`+mixtral+`:odd"`), 400, "model_not_found", ":odd"},
		"FreeVariant":   {"no free endpoint", body("a", `"model":"`+mixtral+`:free"`), 404, "no_endpoints", "No endpoints found"},
		"NoModel":       {"a model is needed", body("a", `"models":[]`), 400, "invalid_request", "No models"},
		"MaxPrice":      {"the price is above the ceiling", priced(`{"prompt":"1.99"}`), 404, "constraint_filtered", "price"},
		"MaxPriceTrap":  {"max_price is per million, not per token", priced(`{"prompt":0.000002}`), 404, "constraint_filtered", "price"},
		"MaxPriceNitro": {"a variant is dearer", priced(`{"completion":"6"}`, nitro), 404, "constraint_filtered", "price"},
		"MaxPriceBad":   {"no decimal", priced(`{"prompt":"cheap"}`), 400, "invalid_request", "max_price"},
		"Only":          {"another provider", body("a", `"provider":{"only":["OpenAI"]}`), 404, "constraint_filtered", "providers"},
		"Temperature":   {"above 2", body("a", `"temperature":2.1`), 400, "invalid_request", "temperature"},
		"TopP":          {"below 0", body("a", `"top_p":-0.1`), 400, "invalid_request", "top_p"},
		"Penalty":       {"above 2", body("a", `"presence_penalty":3`), 400, "invalid_request", "presence_penalty"},
		"ZeroTokens":    {"at least 1", body("a", `"max_tokens":0`), 400, "invalid_request", "0 is not between 1 and 2147483647"},
		"HalfTokens":    {"an integer", body("a", `"max_completion_tokens":1.5`), 400, "invalid_request", "max_completion_tokens"},
		"TextTokens":    {"a number", body("a", `"max_tokens":"9"`), 400, "invalid_request", "max_tokens"},
		"Choices":       {"at most 128", body("a", `"n":129`), 400, "invalid_request", `\"n\"`},
		"Seed":          {"an integer", body("a", `"seed":1.5`), 400, "invalid_request", "seed"},
		"FiveStops":     {"at most four", body("a", `"stop":["1","2","3","4","5"]`), 400, "invalid_request", "stop"},
		"Stop":          {"strings", body("a", `"stop":7`), 400, "invalid_request", "stop"},
		"Stream":        {"a boolean", body("a", `"stream":"yes"`), 400, "invalid_request", "stream"},
		"ToolChoice":    {"no such tool", body("a", weatherTools, otherTool), 400, "invalid_request", "tool_choice"},
		"NoTools":       {"required of none", body("a", `"tool_choice":"required"`), 400, "invalid_request", "tool_choice"},
		"Format":        {"no such format", body("a", `"response_format":{"type":"xml"}`), 400, "invalid_request", "response_format"},
		"FormatName":    {"a schema has a name", body("a", noName), 400, "invalid_request", "name"},
		"Context":       {"the prompt alone is too long", body(long), 400, "context_length_exceeded", "maximum context length is 65536"},
		"ContextFull":   {"nothing is left for an answer", body(long[:65536-12]), 400, "context_length_exceeded", "requested about 65536"},
		"ContextLimit":  {"the prompt and the limit are", body("a", `"max_tokens":65536`), 400, "context_length_exceeded", "in the output"},
		"ModelLimit":    {"the model's own cap", body("a", `"model":"`+gpt+`","max_tokens":20000`), 400, "max_tokens_exceeded", "16384"},
		"Fault":         {"a slip of the pen must show", body("a", `"user":"fault:cutt=3"`), 400, "invalid_request", "cutt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.chat(t, tc.body)
			wantError(tc.status, tc.kind, float64(tc.status))(t, a)
			if !strings.Contains(string(a.raw), tc.message) {
				t.Errorf("%s: got %d %s, want %d %s with %q", tc.reason, a.status, a.raw, tc.status, tc.kind, tc.message)
			}
			if n := w.Billed(Filter{}).Count; n != 0 {
				t.Errorf("%s: a refusal was billed", tc.reason)
			}
		})
	}
}

func TestRefusalsOfOtherRequests(t *testing.T) {
	w := start(t, Options{Keys: []Key{{Label: "app", Secret: "sk-or-app", LimitNano: NoLimit}}})
	cases := map[string]struct {
		reason, method, path, authorization string
		status                              int
		kind                                string
	}{
		"NoKey":     {"a key is needed", "POST", "/v1/chat/completions", "", 401, "authentication"},
		"OtherKey":  {"only listed keys count", "POST", "/v1/chat/completions", "Bearer sk-or-else", 401, "authentication"},
		"Basic":     {"another scheme", "GET", "/v1/key", "Basic sk-or-app", 401, "authentication"},
		"Path":      {"no such path", "POST", "/api/v1/nothing", "Bearer sk-or-app", 404, "not_found"},
		"Method":    {"no such method", "GET", "/api/v1/chat/completions", "Bearer sk-or-app", 405, "unmapped"},
		"NoModel":   {"no such model", "GET", "/api/v1/models/no/such", "", 404, "not_found"},
		"NoGenID":   {"an id is needed", "GET", "/api/v1/generation", "Bearer sk-or-app", 400, "invalid_request"},
		"WrongGen":  {"no such generation", "GET", "/api/v1/generation?id=gen-1-a", "Bearer sk-or-app", 404, "not_found"},
		"KeyOfNone": {"a prefix alone is no key", "GET", "/api/v1/credits", "Bearer sk-or-", 401, "authentication"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := w.do(t, tc.method, tc.path, body("a"), "Authorization", tc.authorization)
			if p := a.problem(t); a.status != tc.status || p.Code != float64(tc.status) || p.Metadata.Type != tc.kind {
				t.Errorf("%s: got %d %s", tc.reason, a.status, a.raw)
			}
		})
	}
}

func TestLargeBodyIsRefused(t *testing.T) {
	w := start(t, Options{})
	a := w.chat(t, `{"model":"`+strings.Repeat("a", maxBody)+`"}`)
	if a.status != http.StatusRequestEntityTooLarge || a.problem(t).Metadata.Type != "payload_too_large" {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

func TestNamesAreCaseSensitive(t *testing.T) {
	w := start(t, Options{})
	c := w.chat(t, body("What is a teapot?", `"MAX_TOKENS":1,"N":5`)).completion(t)
	if len(c.Choices) != 1 || c.Usage.Completion == 1 {
		t.Errorf("a parameter in capitals was taken for another: %+v", c)
	}
}

func TestPromptInsteadOfMessages(t *testing.T) {
	w := start(t, Options{})
	c := w.chat(t, `{"model":"`+mixtral+`","prompt":"`+entanglement+`"}`).completion(t)
	if !strings.Contains(c.text(), "entanglement") {
		t.Errorf("got %q", c.text())
	}
}

func TestMaxPriceAtThePriceIsServed(t *testing.T) {
	w := start(t, Options{})
	for _, ceiling := range []string{`{"prompt":"2","completion":"6.00"}`, `{"prompt":2,"completion":6}`, `{"prompt":null}`} {
		w.chat(t, body("a", `"provider":{"max_price":`+ceiling+`}`)).completion(t)
	}
}

func TestStopSequencesAreBilledToTheirEnd(t *testing.T) {
	const twenty = `"seed":1,"user":"fault:answer=20"`
	w := start(t, Options{})
	whole := w.chat(t, body("What is a teapot?", twenty)).completion(t).text()
	stop := whole[7:20]
	c := w.chat(t, body("What is a teapot?", twenty, `"stop":"`+stop+`"`)).completion(t)
	want := 0
	for text := ""; !strings.Contains(text, stop); want++ {
		text = strings.Join(slices.Collect(tokens(whole))[:want+1], "")
	}
	if c.text() != whole[:7] || c.Usage.Completion != want || want < CountTokens(whole[:7])+3 {
		t.Errorf("%q with %d tokens, want %q with %d", c.text(), c.Usage.Completion, whole[:7], want)
	}
}

func TestOverrunIsAlwaysBilled(t *testing.T) {
	w := start(t, Options{})
	c := w.chat(t, body(entanglement, `"max_tokens":100,"user":"fault:overrun=5"`)).completion(t)
	if n := CountTokens(c.text()); n != 105 || c.Usage.Completion != 105 {
		t.Errorf("a short answer grows past its limit: %d tokens of text, %d in usage, want 105", n, c.Usage.Completion)
	}
	usual := w.chat(t, body(entanglement)).completion(t).Usage.Completion
	if open := w.chat(t, body(entanglement, `"user":"fault:overrun=5"`)).completion(t).Usage.Completion; open != usual+5 {
		t.Errorf("without a limit the overrun comes on top: %d, want %d", open, usual+5)
	}
	call := w.chat(t, body("weather in Oslo", weatherTools, `"max_tokens":300,"user":"fault:overrun=5"`)).completion(t)
	if call.Usage.Completion != 305 || len(call.Choices[0].Message.Calls) != 1 {
		t.Errorf("a call overruns too: %+v", call.Usage)
	}
}
