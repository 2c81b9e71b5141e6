package openai

import "github.com/modelroute/modelroute/internal/money"

// ModelInfo is what GET /v1/models tells of one model.
type ModelInfo struct {
	ID, Name, Description string
	// OwnedBy is OpenAI's owned_by.
	OwnedBy string
	// Created is in Unix seconds.
	Created int64
	// ContextLength and MaxCompletionTokens are in tokens; MaxCompletionTokens is 0 if only the context bounds a completion.
	ContextLength, MaxCompletionTokens int64
	InputModalities, OutputModalities  []string
	SupportedParameters                []string
	// Prompt and Completion are the prices of a token.
	Prompt, Completion money.Price
}

// ModelsList is the answer of GET /v1/models.
func ModelsList(models []ModelInfo) []byte { return nil }

// ModelObject is the answer of GET /v1/models/{id}.
func ModelObject(model ModelInfo) []byte { return nil }
