package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/pricing"
)

// metered is what a StreamMeter says of a stream.
type metered struct {
	Usage          *pricing.Usage
	Unknown        bool // Usage has an error
	Reported       *ReportedError
	Done, Finished bool
	Bytes          int64
}

func meter(t testing.TB, stream string) metered {
	t.Helper()
	events, err := readAll(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	m := Chat.NewMeter()
	for _, event := range events {
		m.Observe(event)
	}
	usage, err := m.Usage()
	return metered{usage, err != nil, m.Reported(), m.Done(), m.Finished(), m.CompletionBytes()}
}

// chunks makes a stream of these chunks.
func chunks(data ...string) string {
	var out strings.Builder
	for _, chunk := range data {
		out.WriteString("data: " + chunk + "\n\n")
	}
	return out.String()
}

func TestStreamMeter(t *testing.T) {
	usage := func(prompt, completion int64) *pricing.Usage {
		return &pricing.Usage{PromptTokens: prompt, CompletionTokens: completion}
	}
	const (
		hello    = `{"choices":[{"delta":{"role":"assistant","content":"hello"}}]}`
		finish   = `{"choices":[{"delta":{},"finish_reason":"stop"}]}`
		used     = `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}`
		preview  = `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":0}}`
		helloPay = `{"choices":[{"delta":{"content":"hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`
		broken   = `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":-2}}`
		failed   = `{"error":{"code":502,"message":"gone"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}`
		done     = "[DONE]"
	)
	tests := map[string]struct {
		reason, stream string
		want           metered
	}{
		"Usual": {
			"usage in the last chunk", chunks(hello, finish, used, done), metered{Usage: usage(3, 2), Done: true, Finished: true, Bytes: 5},
		},
		"Comments": {"signs of life are nothing", ": OPENROUTER PROCESSING\n\n" + chunks(hello, used), metered{Usage: usage(3, 2), Bytes: 5}},
		"Preview": {
			"a first usage is no end", chunks(preview, hello, finish, used, done),
			metered{Usage: usage(3, 2), Done: true, Finished: true, Bytes: 5},
		},
		"Every": {
			"usage is cumulative: never summed", chunks(helloPay, helloPay, used, done), metered{Usage: usage(3, 2), Done: true, Bytes: 10},
		},
		"EveryNull": {"null does not take back", chunks(helloPay, `{"usage":null}`, done), metered{Usage: usage(3, 1), Done: true, Bytes: 5}},
		"AfterDone": {"the last wins, wherever it stands", chunks(hello, done, used), metered{Usage: usage(3, 2), Done: true, Bytes: 5}},
		"WithFinish": {
			"usage beside the finish reason",
			chunks(`{"choices":[{"delta":{"content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`),
			metered{Usage: usage(3, 2), Finished: true, Bytes: 1},
		},
		"Absent": {"not told is not known", chunks(hello, finish, done), metered{Done: true, Finished: true, Bytes: 5}},
		"Cut":    {"no end", chunks(hello), metered{Bytes: 5}},
		"CutInChunk": {
			"the text of half a chunk may be text", chunks(hello) + `data: {"choices":[{"delta":{"con`, metered{Unknown: true, Bytes: 5 + 26},
		},
		"Unbelievable": {"unknown, never nothing", chunks(hello, broken, done), metered{Unknown: true, Done: true, Bytes: 5}},
		"LastUnbelievable": {"a preview does not stand for a last usage that is broken", chunks(preview, hello, broken, done),
			metered{Unknown: true, Done: true, Bytes: 5}},
		"Recovered": {"a good one after a broken one counts", chunks(broken, used), metered{Usage: usage(3, 2)}},
		"OddChunk":  {"an odd chunk does not make a usage unknown", chunks("what?", used), metered{Usage: usage(3, 2), Bytes: 5}},
		"OnlyOdd":   {"nothing can be said", chunks("what?"), metered{Unknown: true, Bytes: 5}},
		"Error": {
			"OpenRouter's error in mid-stream", chunks(hello, failed),
			metered{Reported: &ReportedError{Code: "502", Message: "gone"}, Finished: true, Bytes: 5},
		},
		"ErrorEmpty": {
			"the same without choices", chunks(`{"error":{"code":"x","message":"y"},"choices":[]}`),
			metered{Reported: &ReportedError{Code: "x", Message: "y"}},
		},
		"ErrorFirst": {
			"the first error is the cause", chunks(failed, `{"error":"later"}`),
			metered{Reported: &ReportedError{Code: "502", Message: "gone"}, Finished: true},
		},
		"ErrorPaid": {
			"an error may come with usage", chunks(`{"error":"x","usage":{"prompt_tokens":3,"completion_tokens":2}}`),
			metered{Usage: usage(3, 2), Reported: &ReportedError{Message: "x"}},
		},
		"NamedError": {
			"an error by the event's name", "event: error\n" + chunks(`{"message":"x","type":"y"}`),
			metered{Reported: &ReportedError{Type: "y", Message: "x"}},
		},
		"NamedText": {
			"an error by the event's name", "event: error\n" + chunks(`sorry`),
			metered{Reported: &ReportedError{Message: "sorry"}, Unknown: true, Bytes: 5},
		},
		"ErrorNull": {"null is no error", chunks(`{"error":null,"choices":[]}`), metered{}},
		"ToolCall": {
			"arguments are made of tokens", chunks(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`),
			metered{Bytes: 5},
		},
		"Reasoning": {
			"reasoning is made of tokens, told once",
			chunks(`{"choices":[{"delta":{"content":"","reasoning":"abc","reasoning_details":[{"text":"abc"}]}}]}`), metered{Bytes: 3},
		},
		"Obfuscation": {"padding is not", chunks(`{"choices":[{"delta":{"content":"a","obfuscation":"xxxxxxxx"}}]}`), metered{Bytes: 1}},
		"Choices":     {"all choices count", chunks(`{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"é"}}]}`), metered{Bytes: 3}},
		"Unicode":     {"an escape is what it stands for", chunks(`{"choices":[{"delta":{"content":"\ud83d\ude00"}}]}`), metered{Bytes: 4}},
		"Nothing":     {"an empty stream", "", metered{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, meter(t, test.stream), sameMoney); diff != "" {
				t.Errorf("%s: %q\n(-want +got):\n%s", test.reason, test.stream, diff)
			}
		})
	}
}
