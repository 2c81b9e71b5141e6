package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheModelOfAnAnswerIsRead(t *testing.T) {
	for reason, test := range map[string]struct{ data, want string }{
		"an answer":                          {`{"id":"1","model":"gpt-5","choices":[]}`, "gpt-5"},
		"what follows the model is not read": {`{"model":"gpt-5","choices":[oops`, "gpt-5"},
		"the first event of Responses":       {`{"type":"response.created","response":{"id":"r","model":"gpt-5"}}`, "gpt-5"},
		"the first event of Messages":        {`{"type":"message_start","message":{"model":"claude"}}`, "claude"},
		"no deeper than that":                {`{"message":{"message":{"model":"x"}}}`, ""},
		"a model within a choice is not it":  {`{"choices":[{"message":{"model":"x"}}]}`, ""},
		"no model":                           {`{"choices":[]}`, ""},
		"a message that is a text":           {`{"message":"no","model":"m"}`, "m"},
		"a name that is no name":             {`{"model":7}`, ""},
		"a name that is longer than any":     {`{"model":"` + strings.Repeat("x", 200) + `"}`, ""},
		"no JSON":                            {`oops`, ""},
		"nothing":                            {``, ""},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := AnswerModel([]byte(test.data)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheReasonsOfAnEndAreRead(t *testing.T) {
	for reason, test := range map[string]struct {
		data string
		want []string
	}{
		"an answer with two choices": {`{"choices":[{"finish_reason":"stop"},{"index":1,"finish_reason":"length"}]}`, []string{"stop", "length"}},
		"a chunk that goes on":       {`{"choices":[{"delta":{"content":"finish_reason"},"finish_reason":null}]}`, nil},
		"an answer of Messages":      {`{"content":[],"stop_reason":"end_turn"}`, []string{"end_turn"}},
		"its last event but one":     {`{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}`, []string{"max_tokens"}},
		"choices that are none":      {`{"choices":"x"}`, nil},
		"no JSON":                    {`[[`, nil},
	} {
		t.Run(reason, func(t *testing.T) {
			if diff := cmp.Diff(test.want, FinishReasons([]byte(test.data))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
