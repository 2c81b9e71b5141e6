package openai

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

func TestModelsListReadsAsOpenAIsAndAsOpenRouters(t *testing.T) {
	models := []ModelInfo{
		{
			ID: "mixtral-8x22b-instruct", Name: "Mixtral 8x22B Instruct", Description: "Mistral's <best>.",
			OwnedBy: "ai-platform", Created: 1_790_000_000,
			ContextLength: 65536, MaxCompletionTokens: 16384, InputModalities: []string{"text", "image"}, OutputModalities: []string{"text"},
			SupportedParameters: []string{"max_tokens", "temperature"}, Endpoints: []string{"/v1/chat/completions"},
			Prices: pricing.Prices{Prompt: money.PriceFromPico(2_000_000), Completion: money.PriceFromPico(6_000_000),
				CachedPrompt: money.PriceFromPico(200_000), CacheWrite: money.PriceFromPico(2_500_000),
				Request: money.FromNano(10_500_000)},
		},
		{ID: "free", ContextLength: 1},
	}
	want := `{"object":"list","data":[
		{"id":"mixtral-8x22b-instruct","object":"model","created":1790000000,"owned_by":"ai-platform","canonical_slug":"mixtral-8x22b-instruct",
		"name":"Mixtral 8x22B Instruct","description":"Mistral's <best>.","context_length":65536,
		"architecture":{"modality":"text+image->text","input_modalities":["text","image"],"output_modalities":["text"],
		"tokenizer":"Other","instruct_type":null},
		"pricing":{"prompt":"0.000002","completion":"0.000006","request":"0.0105",
		"input_cache_read":"0.0000002","input_cache_write":"0.0000025"},
		"top_provider":{"context_length":65536,"max_completion_tokens":16384,"is_moderated":false},
		"per_request_limits":null,"supported_parameters":["max_tokens","temperature"],"supported_endpoints":["/v1/chat/completions"],
		"default_parameters":null,
		"supported_voices":null,"links":{"details":"/api/v1/models/mixtral-8x22b-instruct"}},
		{"id":"free","object":"model","created":0,"owned_by":"","canonical_slug":"free","name":"free","description":"","context_length":1,
		"architecture":{"modality":"text->text","input_modalities":["text"],"output_modalities":["text"],
		"tokenizer":"Other","instruct_type":null},
		"pricing":{"prompt":"0","completion":"0","request":"0","input_cache_read":"0","input_cache_write":"0"},
		"top_provider":{"context_length":1,"max_completion_tokens":null,"is_moderated":false},
		"per_request_limits":null,"supported_parameters":[],"supported_endpoints":[],"default_parameters":null,
		"supported_voices":null,"links":{"details":"/api/v1/models/free"}}
	],"total_count":2,"links":{"next":null}}`
	if diff := cmp.Diff(decoded(t, want), decoded(t, string(ModelsList(models)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	one := decoded(t, want).(map[string]any)["data"].([]any)[0]
	if diff := cmp.Diff(one, decoded(t, string(ModelObject(models[0])))); diff != "" {
		t.Errorf("one model (-want +got):\n%s", diff)
	}
}

func TestAModelWhosePriceNobodyKnowsIsNotShownAsFree(t *testing.T) {
	object := decoded(t, string(ModelObject(ModelInfo{ID: "m", Unpriced: true}))).(map[string]any)
	want := decoded(t, `{"prompt":"-1","completion":"-1","request":"-1","input_cache_read":"-1","input_cache_write":"-1"}`)
	if diff := cmp.Diff(want, object["pricing"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoModelsAreAnEmptyList(t *testing.T) {
	if got, want := string(ModelsList(nil)), `{"object":"list","data":[],"total_count":0,"links":{"next":null}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func decoded(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}
