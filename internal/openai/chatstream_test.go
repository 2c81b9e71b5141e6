package openai

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACompletionBecomesTheStreamThatWasAskedFor(t *testing.T) {
	const usage = `{"prompt_tokens":3,"completion_tokens":2,"cost":0.000018}`
	cases := map[string]struct {
		body         string
		includeUsage bool
		want         string
	}{
		"the message becomes the delta, and unknown members stay": {
			body: `{"id":"gen-1","object":"chat.completion","provider":"Mistral","choices":[{"index":0,"message":{"role":"assistant","content":"<a> & b"},` +
				`"finish_reason":"stop","native_finish_reason":"stop"}],"usage":` + usage + `}`,
			want: `data: {"choices":[{"delta":{"content":"<a> & b","role":"assistant"},"finish_reason":"stop","index":0,"native_finish_reason":"stop"}],` +
				`"id":"gen-1","object":"chat.completion.chunk","provider":"Mistral"}` + "\n\ndata: [DONE]\n\n",
		},
		"usage comes as a chunk without choices where it was asked for": {
			body:         `{"object":"chat.completion","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"usage":` + usage + `}`,
			includeUsage: true,
			want: `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop","index":0}],"object":"chat.completion.chunk"}` + "\n\n" +
				`data: {"choices":[],"object":"chat.completion.chunk","usage":` + usage + "}\n\ndata: [DONE]\n\n",
		},
		"tool calls get the indexes that chunks join them by": {
			body: `{"object":"chat.completion","choices":[{"index":0,"message":{"content":null,"tool_calls":[{"id":"a"},{"id":"b"}]},"finish_reason":"tool_calls"}]}`,
			want: `data: {"choices":[{"delta":{"content":null,"tool_calls":[{"id":"a","index":0},{"id":"b","index":1}]},"finish_reason":"tool_calls","index":0}],` +
				`"object":"chat.completion.chunk"}` + "\n\ndata: [DONE]\n\n",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := chatStream([]byte(test.body), test.includeUsage)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("stream (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoCompletionBecomesNoStream(t *testing.T) {
	for _, body := range []string{"", "<html>", "[]", `{}`, `{"choices":3}`, `{"choices":[{"message":3}]}`, `{"choices":[{"message":{"tool_calls":3}}]}`} {
		if stream, err := chatStream([]byte(body), true); err == nil {
			t.Errorf("chatStream(%q) = %q without an error", body, stream)
		}
	}
}
