package openai

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParametersTakeAllThatTheReferencesAllow(t *testing.T) {
	for name, values := range map[string][]string{
		"temperature":           {"0", "2", "2.0", "0.70", "1e0", "-0", "20e-1"},
		"top_p":                 {"0", "1", "0.000000000000000000000000001"},
		"top_k":                 {"-1", "0", "9223372036854775807"},
		"min_p":                 {"0", "1"},
		"top_a":                 {"0", "1"},
		"frequency_penalty":     {"-2", "2", "-0.5"},
		"presence_penalty":      {"-2", "2"},
		"repetition_penalty":    {"0", "2"},
		"logit_bias":            {"{}", `{"50256":-100,"1":100,"2":0.5}`},
		"logprobs":              {"true", "false"},
		"seed":                  {"-9223372036854775808", "9223372036854775807", "0"},
		"n":                     {"1", "128"},
		"stop":                  {`"a"`, "[]", `["a","b","c","d"]`},
		"max_tokens":            {"1"},
		"max_completion_tokens": {"1"},
		"response_format": {
			`{"type":"text"}`, `{"type":"json_object"}`, `{"type":"grammar","grammar":"x"}`, `{"type":"python"}`, `{"type":"structural_tag"}`,
			`{"type":"json_schema","json_schema":{"name":"a","strict":null,"description":"b","schema":{"type":"object"}}}`,
		},
		"structured_outputs":  {"true", "false"},
		"tools":               {"[]", `[{"type":"function","function":{"name":"f"}}]`},
		"functions":           {"[]", `[{"name":"f"}]`},
		"tool_choice":         {`"none"`, `"auto"`, `"required"`, `"any"`, functionChoice, `{"type":"custom","custom":{"name":"c"}}`, allowedTools},
		"function_call":       {`"none"`, `"auto"`, `{"name":"f"}`},
		"parallel_tool_calls": {"true", "false"},
		"reasoning":           {"{}", `{"effort":"max","exclude":true,"enabled":true,"summary":"auto"}`, `{"max_tokens":2000}`, `{"effort":null,"max_tokens":1}`},
		"reasoning_effort":    {`"none"`, `"minimal"`, `"low"`, `"medium"`, `"high"`, `"xhigh"`, `"max"`},
		"include_reasoning":   {"true"},
		"verbosity":           {`"low"`, `"max"`},
		"metadata":            {"{}", `{"a":"b"}`, manyLabels(16)},
		"user":                {`"somebody"`, `""`},
		"safety_identifier":   {`"` + strings.Repeat("é", 64) + `"`},
		"session_id":          {`"` + strings.Repeat("x", 256) + `"`},
		"prompt_cache_key":    {`"x"`},
		"store":               {"true"},
		"trace":               {"{}"},
		"debug":               {`{"echo_upstream_body":true}`},
		"stream":              {"true"},
		"stream_options":      {"{}", `{"include_usage":true,"include_obfuscation":false,"other":1}`},
		"usage":               {`{"include":true}`, "true"},
		"modalities":          {`["text"]`, `["text","image","audio"]`},
		"audio":               {`{"voice":"alloy","format":"mp3"}`},
		"service_tier":        {`"auto"`, `"default"`, `"flex"`},
	} {
		for _, value := range append(values, "null") {
			if body := chatWith(`"` + name + `":` + value); string(mustParse(t, body).Body()) != body {
				t.Errorf("%s is not passed on as it is", body)
			}
		}
	}
	mustParse(t, chatWith(`"logprobs":true,"top_logprobs":20`))
	mustParse(t, chatWith(`"logprobs":false,"top_logprobs":0`))
	mustParse(t, chatWith(`"reasoning":{"effort":"low"},"reasoning_effort":"low"`))
}

const (
	functionChoice = `{"type":"function","function":{"name":"f"}}`
	allowedTools   = `{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`
)

func manyLabels(count int) string {
	labels := make([]string, count)
	for i := range labels {
		labels[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	return "{" + strings.Join(labels, ",") + "}"
}

func TestAWrongParameterIsRefusedByName(t *testing.T) {
	type wrong struct{ member, param, code string }
	above, below := "decimal_above_max_value", "decimal_below_min_value"
	const kind, value, absent, long = "invalid_type", "invalid_value", "missing_required_parameter", "string_above_max_length"
	for _, test := range []wrong{
		{`"temperature":"0.7"`, "temperature", kind},
		{`"temperature":2.1`, "temperature", above},
		{`"temperature":1e400`, "temperature", above},
		{`"temperature":-0.1`, "temperature", below},
		{`"top_p":1.01`, "top_p", above},
		{`"top_p":true`, "top_p", kind},
		{`"min_p":-1`, "min_p", below},
		{`"top_a":2`, "top_a", above},
		{`"frequency_penalty":-2.5`, "frequency_penalty", below},
		{`"presence_penalty":3`, "presence_penalty", above},
		{`"repetition_penalty":2.01`, "repetition_penalty", above},
		{`"top_k":-2`, "top_k", "integer_below_min_value"},
		{`"top_k":1.5`, "top_k", kind},
		{`"seed":-12345678901234567890`, "seed", "integer_below_min_value"},
		{`"seed":1e3`, "seed", kind},
		{`"logit_bias":[]`, "logit_bias", kind},
		{`"logit_bias":{"1":101}`, "logit_bias.1", above},
		{`"logit_bias":{"1":null}`, "logit_bias.1", kind},
		{`"logprobs":1`, "logprobs", kind},
		{`"logprobs":true,"top_logprobs":21`, "top_logprobs", "integer_above_max_value"},
		{`"top_logprobs":5`, "top_logprobs", value},
		{`"top_logprobs":5,"logprobs":null`, "top_logprobs", value},
		{`"response_format":"json"`, "response_format", kind},
		{`"response_format":{}`, "response_format.type", absent},
		{`"tool_choice":{}`, "tool_choice.type", absent},
		{`"response_format":{"type":"xml"}`, "response_format.type", value},
		{`"response_format":{"type":null}`, "response_format.type", absent},
		{`"response_format":{"json_schema":{"name":"a"}}`, "response_format.type", absent},
		{`"response_format":{"type":"json_schema"}`, "response_format.json_schema", absent},
		{`"response_format":{"type":"json_schema","json_schema":{}}`, "response_format.json_schema.name", absent},
		{`"response_format":{"type":"json_schema","json_schema":{"name":""}}`, "response_format.json_schema.name", "empty_string"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"` + strings.Repeat("a", 65) + `"}}`, "response_format.json_schema.name", long},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":1}}`, "response_format.json_schema.strict", kind},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":[]}}`, "response_format.json_schema.schema", kind},
		{`"structured_outputs":"yes"`, "structured_outputs", kind},
		{`"tool_choice":"all"`, "tool_choice", value},
		{`"tool_choice":1`, "tool_choice", kind},
		{`"tool_choice":{"function":{"name":"f"}}`, "tool_choice.type", absent},
		{`"tool_choice":{"type":"openrouter:web_search"}`, "tool_choice.type", value},
		{`"tool_choice":{"type":"function"}`, "tool_choice.function", absent},
		{`"tool_choice":{"type":"function","function":{}}`, "tool_choice.function.name", absent},
		{`"tool_choice":{"type":"function","function":"f"}`, "tool_choice.function", kind},
		{`"function_call":"required"`, "function_call", value},
		{`"function_call":{}`, "function_call.name", absent},
		{`"parallel_tool_calls":"no"`, "parallel_tool_calls", kind},
		{`"reasoning":"high"`, "reasoning", kind},
		{`"reasoning":{"effort":"huge"}`, "reasoning.effort", value},
		{`"reasoning":{"max_tokens":-1}`, "reasoning.max_tokens", "integer_below_min_value"},
		{`"reasoning":{"exclude":1}`, "reasoning.exclude", kind},
		{`"reasoning":{"effort":"low","max_tokens":5}`, "reasoning", value},
		{`"reasoning":{"effort":"low"},"reasoning_effort":"high"`, "reasoning_effort", value},
		{`"reasoning_effort":"huge"`, "reasoning_effort", value},
		{`"reasoning_effort":1`, "reasoning_effort", kind},
		{`"verbosity":"loud"`, "verbosity", value},
		{`"metadata":{"a":1}`, "metadata.a", kind},
		{`"metadata":` + manyLabels(17), "metadata", "object_above_max_properties"},
		{`"metadata":{"` + strings.Repeat("k", 65) + `":"v"}`, "metadata", long},
		{`"metadata":{"a":"` + strings.Repeat("v", 513) + `"}`, "metadata.a", long},
		{`"user":7`, "user", kind},
		{`"safety_identifier":"` + strings.Repeat("é", 65) + `"`, "safety_identifier", long},
		{`"session_id":"` + strings.Repeat("x", 257) + `"`, "session_id", long},
		{`"store":"yes"`, "store", kind},
		{`"trace":[]`, "trace", kind},
		{`"stream_options":{"include_obfuscation":1}`, "stream_options.include_obfuscation", kind},
		{`"modalities":"text"`, "modalities", kind},
		{`"modalities":[1]`, "modalities", kind},
		{`"modalities":["smell"]`, "modalities", value},
		{`"audio":"alloy"`, "audio", kind},
		{`"service_tier":1`, "service_tier", kind},
	} {
		t.Run(test.member, func(t *testing.T) {
			_, problem := Chat.Parse([]byte(chatWith(test.member)))
			if problem == nil {
				t.Fatal("is accepted")
			}
			if diff := cmp.Diff(wrong{test.member, test.param, test.code}, wrong{test.member, problem.Param, problem.Code}, cmp.AllowUnexported(wrong{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", problem.Message, diff)
			}
			if problem.Status != http.StatusBadRequest || problem.Type != TypeInvalidRequest || !utf8.ValidString(problem.Message) {
				t.Errorf("is no plain 400: %+v", problem)
			}
		})
	}
}

func TestARefusalSaysWhatAParameterMayBe(t *testing.T) {
	for member, want := range map[string]string{
		`"temperature":"0.7"`:    "Invalid type for 'temperature': expected a number from 0 to 2, but got a string instead.",
		`"temperature":2.50`:     "Invalid 'temperature': decimal above maximum value. Expected a number from 0 to 2, but got 2.50 instead.",
		`"verbosity":"loud"`:     "Invalid value for 'verbosity': expected one of 'low', 'medium', 'high', 'xhigh' and 'max', but got 'loud' instead.",
		`"tool_choice":1`:        "Invalid type for 'tool_choice': expected one of 'none', 'auto', 'required' and 'any', or an object that names a tool, but got a number instead.",
		`"reasoning_effort":[]`:  "Invalid type for 'reasoning_effort': expected one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh' and 'max', but got an array instead.",
		`"metadata":{"a":false}`: "Invalid type for 'metadata.a': expected a string, but got a boolean instead.",
	} {
		_, problem := Chat.Parse([]byte(chatWith(member)))
		if problem == nil || problem.Message != want {
			t.Errorf("%s: got %v, want %s", member, problem, want)
		}
	}
}

func TestEveryOwnedFieldIsForbiddenUnlessItIsNull(t *testing.T) {
	values := map[string]string{"service_tier": `"priority"`, "modalities": `["text","audio"]`, "audio": `{"voice":"x"}`}
	for _, known := range Chat.parameters.list {
		if known.role != owned {
			continue
		}
		value, special := values[known.name]
		if !special {
			value = "{}"
		}
		if name, bad := ForbiddenField(mustParse(t, chatWith(`"`+known.name+`":`+value)), false); !bad || name != known.name {
			t.Errorf("%s: %s is let through (%q)", known.name, value, name)
		}
		if name, bad := ForbiddenField(mustParse(t, chatWith(`"`+known.name+`":null`)), false); bad {
			t.Errorf("%s: null is forbidden as %s", known.name, name)
		}
	}
}

func TestOutputIsTheClientsChoiceAmongTheKindsOfTheRoute(t *testing.T) {
	for _, test := range []struct {
		members  string
		produces []string
		want     string
	}{
		{`"modalities":["text"]`, nil, ""},
		{`"modalities":["text","image"]`, []string{"text"}, "modalities"},
		{`"modalities":["text","image"]`, []string{"image", "text"}, ""},
		{`"modalities":["audio"]`, []string{"image", "text"}, "modalities"},
		{`"modalities":["text","audio"],"audio":{"voice":"x"}`, []string{"audio"}, ""},
		{`"audio":{"voice":"x"}`, []string{"image"}, "audio"},
	} {
		if got, _ := ForbiddenField(mustParse(t, chatWith(test.members)), false, test.produces...); got != test.want {
			t.Errorf("%s of a model that produces %v: got %q, want %q", test.members, test.produces, got, test.want)
		}
	}
}

func TestTheTableIsComplete(t *testing.T) {
	modelPage := []string{"frequency_penalty", "max_tokens", "max_completion_tokens", "presence_penalty", "response_format", "seed", "stop",
		"structured_outputs", "temperature", "tool_choice", "tools", "top_p"}
	for _, name := range modelPage {
		if Chat.parameters.byName[name] == nil {
			t.Errorf("%s of the model page is missing", name)
		}
	}
	if len(Chat.parameters.byName) != len(Chat.parameters.list) {
		t.Error("a parameter is there twice")
	}
	for _, known := range Chat.parameters.list {
		if known.about == "" || (known.role != owned && known.want == "" && known.name != "usage") {
			t.Errorf("%s is not described", known.name)
		}
		if known.settable && (known.read == nil || known.role == owned) {
			t.Errorf("a route can set %s, which is not checked", known.name)
		}
		for _, other := range slices.Concat(known.aliases, known.impliedBy) {
			if Chat.parameters.byName[other] == nil {
				t.Errorf("%s names %s, which is no parameter", known.name, other)
			}
		}
	}
}
