package openai

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func settings(members string) []Setting {
	var list []Setting
	document := parseObject([]byte("{" + members + "}"))
	for _, m := range document.members {
		list = append(list, Setting{m.name, json.RawMessage(document.valueOf(&m))})
	}
	return list
}

// page is what the model page says that its model supports.
var page = []string{"frequency_penalty", "max_tokens", "max_completion_tokens", "presence_penalty", "response_format", "seed", "stop",
	"structured_outputs", "temperature", "tool_choice", "tools", "top_p"}

func TestARequestIsHeldToTheRulesOfItsRoute(t *testing.T) {
	tests := map[string]struct {
		reason, members, want string
		policy                Policy
	}{
		"Nothing":  {"no rule, no change", `"top_k":5 , "x":1.0`, `"top_k":5 , "x":1.0`, Policy{}},
		"Default":  {"the client sent nothing", ``, `"top_k":40`, Policy{Defaults: settings(`"top_k":40`)}},
		"Override": {"the route decides", `"seed":1 , "x":2`, `"seed":0 , "x":2`, Policy{Overrides: settings(`"seed":0`)}},
		"OverrideNull": {
			"null too is the client's, and so no choice", `"temperature":null`, `"temperature":0.20`, Policy{Overrides: settings(`"temperature":0.20`)},
		},
		"OverrideAbsent": {"whatever was sent", ``, `"temperature":0`, Policy{Overrides: settings(`"temperature":0`)}},
		"OverrideAlias": {
			"an older name must not contradict", `"functions":[{"name":"f"}],"x":1`, `"x":1,"tools":[]`, Policy{Overrides: settings(`"tools":[]`)},
		},
		"OverrideEffort": {
			"two forms must not contradict", `"reasoning_effort":"high"`, `"reasoning":{"effort":"low"}`, Policy{Overrides: settings(`"reasoning":{"effort":"low"}`)},
		},
		"DefaultEffort": {
			"the client chose, if in the other form", `"reasoning_effort":"high"`, `"reasoning_effort":"high"`, Policy{Defaults: settings(`"reasoning":{"effort":"low"}`)},
		},
		"DefaultChoice": {
			"there is no tool to choose", `"x":1`, `"x":1`, Policy{Defaults: settings(`"parallel_tool_calls":false,"tool_choice":"auto"`)},
		},
		"DefaultTools": {
			"the route brings tools and choice", ``, `"tools":[{"type":"function"}],"tool_choice":"auto"`,
			Policy{Defaults: settings(`"tool_choice":"auto","tools":[{"type":"function"}]`)},
		},
		"Clamp":       {"the limit of the route", `"max_tokens":9000`, `"max_tokens":4096`, Policy{Provider: OpenRouter, MaxCompletionTokens: 4096}},
		"ClampNot":    {"it is within", `"max_tokens":7`, `"max_tokens":7`, Policy{Provider: OpenRouter, MaxCompletionTokens: 4096}},
		"ClampAbsent": {"what is sent is for the budgets to say", ``, ``, Policy{MaxCompletionTokens: 4096}},
		"ClampBoth": {
			"upstreams differ in which they obey", `"max_tokens":9000,"max_completion_tokens":5000`, `"max_tokens":4096,"max_completion_tokens":4096`,
			Policy{Provider: OpenRouter, MaxCompletionTokens: 4096},
		},
		"Supported": {"the model knows all", `"stop":"a","tools":[],"user":"u","n":1`, `"stop":"a","tools":[],"user":"u","n":1`, Policy{Supported: page}},
		"Implied": {
			"those that belong to tools", `"parallel_tool_calls":true,"functions":[],"function_call":"auto"`,
			`"parallel_tool_calls":true,"functions":[],"function_call":"auto"`, Policy{Supported: page},
		},
		"FalseUnsupported": {"not to want it is nothing to support", `"logprobs":false`, `"logprobs":false`, Policy{Supported: page}},
		"TextUnsupported": {
			"text is what every model answers with", `"response_format":{"type":"text"}`, `"response_format":{"type":"text"}`,
			Policy{Supported: []string{"tools"}},
		},
		"DropFalse":       {"the model does not know it", `"logprobs":false`, ``, Policy{Supported: page, DropUnsupported: true}},
		"NullUnsupported": {"null asks for nothing", `"top_k":null`, `"top_k":null`, Policy{Supported: page}},
		"Drop":            {"the rest stays as it is", `"top_k":5, "x":1.0`, ` "x":1.0`, Policy{Supported: page, DropUnsupported: true}},
		"DropSeveral": {
			"the rest stays as it is", `"top_k":5,"x":[ 1 ],"verbosity":"low" ,"logprobs":true,"top_logprobs":2`, `"x":[ 1 ]`,
			Policy{Supported: page, DropUnsupported: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(test.members))
			apply(t, c, test.policy)
			if diff := cmp.Diff(chatWith(test.want), string(c.Body())); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if again := mustParse(t, string(c.Body())); again.PromptBytes != c.PromptBytes || again.tools != c.tools || again.format != c.format {
				t.Errorf("%s: the request is not what it is when read anew: %+v, %+v", test.reason, c, again)
			}
		})
	}
}

func TestALimitGoesUnderTheNameThatTheProviderHonours(t *testing.T) {
	tests := []struct {
		provider      Provider
		members, want string
	}{
		{OpenRouter, `"max_tokens":7`, `"max_tokens":7`},
		{OpenRouter, `"max_completion_tokens":7`, `"max_completion_tokens":7`},
		{OpenAI, `"max_tokens" : 7`, `"max_completion_tokens" : 7`},
		{OpenAI, `"max_completion_tokens":7`, `"max_completion_tokens":7`},
		{OpenAI, `"max_tokens":7,"max_completion_tokens":null`, `"max_completion_tokens":7`},
		{OpenAI, `"max_tokens":7,"max_completion_tokens":9`, `"max_completion_tokens":9`},
		{OpenAI, `"max_tokens":null`, `"max_tokens":null`},
		{Mistral, `"max_completion_tokens" : 7`, `"max_tokens" : 7`},
		{Mistral, `"max_tokens":7`, `"max_tokens":7`},
		{Mistral, `"max_tokens":7,"max_completion_tokens":9`, `"max_tokens":9`},
		{Mistral, `"max_tokens":null,"max_completion_tokens":9`, `"max_tokens":9`},
		{Mistral, `"max_tokens":7,"max_completion_tokens":null`, `"max_tokens":7`},
		{Compatible, `"max_completion_tokens":7`, `"max_tokens":7`},
		{Compatible, `"max_completion_tokens":7,"max_tokens":null`, `"max_tokens":7`},
		{Compatible, `"max_tokens":7`, `"max_tokens":7`},
		{Compatible, `"max_tokens":7,"max_completion_tokens":9`, `"max_tokens":7,"max_completion_tokens":9`},
	}
	for _, test := range tests {
		c := mustParse(t, chatWith(test.members))
		apply(t, c, Policy{Provider: test.provider})
		if got := string(c.Body()); got != chatWith(test.want) {
			t.Errorf("%v: %s: got %s, want %s", test.provider, test.members, got, chatWith(test.want))
		}
		again := mustParse(t, string(c.Body()))
		if diff := cmp.Diff(factsOf(again), factsOf(c)); diff != "" {
			t.Errorf("%v: %s (-read anew +got):\n%s", test.provider, test.members, diff)
		}
		// What is lowered later is lowered under the new name.
		c.LimitCompletion(3, test.provider)
		if limit := mustParse(t, string(c.Body())).CompletionLimit(); limit == nil || *limit > 3 {
			t.Errorf("%v: %s: the limit is not lowered in %s", test.provider, test.members, c.Body())
		}
	}
}

func TestADefaultOrAnOverrideOfTheLimitHasThatNameToo(t *testing.T) {
	value := settings(`"max_completion_tokens":9`)
	for _, test := range []struct {
		policy        Policy
		members, want string
	}{
		{Policy{Provider: Compatible, Defaults: value}, ``, `"max_tokens":9`},
		{Policy{Provider: OpenAI, Defaults: value}, ``, `"max_completion_tokens":9`},
		{Policy{Provider: Compatible, Defaults: value}, `"max_completion_tokens":5`, `"max_tokens":5`},
		{Policy{Provider: OpenRouter, Overrides: value}, `"max_tokens":5,"x":1`, `"x":1,"max_completion_tokens":9`},
		{Policy{Provider: Compatible, Overrides: value}, `"max_tokens":5,"max_completion_tokens":6`, `"max_tokens":9`},
	} {
		c := mustParse(t, chatWith(test.members))
		apply(t, c, test.policy)
		if got := string(c.Body()); got != chatWith(test.want) {
			t.Errorf("%s: got %s, want %s", test.members, got, chatWith(test.want))
		}
		if limit, again := c.CompletionLimit(), mustParse(t, string(c.Body())).CompletionLimit(); *limit != *again {
			t.Errorf("%s: the limit is %d, and %d when read anew", test.members, *limit, *again)
		}
	}
}

func TestWhatTheModelOrTheProviderDoesNotAllowIsRefused(t *testing.T) {
	tests := []struct {
		members     string
		policy      Policy
		param, code string
	}{
		{`"top_k":5`, Policy{Supported: page}, "top_k", CodeUnsupportedParameter},
		{`"logprobs":true`, Policy{Supported: page}, "logprobs", CodeUnsupportedParameter},
		{`"reasoning_effort":"low"`, Policy{Supported: page}, "reasoning_effort", CodeUnsupportedParameter},
		{`"response_format":{"type":"json_object"}`, Policy{Supported: []string{"tools"}}, "response_format", CodeUnsupportedParameter},
		{`"top_k":-1`, Policy{Provider: OpenRouter}, "top_k", "integer_below_min_value"},
		{`"response_format":{"type":"grammar"}`, Policy{Provider: OpenAI}, "response_format.type", "invalid_value"},
		{`"response_format":{"type":"structural_tag"}`, Policy{Provider: OpenRouter}, "response_format.type", "invalid_value"},
		{`"verbosity":"max"`, Policy{Provider: OpenAI}, "verbosity", "invalid_value"},
		{`"logit_bias":{"1":0.5}`, Policy{Provider: OpenAI}, "logit_bias.1", "invalid_type"},
	}
	for _, test := range tests {
		rules, err := NewRules(test.policy)
		if err != nil {
			t.Fatal(err)
		}
		problem := mustParse(t, chatWith(test.members)).Apply(rules)
		if problem == nil || problem.Param != test.param || problem.Code != test.code || problem.Status != 400 {
			t.Errorf("%s: got %+v", test.members, problem)
		}
	}
}

func TestARouteMustNotSetWhatItsUpstreamRefuses(t *testing.T) {
	for _, test := range []struct {
		name, value string
		provider    Provider
	}{
		{"temperature", `2.1`, OpenRouter},
		{"temperature", `null`, OpenRouter},
		{"temperature", `0.7 1`, OpenRouter},
		{"temperature", `nope`, OpenRouter},
		{"temprature", `1`, OpenRouter},
		{"messages", `[]`, OpenRouter},
		{"provider", `{}`, OpenRouter},
		{"logprobs", `true`, OpenRouter},
		{"max_tokens", `5`, Compatible},
		{"top_k", `5`, OpenAI},
		{"top_k", `-1`, OpenRouter},
		{"verbosity", `"max"`, OpenAI},
		{"tools", `[{"a":1,"a":2}]`, OpenRouter},
	} {
		if err := CheckSetting(Setting{test.name, json.RawMessage(test.value)}, test.provider); err == nil {
			t.Errorf("%s: %s is accepted", test.name, test.value)
		}
		if _, err := NewRules(Policy{Provider: test.provider, Overrides: []Setting{{test.name, json.RawMessage(test.value)}}}); err == nil {
			t.Errorf("%s: %s is made a rule", test.name, test.value)
		}
	}
}

func TestSupportIsAMatterOfModelsOnly(t *testing.T) {
	for name, want := range map[string]bool{
		"temperature": true, "top_k": false, "user": true, "stream": true, "max_tokens": true, "x_unknown": true,
		"parallel_tool_calls": true,
	} {
		if got := IsSupported(name, []string{"temperature", "tools"}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestARoutesOwnToolsMayRunAnywhere(t *testing.T) {
	c := mustParse(t, chatWith(""))
	apply(t, c, Policy{Provider: OpenRouter, Defaults: settings(`"tools":[{"type":"openrouter:web_search"}]`)})
	if name, bad := ForbiddenField(c, false); bad {
		t.Errorf("what the route set is held against the client: %s", name)
	}
}

func TestStructuredOutputsAreAMatterOfModelsInEveryOperation(t *testing.T) {
	const format = `{"type":"json_schema","name":"a","schema":{"title":"b"}}`
	for _, test := range []struct {
		operation     *Operation
		members, want string // as they are where what is unsupported is dropped
		param         string // what is refused where it is not dropped; empty for nothing
	}{
		{Responses, `"text":{"format":` + format + `}`, ``, "text.format"},
		{Responses, `"text":{"format":{"type":"json_object"}}`, ``, "text.format"},
		{Responses, `"text":{"\u0066ormat":{"t\u0079pe":"json_object"}}`, ``, "text.format"},
		{Responses, `"text":{"format":` + format + `, "x" : 1.0},"y":2`, `"text":{"x" : 1.0},"y":2`, "text.format"},
		{Responses, `"text":{"x":1,"format":` + format + `,"verbosity":"low"}`, `"text":{"x":1}`, "text.format"},
		{Responses, `"text":{"verbosity":"low"}`, ``, "text.verbosity"},
		{Responses, `"text":{"format":{"type":"text"}}`, ``, ""},
		{Responses, `"text":{"format":null}`, `"text":{"format":null}`, ""},
		{Responses, `"text":{}`, `"text":{}`, ""},
		{Responses, `"text":null`, `"text":null`, ""},
		{Messages, `"output_config":{"format":` + format + `}`, ``, "output_config.format"},
		{Messages, `"output_config":{"effort":"low","format":` + format + `}`, `"output_config":{"effort":"low"}`, "output_config.format"},
		{Messages, `"output_config":{"effort":"low"}`, `"output_config":{"effort":"low"}`, ""},
		{Messages, `"output_format":` + format + ``, ``, "output_format"},
		{Messages, `"output_format":null`, `"output_format":null`, ""},
		{Messages, `"thinking":{"type":"disabled"}`, ``, ""},
	} {
		with := map[*Operation]func(string) string{Responses: responseWith, Messages: messageWith}[test.operation]
		parse := func(members string) *Request { return mustParseAs(t, test.operation, with(members)) }

		for _, supported := range [][]string{nil, {"response_format", "verbosity", "reasoning"}, {"structured_outputs", "verbosity", "reasoning"}} {
			c, before := parse(test.members), parse(test.members)
			apply(t, c, Policy{Supported: supported})
			apply(t, before, Policy{})
			if got := string(c.Body()); got != string(before.Body()) {
				t.Errorf("%s: a model of %v gets %s", test.members, supported, got)
			}
		}

		rules, err := NewRules(Policy{Supported: []string{"tools"}})
		if err != nil {
			t.Fatal(err)
		}
		problem := parse(test.members).Apply(rules)
		switch {
		case problem == nil && test.param != "":
			t.Errorf("%s: is let through", test.members)
		case problem != nil && (problem.Param != test.param || problem.Code != CodeUnsupportedParameter || problem.Status != 400):
			t.Errorf("%s: got %+v, want %s refused", test.members, problem, test.param)
		}

		dropped, want := parse(test.members), parse(test.want)
		apply(t, dropped, Policy{Supported: []string{"tools"}, DropUnsupported: true})
		apply(t, want, Policy{})
		if diff := cmp.Diff(string(want.Body()), string(dropped.Body())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.members, diff)
		}
		if got, bound := PromptTokensBound(dropped, 0), PromptTokensBound(want, 0); got != bound {
			t.Errorf("%s: the bound is %d with what was dropped, want %d", test.members, got, bound)
		}
	}
}
