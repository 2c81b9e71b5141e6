package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/modelroute/modelroute/internal/cli/shell"
)

// The headers by which a route tells what a request cost; of a stream the first is a trailer. docs/observability.md has them.
const (
	costHeader      = "X-Modelroute-Cost"
	remainingHeader = "X-Modelroute-Budget-Remaining"
	budgetHeader    = "X-Modelroute-Budget"
)

// conversation is what was said, and with whom.
type conversation struct {
	*shell.Shell
	service openai.ChatCompletionService
	model   string
	said    []openai.ChatCompletionMessageParamUnion
}

func newConversation(with *endpoint, s *shell.Shell) *conversation {
	return &conversation{Shell: s, model: with.model, service: openai.NewChatCompletionService(
		option.WithBaseURL(with.url), option.WithAPIKey(with.key),
		option.WithHTTPClient(&http.Client{Transport: draining{with.transport}}),
		option.WithMaxRetries(0), // Somebody looks on, and sees why.
	)}
}

// ask streams the answer to a question. What was not answered to its end was not said.
func (c *conversation) ask(ctx context.Context, question string) error {
	asked := append(slices.Clone(c.said), openai.UserMessage(question))
	var response *http.Response
	stream := c.service.NewStreaming(
		ctx, openai.ChatCompletionNewParams{Model: c.model, Messages: asked}, option.WithResponseInto(&response))
	var answer strings.Builder
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			text := choice.Delta.Content + choice.Delta.Refusal
			answer.WriteString(text)
			fmt.Fprint(c.Out, text)
		}
	}
	if answer.Len() > 0 {
		fmt.Fprintln(c.Out)
	}
	err := stream.Err()
	if response != nil && (err == nil || costOf(response) != "0.00") { // A refusal is free, and then it needs no words.
		c.tellCost(response)
	}
	if err != nil {
		return explain(err, c.model)
	}
	c.said = append(asked, openai.AssistantMessage(answer.String()))
	return nil
}

// costOf is what the route says that an answer cost; empty if it does not tell.
func costOf(response *http.Response) string {
	return cmp.Or(response.Trailer.Get(costHeader), response.Header.Get(costHeader))
}

// tellCost says what an answer cost, beside it and not in it. What is left was told when the most that it could cost was held, so that it
// is no less.
func (c *conversation) tellCost(response *http.Response) {
	var parts []string
	if cost := costOf(response); cost != "" {
		parts = append(parts, "It cost "+cost+" USD.")
	}
	if remaining := response.Header.Get(remainingHeader); remaining != "" {
		parts = append(parts, fmt.Sprintf("At least %s USD are left of %s.", remaining, response.Header.Get(budgetHeader)))
	}
	if len(parts) > 0 {
		fmt.Fprintln(c.Diagnostics, c.Paint(shell.Grey, strings.Join(parts, " ")))
	}
}

// explain says why there is no answer, in the route's words, and what to do next.
func explain(err error, model string) error {
	refused, isRefused := errors.AsType[*openai.Error](err)
	if !isRefused {
		return fmt.Errorf("asking %s: %w", model, err)
	}
	next := map[int]string{
		http.StatusUnauthorized:    "The key was revoked or replaced, or is for another route: kubectl modelroute keys list",
		http.StatusPaymentRequired: "Who has spent what: kubectl modelroute usage; a budget is raised in the object that has it",
		http.StatusNotFound:        "Which models there are, and where: kubectl modelroute models --all-namespaces",
		http.StatusTooManyRequests: "Ask again in a while; what the route allows is in its rateLimits and budgets",
	}[refused.StatusCode]
	if refused.StatusCode >= http.StatusInternalServerError {
		next = "What is wrong: kubectl modelroute doctor"
	}
	said := cmp.Or(refused.Message, http.StatusText(refused.StatusCode))
	return fmt.Errorf("%s answers %d: %s\n%s", model, refused.StatusCode, said, next)
}

// draining reads answers to their end when they are closed: the client stops at the last event of a stream, and a trailer comes after it.
type draining struct{ http.RoundTripper }

func (d draining) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = drainedBody{response.Body}
	}
	return response, err
}

type drainedBody struct{ io.ReadCloser }

// Close reads no more than an end can be.
func (b drainedBody) Close() error {
	_, _ = io.Copy(io.Discard, io.LimitReader(b.ReadCloser, 1<<16))
	return b.ReadCloser.Close()
}
