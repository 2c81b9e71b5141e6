package openai

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParameters holds the check of parameters against encoding/json: what is accepted has the type and the range that the table says, is
// passed on byte for byte where the route says nothing, and is accepted again as it goes upstream.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		`"temperature":0.70,"top_p":1e-1,"top_k":5,"seed":-9223372036854775808,"logit_bias":{"1":-100}`,
		`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}},"tool_choice":{"type":"function","function":{"name":"f"}}`,
		`"reasoning":{"effort":"low"},"reasoning_effort":"low","metadata":{"a":"b"},"stop":["a"],"max_tokens":5,"max_completion_tokens":null`,
		`"logprobs":true,"top_logprobs":20,"verbosity":"high","modalities":["text"],"service_tier":"auto","n":3,"x":{"a":[1e400]}`,
	} {
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, members []byte, choice uint8) {
		body := []byte(chatWith(string(members)))
		c, problem := Chat.Parse(body)
		if problem != nil {
			if problem.Status != 400 || problem.Message == "" {
				t.Errorf("%s: %+v", members, problem)
			}
			return
		}
		inRange(t, body)
		provider := []Provider{Compatible, OpenAI, OpenRouter}[choice%3]
		rules, err := NewRules(Policy{Provider: provider, Supported: page, DropUnsupported: choice >= 128})
		if err != nil {
			t.Fatal(err)
		}
		before := unknownMembers(t, body)
		if problem := c.Apply(rules); problem != nil {
			if problem.Status != 400 || problem.Param == "" {
				t.Errorf("%s: %+v", members, problem)
			}
			return
		}
		if !bytes.Equal(c.Body(), body) && choice < 128 && c.CompletionLimit() == nil {
			t.Errorf("%s became %s", body, c.Body())
		}
		if after := unknownMembers(t, c.Body()); !cmp.Equal(before, after) {
			t.Errorf("the unknown members of %s became those of %s", body, c.Body())
		}
		again, problem := Chat.Parse(c.Body())
		if problem != nil {
			t.Fatalf("%s became %s: %v", body, c.Body(), problem)
		}
		if again.PromptBytes != c.PromptBytes || again.N != c.N || again.Stream != c.Stream {
			t.Errorf("%s is %+v, and %+v when read anew", c.Body(), c, again)
		}
		if diff := cmp.Diff(again.CompletionLimit(), c.CompletionLimit()); diff != "" {
			t.Errorf("%s: another limit (-read anew +got):\n%s", c.Body(), diff)
		}
	})
}

// inRange reads the numbers of a request as an upstream does.
func inRange(t *testing.T, body []byte) {
	t.Helper()
	var request struct {
		Temperature       *float64            `json:"temperature"`
		TopP              *float64            `json:"top_p"`
		MinP              *float64            `json:"min_p"`
		TopA              *float64            `json:"top_a"`
		FrequencyPenalty  *float64            `json:"frequency_penalty"`
		PresencePenalty   *float64            `json:"presence_penalty"`
		RepetitionPenalty *float64            `json:"repetition_penalty"`
		TopK              *int64              `json:"top_k"`
		Seed              *int64              `json:"seed"`
		N                 *int64              `json:"n"`
		TopLogprobs       *int64              `json:"top_logprobs"`
		LogitBias         map[string]*float64 `json:"logit_bias"`
		Logprobs          *bool               `json:"logprobs"`
		Verbosity         *string             `json:"verbosity"`
		Metadata          map[string]string   `json:"metadata"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatalf("%s is accepted, but not by encoding/json: %v", body, err)
	}
	check := func(name string, value *float64, low, high float64) {
		if value != nil && (*value < low || *value > high || math.IsNaN(*value)) {
			t.Errorf("%s: %s is %v", body, name, *value)
		}
	}
	whole := func(name string, value *int64, low, high int64) {
		if value != nil && (*value < low || *value > high) {
			t.Errorf("%s: %s is %v", body, name, *value)
		}
	}
	check("temperature", request.Temperature, 0, 2)
	check("top_p", request.TopP, 0, 1)
	check("min_p", request.MinP, 0, 1)
	check("top_a", request.TopA, 0, 1)
	check("frequency_penalty", request.FrequencyPenalty, -2, 2)
	check("presence_penalty", request.PresencePenalty, -2, 2)
	check("repetition_penalty", request.RepetitionPenalty, 0, 2)
	whole("top_k", request.TopK, -1, math.MaxInt64)
	whole("n", request.N, 1, 128)
	whole("top_logprobs", request.TopLogprobs, 0, 20)
	for token, bias := range request.LogitBias {
		check("logit_bias."+token, bias, -100, 100)
	}
	if len(request.Metadata) > 16 {
		t.Errorf("%s has %d labels", body, len(request.Metadata))
	}
}

// unknownMembers returns the members that the table does not have, as they are written.
func unknownMembers(t *testing.T, body []byte) map[string]string {
	t.Helper()
	members := membersExcept(t, body)
	for name := range members {
		if Chat.parameters.byName[name] != nil {
			delete(members, name)
		}
	}
	return members
}
