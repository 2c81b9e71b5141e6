package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"

	"github.com/modelroute/modelroute/test/world"
)

func responding(text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: world.Model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)},
	}
}

// respond asks plainly or with a stream, and returns the whole response.
func (c *goClient) respond(t *testing.T, streamed bool, params responses.ResponseNewParams) responses.Response {
	t.Helper()
	if !streamed {
		answer, err := c.Responses.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		return *answer
	}
	var whole responses.Response
	stream := c.Responses.NewStreaming(t.Context(), params)
	for stream.Next() {
		if event := stream.Current(); event.Type == "response.completed" {
			whole = event.AsResponseCompleted().Response
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return whole
}

func TestGoRespondsPlainAndStreamed(t *testing.T) {
	c := newGoClient(t)
	for how, streamed := range map[string]bool{"plain": false, "streamed": true} {
		answer := c.respond(t, streamed, responding(question))
		if answer.OutputText() == "" || answer.Usage.TotalTokens == 0 {
			t.Errorf("%s: no text or no usage: %s", how, answer.RawJSON())
		}
	}
	c.BooksAgree()
}

func TestGoRespondsWithToolsOverSeveralTurns(t *testing.T) {
	c := newGoClient(t)
	for _, streamed := range []bool{false, true} {
		params := responding(weatherQuestion)
		params.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
			Name: "get_weather", Description: openai.String("Tells the weather in a city."), Strict: openai.Bool(true),
			Parameters: map[string]any{
				"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
			},
		}}}
		turn := c.respond(t, streamed, params)
		if len(turn.Output) != 1 || turn.Output[0].Type != "function_call" {
			t.Fatalf("no function is called: %s", turn.RawJSON())
		}
		call := turn.Output[0].AsFunctionCall()
		var arguments struct{ City *string }
		if err := json.Unmarshal([]byte(call.Arguments), &arguments); err != nil || arguments.City == nil {
			t.Fatalf("the arguments %q: %v", call.Arguments, err)
		}
		result := responses.ResponseInputItemParamOfFunctionCallOutput("clear")
		result.OfFunctionCallOutput.CallID = openai.String(call.CallID)
		params.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
			responses.ResponseInputItemParamOfMessage(weatherQuestion, responses.EasyInputMessageRoleUser),
			responses.ResponseInputItemParamOfFunctionCall(call.Arguments, call.CallID, call.Name),
			result,
		}}
		if end := c.respond(t, streamed, params); end.OutputText() == "" {
			t.Errorf("the tool's answer was not taken up: %s", end.RawJSON())
		}
	}
	c.BooksAgree()
}

func TestGoIsToldWhyAResponseIsRefused(t *testing.T) {
	c := newGoClient(t)
	kept := responding(question)
	kept.PreviousResponseID = openai.String("resp_1")
	_, err := c.Responses.New(t.Context(), kept)
	failure, isAPIError := errors.AsType[*openai.Error](err)
	if !isAPIError || failure.StatusCode != http.StatusBadRequest || failure.Param != "previous_response_id" {
		t.Errorf("a response that was stored: %v", err)
	}
	poor := clientOf(c.World, poorKey)
	_, err = poor.Responses.New(t.Context(), responding(question))
	if failure, isAPIError := errors.AsType[*openai.Error](err); !isAPIError || failure.Code != "budget_exhausted" {
		t.Errorf("an empty budget: %v", err)
	}
	if tries := c.Logged(`"code":"budget_exhausted"`); tries != 1 {
		t.Errorf("it was tried %d times", tries)
	}
}

func TestGoAbortsAStreamOfAResponse(t *testing.T) {
	c := newGoClient(t)
	ctx, abort := context.WithCancel(t.Context())
	defer abort()
	stream := c.Responses.NewStreaming(ctx, responding(slowly))
	for seen := 0; stream.Next(); seen++ {
		if seen == 5 {
			abort()
		}
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	c.BooksAgree()
}
