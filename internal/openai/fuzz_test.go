package openai

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse holds Parse against encoding/json: what is accepted here is good JSON that means the same there, and edits change
// nothing else.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		chatWith(`"stream":true,"stream_options":{"include_usage":false},"max_tokens":5,"n":2,"stop":["a"],"tools":[{"type":"function"}]`),
		chatOf(`{"role":"tool","content":[{"type":"text","text":"\u00e9\ud83d\ude00"},{"type":"image_url"}],"tool_calls":[{}]}`),
		chatWith(`"x":[1e5,-0.5,true,null,"\ud800",{"a":{"b":[]}}],"response_format":{"type":"json_object"}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		c, problem := Chat.Parse(body)
		if problem != nil {
			if problem.Status != 400 || problem.Message == "" || !utf8.ValidString(problem.Message) {
				t.Errorf("%q: %+v", body, problem)
			}
			return
		}
		sameAsEncodingJSON(t, body, c)
		if bound := PromptTokensBound(c, 1000); bound <= 0 || bound > 1000 || c.PromptBytes < 0 {
			t.Errorf("%q has a bound of %d and %d bytes", body, bound, c.PromptBytes)
		}
		editsChangeNothingElse(t, body, c)
		if !bytes.Equal(before, body) {
			t.Errorf("the body %q was changed to %q", before, body)
		}
	})
}

func sameAsEncodingJSON(t *testing.T, body []byte, c *Request) {
	var request struct {
		Model    string            `json:"model"`
		Messages []json.RawMessage `json:"messages"`
		N        *int64            `json:"n"`
		Stream   bool              `json:"stream"`
		Limit    *int64            `json:"max_tokens"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatalf("%q is accepted, but not by encoding/json: %v", body, err)
	}
	if request.N == nil {
		request.N = new(int64(1))
	}
	got := facts{Model: c.Model, Messages: c.Messages, N: c.N, Stream: c.Stream, MaxTokens: c.limits[1]}
	want := facts{Model: request.Model, Messages: len(request.Messages), N: *request.N, Stream: request.Stream, MaxTokens: request.Limit}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-encoding/json +ours):\n%s", body, diff)
	}
}

func editsChangeNothingElse(t *testing.T, body []byte, c *Request) {
	kept := membersExcept(t, body, "model", "stream_options", "temperature")
	c.SetModel("another")
	c.RequestUsage()
	apply(t, c, Policy{Provider: OpenRouter, Defaults: []Setting{{"temperature", json.RawMessage("0.5")}}})
	if edited := membersExcept(t, c.Body(), "model", "stream_options", "temperature"); !cmp.Equal(edited, kept) {
		t.Errorf("%q became %q", body, c.Body())
	}
	again, problem := Chat.Parse(c.Body())
	if problem != nil || again.Model != "another" || !again.IncludeUsage {
		t.Errorf("%q became %q: %v", body, c.Body(), problem)
	}
}

// membersExcept returns the values of an object's members as they are written.
func membersExcept(t *testing.T, body []byte, names ...string) map[string]string {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	for _, name := range names {
		delete(raw, name)
	}
	members := map[string]string{}
	for name, value := range raw {
		members[name] = string(value)
	}
	return members
}

// FuzzReadAnswer holds ReadAnswer against encoding/json, which must agree on what is JSON.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":1e-6,"is_byok":true,` +
		`"cost_details":{"upstream_inference_cost":0.1}}}`))
	f.Add([]byte(`{"choices":[{"finish_reason":"error","error":{"code":502}}],"error":{"message":"x","metadata":{"error_type":"y"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := Chat.ReadAnswer(body)
		usage, reported := answer.Usage, answer.Reported
		if usage != nil && (usage.PromptTokens < 0 || usage.CompletionTokens < 0 || (usage.Cost != nil && usage.Cost.IsNegative())) {
			t.Errorf("%q is a usage of %+v", body, usage)
		}
		if (usage != nil || reported != nil) && !json.Valid(body) {
			t.Errorf("%q is no JSON, but says %v, %v", body, usage, reported)
		}
		if usage != nil && err != nil {
			t.Errorf("%q is a usage of %+v and an error %v", body, usage, err)
		}
	})
}
