package openai

import (
	"net/url"
	"strings"

	"github.com/modelroute/modelroute/internal/pricing"
)

// ModelInfo is what GET /v1/models tells of one model.
type ModelInfo struct {
	// ID is what clients send as model. An alias is a model of its own here, since clients look for the name that they use.
	ID string
	// Name and Description are for people; without a Name they see the ID.
	Name, Description string
	// OwnedBy is OpenAI's owned_by.
	OwnedBy string
	// Created is in Unix seconds.
	Created int64
	// ContextLength and MaxCompletionTokens are in tokens; MaxCompletionTokens is 0 if only the context bounds a completion.
	ContextLength, MaxCompletionTokens int64
	// InputModalities and OutputModalities are text, image and so on; without any a model is text to text.
	InputModalities, OutputModalities []string
	// SupportedParameters are names of request parameters.
	SupportedParameters []string
	// Endpoints are the paths at which the model is served, such as /v1/chat/completions.
	Endpoints []string
	Prices    pricing.Prices
	// Unpriced is true if no price is known; clients are told -1, as OpenRouter has it of what has no fixed price. 0 would be free.
	Unpriced bool
}

// modelObject has the members of OpenAI's model and those of OpenRouter's, whose prices are strings in USD per token. OpenRouter's SDK
// refuses a list in which any member that OpenRouter always sends is missing, so those are there though they are null or say little.
// supported_endpoints is neither's; LiteLLM's list of models has it.
type modelObject struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Created             int64             `json:"created"`
	OwnedBy             string            `json:"owned_by"`
	CanonicalSlug       string            `json:"canonical_slug"`
	Name                string            `json:"name"`
	Description         string            `json:"description"`
	ContextLength       int64             `json:"context_length"`
	Architecture        modelArchitecture `json:"architecture"`
	Pricing             modelPricing      `json:"pricing"`
	TopProvider         modelProvider     `json:"top_provider"`
	PerRequestLimits    *struct{}         `json:"per_request_limits"`
	SupportedParameters []string          `json:"supported_parameters"`
	SupportedEndpoints  []string          `json:"supported_endpoints"`
	DefaultParameters   *struct{}         `json:"default_parameters"`
	SupportedVoices     []string          `json:"supported_voices"`
	Links               modelLinks        `json:"links"`
}

type modelArchitecture struct {
	Modality         string   `json:"modality"`
	InputModalities  []string `json:"input_modalities"`
	OutputModalities []string `json:"output_modalities"`
	Tokenizer        string   `json:"tokenizer"`
	InstructType     *string  `json:"instruct_type"`
}

// modelPricing is in USD per token and, of Request, in USD.
type modelPricing struct {
	Prompt          string `json:"prompt"`
	Completion      string `json:"completion"`
	Request         string `json:"request"`
	InputCacheRead  string `json:"input_cache_read"`
	InputCacheWrite string `json:"input_cache_write"`
}

// noPrice is what a price is where none is known.
const noPrice = "-1"

func pricingOf(model ModelInfo) modelPricing {
	if model.Unpriced {
		return modelPricing{Prompt: noPrice, Completion: noPrice, Request: noPrice, InputCacheRead: noPrice, InputCacheWrite: noPrice}
	}
	prices := model.Prices
	return modelPricing{
		Prompt:          prices.Prompt.PerToken(),
		Completion:      prices.Completion.PerToken(),
		Request:         strings.TrimSuffix(strings.TrimRight(prices.Request.String(), "0"), "."), // "0", as that of a free token is
		InputCacheRead:  prices.CachedPrompt.PerToken(),
		InputCacheWrite: prices.CacheWrite.PerToken(),
	}
}

type modelProvider struct {
	ContextLength       int64  `json:"context_length"`
	MaxCompletionTokens *int64 `json:"max_completion_tokens"`
	IsModerated         bool   `json:"is_moderated"`
}

type modelLinks struct {
	Details string `json:"details"`
}

// listLinks has no next page: the list is always whole.
type listLinks struct {
	Next *string `json:"next"`
}

// ModelsList is the answer of GET /v1/models: OpenAI's list and OpenRouter's in one.
func ModelsList(models []ModelInfo) []byte {
	list := struct {
		Object     string        `json:"object"`
		Data       []modelObject `json:"data"`
		TotalCount int           `json:"total_count"`
		Links      listLinks     `json:"links"`
	}{Object: "list", Data: make([]modelObject, 0, len(models)), TotalCount: len(models)}
	for _, model := range models {
		list.Data = append(list.Data, model.object())
	}
	return encode(list)
}

// ModelObject is the answer of GET /v1/models/{id}: OpenAI's, with OpenRouter's members.
func ModelObject(model ModelInfo) []byte { return encode(model.object()) }

func (m ModelInfo) object() modelObject {
	input, output := orText(m.InputModalities), orText(m.OutputModalities)
	object := modelObject{
		ID:            m.ID,
		Object:        "model",
		Created:       m.Created,
		OwnedBy:       m.OwnedBy,
		CanonicalSlug: m.ID,
		Name:          m.Name,
		Description:   m.Description,
		ContextLength: m.ContextLength,
		Architecture: modelArchitecture{
			Modality:         strings.Join(input, "+") + "->" + strings.Join(output, "+"),
			InputModalities:  input,
			OutputModalities: output,
			Tokenizer:        "Other",
		},
		Pricing:             pricingOf(m),
		TopProvider:         modelProvider{ContextLength: m.ContextLength},
		SupportedParameters: append([]string{}, m.SupportedParameters...),
		SupportedEndpoints:  append([]string{}, m.Endpoints...),
		Links:               modelLinks{Details: "/api/v1/models/" + url.PathEscape(m.ID)},
	}
	if object.Name == "" {
		object.Name = m.ID
	}
	if m.MaxCompletionTokens > 0 {
		object.TopProvider.MaxCompletionTokens = &m.MaxCompletionTokens
	}
	return object
}

func orText(modalities []string) []string {
	if len(modalities) == 0 {
		return []string{"text"}
	}
	return modalities
}
