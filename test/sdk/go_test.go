package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"

	"github.com/modelroute/modelroute/test/world"
)

const (
	question        = "Explain quantum entanglement in one sentence."
	weatherQuestion = "What is the weather in Paris?"
	slowly          = "Tell me a very long story. [[fault: answer=400, chunk-delay=5ms]]"
)

// goClient is OpenAI's client for Go, in a world of its own.
type goClient struct {
	*world.World
	openai.Client
}

func newGoClient(t *testing.T) *goClient {
	t.Helper()
	t.Parallel()
	w := begin(t)
	return &goClient{World: w, Client: clientOf(w, world.Key)}
}

func clientOf(w *world.World, key string, options ...option.RequestOption) openai.Client {
	return openai.NewClient(append(options, option.WithBaseURL(w.URL+"/v1"), option.WithAPIKey(key))...)
}

func asking(content string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: world.Model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(content)},
	}
}

// gather reads a stream to its end.
func (c *goClient) gather(t *testing.T, params openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	stream := c.Chat.Completions.NewStreaming(t.Context(), params)
	var whole openai.ChatCompletionAccumulator
	for stream.Next() {
		if !whole.AddChunk(stream.Current()) {
			t.Fatalf("a chunk that does not belong to the stream: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return whole.ChatCompletion
}

func (c *goClient) ask(t *testing.T, params openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	answer, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	return *answer
}

func TestGoAnswersPlainAndStreamed(t *testing.T) {
	c := newGoClient(t)
	params := asking(question)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	streamed := c.gather(t, params)
	params = asking(question)
	plain := c.ask(t, params)
	for how, answer := range map[string]openai.ChatCompletion{"plain": plain, "streamed": streamed} {
		if answer.Choices[0].Message.Content == "" || answer.Usage.TotalTokens == 0 {
			t.Errorf("%s: no text or no usage: %s", how, answer.RawJSON())
		}
	}
	c.BooksAgree()
}

func TestGoCallsToolsOverSeveralTurns(t *testing.T) {
	c := newGoClient(t)
	params := asking(weatherQuestion)
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("Tells the weather in a city."),
		Parameters: shared.FunctionParameters{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
		},
	})}
	for _, turn := range []openai.ChatCompletion{c.ask(t, params), c.gather(t, params)} {
		message := turn.Choices[0].Message
		if len(message.ToolCalls) != 1 {
			t.Fatalf("%d tool calls, want one", len(message.ToolCalls))
		}
		call := message.ToolCalls[0]
		var arguments struct{ City *string }
		if err := json.Unmarshal([]byte(call.Function.Arguments), &arguments); err != nil || arguments.City == nil {
			t.Fatalf("the arguments %q: %v", call.Function.Arguments, err)
		}
		told := params
		told.Messages = append(told.Messages[:1:1], message.ToParam(), openai.ToolMessage("clear", call.ID))
		if end := c.ask(t, told); end.Choices[0].Message.Content == "" {
			t.Errorf("the tool's answer was not taken up: %s", end.RawJSON())
		}
	}
	c.BooksAgree()
}

func TestGoGetsAStructuredAnswer(t *testing.T) {
	c := newGoClient(t)
	params := asking(question)
	params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
		Name: "recipe", Strict: openai.Bool(true),
		Schema: map[string]any{
			"type": "object", "required": []string{"minutes"}, "additionalProperties": false,
			"properties": map[string]any{"minutes": map[string]any{"type": "integer"}},
		},
	}}
	var recipe struct{ Minutes *int }
	content := c.ask(t, params).Choices[0].Message.Content
	if err := json.Unmarshal([]byte(content), &recipe); err != nil || recipe.Minutes == nil {
		t.Errorf("%q is not what the schema asks for: %v", content, err)
	}
	c.BooksAgree()
}

func TestGoCompletesTextsPlainAndStreamed(t *testing.T) {
	c := newGoClient(t)
	params := openai.CompletionNewParams{
		Model:  world.Model,
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"Once upon a time", "In the beginning"}},
	}
	plain, err := c.Completions.New(t.Context(), params)
	if err != nil || len(plain.Choices) != 2 || plain.Choices[1].Text == "" || plain.Usage.CompletionTokens == 0 {
		t.Fatalf("plain: %v, %v", plain, err)
	}
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.Completions.NewStreaming(t.Context(), params)
	texts, tokens := [2]string{}, int64(0)
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			texts[choice.Index] += choice.Text
		}
		tokens = max(tokens, stream.Current().Usage.CompletionTokens)
	}
	if stream.Err() != nil || texts[0] == "" || texts[1] == "" || tokens == 0 {
		t.Errorf("streamed: %q with %d tokens, %v", texts, tokens, stream.Err())
	}
	c.BooksAgree()
}

func TestGoEmbedsTexts(t *testing.T) {
	c := newGoClient(t)
	for name, input := range map[string]openai.EmbeddingNewParamsInputUnion{
		"texts":  {OfArrayOfStrings: []string{"one", "two"}},
		"tokens": {OfArrayOfTokenArrays: [][]int64{{1, 2, 3}, {4}}},
	} {
		answer, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: world.Model, Input: input, Dimensions: openai.Int(8)})
		if err != nil || len(answer.Data) != 2 || len(answer.Data[1].Embedding) != 8 || answer.Usage.PromptTokens == 0 {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
	c.BooksAgree()
}

func TestGoListsTheModels(t *testing.T) {
	c := newGoClient(t)
	page, err := c.Models.List(t.Context())
	if err != nil || len(page.Data) != 1 || page.Data[0].ID != world.Model {
		t.Errorf("models = %v, %v", page, err)
	}
}

func TestGoTellsErrorsByStatusAndCode(t *testing.T) {
	c := newGoClient(t)
	unknown := asking(question)
	unknown.Model = "gpt-none"
	cases := map[string]struct {
		key    string
		params openai.ChatCompletionNewParams
		status int
		code   string
	}{
		"a wrong key":      {"mr-wrong", asking(question), http.StatusUnauthorized, "invalid_api_key"},
		"an unknown model": {world.Key, unknown, http.StatusNotFound, "model_not_found"},
		"an empty budget":  {poorKey, asking(question), http.StatusPaymentRequired, "budget_exhausted"},
	}
	for name, test := range cases {
		client := clientOf(c.World, test.key)
		_, err := client.Chat.Completions.New(t.Context(), test.params)
		failure, isAPIError := errors.AsType[*openai.Error](err)
		if !isAPIError || failure.StatusCode != test.status || failure.Code != test.code {
			t.Errorf("%s: %v, want %d %s", name, err, test.status, test.code)
		}
		if tries := c.Logged(`"code":"` + test.code + `"`); tries != 1 {
			t.Errorf("%s was tried %d times", name, tries)
		}
	}
}

func TestGoTriesARateLimitAgain(t *testing.T) {
	c := newGoClient(t)
	const refused = `"code":"rate_limit_exceeded"`
	hurried := clientOf(c.World, hurriedKey)
	for c.Logged(refused) == 0 {
		if _, err := hurried.Chat.Completions.New(t.Context(), asking(question)); err != nil {
			t.Fatal(err)
		}
	}
	impatient := clientOf(c.World, hurriedKey, option.WithMaxRetries(0))
	for before := c.Logged(refused); c.Logged(refused) == before; {
		_, err := impatient.Chat.Completions.New(t.Context(), asking(question))
		if failure, isAPIError := errors.AsType[*openai.Error](err); err != nil && (!isAPIError || failure.StatusCode != http.StatusTooManyRequests) {
			t.Fatal(err)
		}
	}
	c.BooksAgree()
}

func TestGoAbortsAStream(t *testing.T) {
	c := newGoClient(t)
	ctx, abort := context.WithCancel(t.Context())
	defer abort()
	stream := c.Chat.Completions.NewStreaming(ctx, asking(slowly))
	seen := 0
	for stream.Next() {
		if seen++; seen == 3 {
			abort()
		}
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v after %d chunks", err, seen)
	}
	c.BooksAgree()
	if _, _, requests := c.Since(world.Mark{}); requests != 1 {
		t.Errorf("the upstream billed %d requests", requests)
	}
}
