package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/money"
)

// perMillion is a price in USD per million tokens.
func perMillion(t *testing.T, usd string) money.Price {
	t.Helper()
	price, err := money.ParsePricePerMillion(usd)
	if err != nil {
		t.Fatal(err)
	}
	return price
}

func TestTheBuiltInListHasTheModelThatTheProjectBeganWith(t *testing.T) {
	facts, known := BuiltIn("OpenRouter", "mistralai/mixtral-8x22b-instruct")
	want := Facts{
		ContextLength: 65536, InputModalities: []string{"text"}, OutputModalities: []string{"text"},
		SupportedParameters: []string{
			"frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "response_format", "seed", "stop",
			"structured_outputs", "temperature", "tool_choice", "tools", "top_p",
		},
		Pricing: &Pricing{Prompt: perMillion(t, "2.00"), Completion: perMillion(t, "6.00")},
	}
	if diff := cmp.Diff(want, facts); diff != "" || !known {
		t.Errorf("known is %v (-want +got):\n%s", known, diff)
	}
	if _, known := BuiltIn("OpenAI", "mistralai/mixtral-8x22b-instruct"); known {
		t.Error("another provider has the price of OpenRouter")
	}
}

func TestAMistakeInTheBuiltInListIsFound(t *testing.T) {
	const good = `{"provider":"P","id":"m","source":"https://p.example","date":"2026-11-26","contextLength":8,
		"usdPerMillionTokens":{"prompt":"1","completion":"2"}}`
	list := func(models ...string) string { return `{"models":[` + strings.Join(models, ",") + `]}` }
	if _, err := parseBuiltIn([]byte(list(good))); err != nil {
		t.Fatalf("the list that the others are made of: %v", err)
	}
	for reason, wrong := range map[string]string{
		"a model twice":         list(good, good),
		"an unknown field":      list(strings.Replace(good, `"source"`, `"sauce":"","source"`, 1)),
		"no source":             list(strings.Replace(good, "https://p.example", "", 1)),
		"no day":                list(strings.Replace(good, "2026-11-26", "soon", 1)),
		"no context":            list(strings.Replace(good, `"contextLength":8`, `"contextLength":0`, 1)),
		"no price":              list(strings.Replace(good, `"completion":"2"`, `"cachedPrompt":"2"`, 1)),
		"a price that is none":  list(strings.Replace(good, `"prompt":"1"`, `"prompt":"cheap"`, 1)),
		"a cache that is cheap": list(strings.Replace(good, `"completion":"2"`, `"completion":"2","cacheWrite":"cheap"`, 1)),
		"no list":               `[]`,
	} {
		if _, err := parseBuiltIn([]byte(wrong)); err == nil {
			t.Errorf("%s is not found", reason)
		}
	}
}

func TestAListOfOpenRoutersModelsIsRead(t *testing.T) {
	models, err := ParseModels([]byte(`{"data":[{
		"id": "mistralai/mixtral-8x22b-instruct", "canonical_slug": "mistralai/mixtral-8x22b", "name": "Mixtral", "context_length": 65536,
		"architecture": {"input_modalities": ["text","smell","image"], "output_modalities": ["text"]},
		"pricing": {"prompt":"0.000002","completion":"0.000006","input_cache_read":"0.0000002","request":"0.005","image":"0","discount":0.1},
		"top_provider": {"context_length": 32768, "max_completion_tokens": 16384},
		"supported_parameters": ["top_p", "temperature", "top_p", "Not A Name"]
	}], "total_count": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	cached := perMillion(t, "0.20")
	want := map[string]Facts{"mistralai/mixtral-8x22b-instruct": {
		ContextLength: 65536, MaxCompletionTokens: 16384,
		InputModalities: []string{"image", "text"}, OutputModalities: []string{"text"}, SupportedParameters: []string{"temperature", "top_p"},
		Pricing: &Pricing{
			Prompt: perMillion(t, "2"), Completion: perMillion(t, "6"), CachedPrompt: &cached, Request: money.FromNano(5_000_000),
		},
	}}
	if diff := cmp.Diff(want, models); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOfAModel(t *testing.T) {
	for name, of := range map[string]struct {
		reason, model string
		want          func(t *testing.T, facts Facts) string
	}{
		"a context that only the best provider names is taken": {
			"OpenRouter may have null at the top", `{"id":"m","context_length":null,"top_provider":{"context_length":8,"max_completion_tokens":null}}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff(Facts{ContextLength: 8}, facts) },
		},
		"vLLM's context is taken": {
			"its list has no other", `{"id":"m","object":"model","max_model_len":4096}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff(Facts{ContextLength: 4096}, facts) },
		},
		"OpenAI's list says nothing": {
			"it has ids alone", `{"id":"m","object":"model","created":1,"owned_by":"openai"}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff(Facts{}, facts) },
		},
		"a completion is no longer than the context": {
			"a route that said so would be refused", `{"id":"m","context_length":8,"top_provider":{"max_completion_tokens":9}}`,
			func(t *testing.T, facts Facts) string {
				return cmp.Diff(Facts{ContextLength: 8, MaxCompletionTokens: 8}, facts)
			},
		},
		"embeddings stand alone": {
			"a route that names more is refused", `{"id":"m","architecture":{"output_modalities":["text","embeddings"]}}`,
			func(t *testing.T, facts Facts) string {
				return cmp.Diff([]string{"embeddings"}, facts.OutputModalities)
			},
		},
		"the highest price counts": {
			"what is held must be enough at any hour, and for a long prompt",
			`{"id":"m","pricing":{"prompt":"1e-6","completion":"0.000002","internal_reasoning":"0.000004","input_cache_write":"0.000002",
				"input_cache_write_1h":"0.000003","overrides":[{"min_prompt_tokens":200000,"prompt":"0.000005"},{"utc_start":0,"utc_end":600,
				"prompt":"0.0000001"}]}}`,
			func(t *testing.T, facts Facts) string {
				write := perMillion(t, "3")
				return cmp.Diff(&Pricing{Prompt: perMillion(t, "5"), Completion: perMillion(t, "4"), CacheWrite: &write}, facts.Pricing)
			},
		},
		"a part of a pico-dollar is a whole one": {
			"nothing is held too little", `{"id":"m","pricing":{"prompt":"0.0000000000001","completion":"0"}}`,
			func(t *testing.T, facts Facts) string {
				return cmp.Diff(&Pricing{Prompt: money.PriceFromPico(1)}, facts.Pricing)
			},
		},
		"what has no fixed price has none": {
			"OpenRouter says so with -1", `{"id":"m","pricing":{"prompt":"-1","completion":"-1"}}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff((*Pricing)(nil), facts.Pricing) },
		},
		"half a price is none": {
			"the other half would be free", `{"id":"m","pricing":{"prompt":"0.000001"}}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff((*Pricing)(nil), facts.Pricing) },
		},
		"a price with a part that cannot be read is none": {
			"that part may be the dear one", `{"id":"m","pricing":{"prompt":"0","completion":"0","overrides":[{"prompt":"much"}]}}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff((*Pricing)(nil), facts.Pricing) },
		},
		"more parameters than a route can have are not known": {
			"the rest would be refused", `{"id":"m","supported_parameters":["p` + manyNames() + `"]}`,
			func(t *testing.T, facts Facts) string { return cmp.Diff([]string(nil), facts.SupportedParameters) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			models, err := ParseModels([]byte(`{"data":[` + of.model + `]}`))
			if err != nil || len(models) != 1 {
				t.Fatalf("%d models, %v", len(models), err)
			}
			if diff := of.want(t, models["m"]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", of.reason, diff)
			}
		})
	}
}

func manyNames() string {
	var names strings.Builder
	for i := range 64 {
		names.WriteString(`","n` + strings.Repeat("x", i))
	}
	return names.String()
}

func TestAModelThatCannotBeReadHidesNoOther(t *testing.T) {
	models, err := ParseModels([]byte(`{"data":[{"id":"a","context_length":"long"},7,{"id":""},{"id":"b","context_length":8},{"id":"b","context_length":9}]}`))
	if diff := cmp.Diff(map[string]Facts{"b": {ContextLength: 8}}, models); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestWhatIsNoListOfModelsIsAnError(t *testing.T) {
	for _, answer := range []string{"", "<html>", `{"error":{"code":401}}`, `{"data":{}}`, `{"data":[`} {
		if models, err := ParseModels([]byte(answer)); err == nil {
			t.Errorf("%q has the models %v", answer, models)
		}
	}
}

// FuzzParseModels holds whatever an upstream says to what a route can have.
func FuzzParseModels(f *testing.F) {
	f.Add([]byte(`{"data":[{"id":"m","context_length":8,"pricing":{"prompt":"1e-6","completion":"2","request":"99999999999"}}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		models, _ := ParseModels(answer)
		for id, facts := range models {
			if facts.ContextLength < 0 || facts.MaxCompletionTokens < 0 || facts.ContextLength > maxContextLength {
				t.Errorf("%s: %+v", id, facts)
			}
			if facts.Pricing == nil {
				continue
			}
			for _, price := range []money.Price{facts.Pricing.Prompt, facts.Pricing.Completion} {
				if read, err := money.ParsePricePerMillion(price.PerMillion()); err != nil || read != price {
					t.Errorf("%s: the price %s cannot be in a route: %v", id, price.PerMillion(), err)
				}
			}
			if _, err := money.ParseUSD(facts.Pricing.Request.String()); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}
