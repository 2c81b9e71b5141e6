package openai

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// among picks one of the operations.
func among(choice uint8) *Operation { return operations[int(choice)%len(operations)] }

// FuzzOperations holds every operation's reading of a request: what is accepted is good JSON, has a bound, is accepted again as it goes
// upstream with the same bound, and keeps every byte of what nobody set.
func FuzzOperations(f *testing.F) {
	for _, seed := range []string{
		messageWith(`"stream":true,"system":[{"type":"text","text":"\u00e9","cache_control":{"type":"ephemeral"}}],"thinking":{"type":"enabled","budget_tokens":5}`),
		messageOf(`{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{}}]}]},{"role":"assistant","content":"x"}`),
		messageWith(`"tools":[{"name":"a","input_schema":{}},{"type":"bash_20250124"}],"tool_choice":{"type":"tool","name":"a"},"x":[1e400]`),
		responseWith(`"instructions":"x","text":{"format":{"type":"json_schema","name":"a","schema":{}}},"reasoning":{"effort":"low"},"store":null`),
		responseOf(`{"type":"function_call","arguments":"{}"},{"type":"function_call_output","output":[{"type":"input_text","text":"\ud800"}]},{"role":"user","content":"x"}`),
		responseWith(`"tools":[{"type":"function","name":"a"}],"tool_choice":{"type":"function","name":"a"},"include":["x"],"max_output_tokens":7`),
		chatWith(`"max_tokens":5`),
	} {
		for i := range operations {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, choice uint8) {
		operation, before := among(choice), bytes.Clone(body)
		r, problem := operation.Parse(body)
		if problem != nil {
			if problem.Status != 400 || problem.Message == "" || !utf8.ValidString(problem.Message) {
				t.Errorf("%q: %+v", body, problem)
			}
			return
		}
		if bound := PromptTokensBound(r, 1000); !json.Valid(body) || bound <= 0 || bound > 1000*r.Prompts || r.PromptBytes < 0 {
			t.Errorf("%q has a bound of %d and %d bytes", body, bound, r.PromptBytes)
		}
		rules, err := NewRules(Policy{Provider: []Provider{Compatible, OpenAI, OpenRouter}[choice%3], MaxCompletionTokens: 50})
		if err != nil {
			t.Fatal(err)
		}
		set := append([]string{"model", "stream_options", "store"}, operation.limits...)
		kept := membersExcept(t, body, set...)
		if problem := r.Apply(rules); problem != nil {
			return
		}
		r.SetModel("another")
		r.RequestUsage()
		if after := membersExcept(t, r.Body(), set...); !cmp.Equal(after, kept) || !bytes.Equal(before, body) {
			t.Errorf("%q became %q", before, r.Body())
		}
		again, problem := operation.Parse(r.Body())
		if problem != nil {
			// A limit that was lowered may be less than what thinking was to take of it, which the upstream says.
			if problem.Param == "thinking.budget_tokens" {
				return
			}
			t.Fatalf("%q became %q: %v", body, r.Body(), problem)
		}
		if again.PromptBytes != r.PromptBytes || again.toolTokens != r.toolTokens || !cmp.Equal(again.CompletionLimit(), r.CompletionLimit()) {
			t.Errorf("%q is %+v, and %+v when read anew", r.Body(), r, again)
		}
	})
}

// FuzzAnswers holds every operation's reading of answers and of the events of a stream, and the making of a stream of an answer.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"type":"message","content":[{"type":"tool_use","input":{}}],"usage":{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":3,"cost":1e-6}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}`,
		`{"type":"error","error":{"type":"overloaded_error","message":"x"}}`,
		`{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":1,"output_tokens":2}}`,
		`{"type":"response.failed","response":{"error":{"code":"x"},"usage":{"input_tokens":1,"output_tokens":2,"cost":0.1}}}`,
		`{"type":"response.output_text.delta","delta":"x"}`,
	} {
		for i := range operations {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, choice uint8) {
		operation := among(choice)
		answer, err := operation.ReadAnswer(body)
		if usage := answer.Usage; usage != nil && (usage.PromptTokens < 0 || usage.CompletionTokens < 0 || usage.CachedTokens < 0 ||
			usage.CacheWriteTokens < 0 || usage.CachedTokens+usage.CacheWriteTokens > usage.PromptTokens ||
			usage.Cost != nil && usage.Cost.IsNegative() || err != nil) {
			t.Errorf("%q is a usage of %+v, %v", body, usage, err)
		}
		if (answer.Usage != nil || answer.Reported != nil) && !json.Valid(body) {
			t.Errorf("%q is no JSON, but says %+v", body, answer)
		}
		meter := operation.NewMeter()
		meter.Observe(Event{Data: []byte(operationsFirst)})
		meter.Observe(Event{Data: body})
		if usage, err := meter.Usage(); usage != nil && (usage.PromptTokens < usage.CachedTokens || err != nil) || meter.CompletionBytes() < 0 {
			t.Errorf("%q is metered as %+v, %v", body, usage, err)
		}
		if operation.stream == nil {
			return
		}
		if stream, err := operation.StreamOf(body, true); err == nil {
			for _, event := range eventsOf(t, stream) {
				if !event.Done && !json.Valid(event.Data) {
					t.Errorf("%q becomes %q", body, stream)
				}
			}
		}
	})
}

// operationsFirst is an event in front of others, of which an operation remembers the usage.
const operationsFirst = `{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":1}}}`

func eventsOf(t *testing.T, stream []byte) []Event {
	t.Helper()
	all, err := readAll(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
