package openai

import "testing"

func TestAProviderGetsItsOwnNamesAndWords(t *testing.T) {
	const tool = `"tools":[{"type":"function","function":{"name":"f"}}],`
	tests := map[string]struct {
		reason, members, want string
		policy                Policy
	}{
		"Seed":         {"its name, and the client's number", `"seed" : 9007199254740993`, `"random_seed" : 9007199254740993`, Policy{Provider: Mistral}},
		"SeedNull":     {"null too", `"seed":null`, `"random_seed":null`, Policy{Provider: Mistral}},
		"SeedTwice":    {"its own name counts", `"seed":1,"random_seed":2`, `"random_seed":2`, Policy{Provider: Mistral}},
		"SeedSet":      {"the route's is translated too", ``, `"random_seed":7`, Policy{Provider: Mistral, Defaults: settings(`"seed":7`)}},
		"SeedChosen":   {"the client's is no less a choice", `"random_seed":1`, `"random_seed":1`, Policy{Provider: Mistral, Defaults: settings(`"seed":7`)}},
		"SeedOverride": {"whatever the name", `"random_seed":1`, `"random_seed":7`, Policy{Provider: Mistral, Overrides: settings(`"seed":7`)}},
		"RandomSeed":   {"from a client of Mistral's", `"random_seed": 12`, `"seed": 12`, Policy{Provider: OpenAI}},
		"RandomSeedOR": {"from a client of Mistral's", `"random_seed":12`, `"seed":12`, Policy{Provider: OpenRouter}},
		"Both":         {"the provider's own name counts", `"random_seed":12,"seed":13`, `"seed":13`, Policy{Provider: OpenAI}},
		"Unknown":      {"nobody knows which", `"random_seed":12,"seed":13`, `"random_seed":12,"seed":13`, Policy{Provider: Compatible}},
		"Required":     {"its word", tool + `"tool_choice":"required"`, tool + `"tool_choice":"any"`, Policy{Provider: Mistral}},
		"Escaped":      {"the same word", tool + `"tool_choice":"requir\u0065d"`, tool + `"tool_choice":"any"`, Policy{Provider: Mistral}},
		"Auto":         {"the same everywhere", tool + `"tool_choice":"auto"`, tool + `"tool_choice":"auto"`, Policy{Provider: Mistral}},
		"Named":        {"the same everywhere", tool + `"tool_choice":` + functionChoice, tool + `"tool_choice":` + functionChoice, Policy{Provider: Mistral}},
		"Any":          {"OpenAI's word", tool + `"tool_choice":"any"`, tool + `"tool_choice":"required"`, Policy{Provider: OpenAI}},
		"AnyOR":        {"OpenAI's word", tool + `"tool_choice":"any"`, tool + `"tool_choice":"required"`, Policy{Provider: OpenRouter}},
		"Labels": {
			"it would be refused for what changes nothing", `"user":"u","stream":true,"stream_options":{"include_usage":true},"usage":{"include":true},"x":1`,
			`"stream":true,"x":1`, Policy{Provider: Mistral},
		},
		"Nulls":   {"it would be refused for nothing", `"top_k":null,"logprobs":false,"max_completion_tokens":null`, ``, Policy{Provider: Mistral}},
		"Dropped": {"the route lets it go", `"top_k":5,"x":1`, `"x":1`, Policy{Provider: Mistral, Supported: page, DropUnsupported: true}},
		"Own": {
			"it knows them", `"safe_prompt":true,"prompt_mode":"reasoning","n":2,"metadata":{"a":"b"}`,
			`"safe_prompt":true,"prompt_mode":"reasoning","n":2,"metadata":{"a":"b"}`, Policy{Provider: Mistral},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(test.members))
			apply(t, c, test.policy)
			if got := string(c.Body()); got != chatWith(test.want) {
				t.Errorf("%s: got %s, want %s", test.reason, got, chatWith(test.want))
			}
			if again := mustParse(t, string(c.Body())); again.PromptBytes != c.PromptBytes || again.N != c.N {
				t.Errorf("%s: the request is not what it is when read anew: %+v, %+v", test.reason, c, again)
			}
		})
	}
}

func TestAProviderThatRefusesWhatItDoesNotKnowGetsNoneOfIt(t *testing.T) {
	for member, name := range map[string]string{
		`"top_k":5`: "top_k", `"logit_bias":{"1":2}`: "logit_bias", `"logprobs":true`: "logprobs", `"store":true`: "store",
		`"functions":[{"name":"f"}]`: "functions", `"verbosity":"low"`: "verbosity",
	} {
		rules, err := NewRules(Policy{Provider: Mistral})
		if err != nil {
			t.Fatal(err)
		}
		problem := mustParse(t, chatWith(member)).Apply(rules)
		if problem == nil || problem.Param != name || problem.Code != CodeUnsupportedParameter || problem.Status != 400 {
			t.Errorf("%s: %+v", member, problem)
		}
	}
}

func TestWhatAProviderPutsIntoThePromptIsCounted(t *testing.T) {
	plain := mustParse(t, chatWith("")).PromptBytes
	for member, least := range map[string]int64{
		`"safe_prompt":true`: 512, `"prompt_mode":"reasoning"`: 8192, `"safe_prompt":false`: 0, `"prompt_mode":null`: 0,
	} {
		if more := mustParse(t, chatWith(member)).PromptBytes - plain; more < least || more > least+32 {
			t.Errorf("%s: %d bytes are counted, want about %d", member, more, least)
		}
	}
}

func TestARouteMaySetForMistralWhatItKnows(t *testing.T) {
	for _, s := range settings(`"seed":1,"tool_choice":"required","max_completion_tokens":5,"temperature":0.5`) {
		if err := CheckSetting(s, Mistral); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	for _, s := range settings(`"top_k":1,"verbosity":"low","response_format":{"type":"grammar"}`) {
		if err := CheckSetting(s, Mistral); err == nil {
			t.Errorf("%s is accepted", s.Name)
		}
	}
}
