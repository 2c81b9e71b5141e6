package upstream

import (
	"encoding/json"
	"strings"
)

// The kinds of item and of part of an answer.
const (
	itemMessage      = "message"
	itemFunctionCall = "function_call"
	partOutputText   = "output_text"
)

// The states of a response and of its items.
const (
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusFailed     = "failed"
)

// response is an answer, and what the events of a stream say of it. It repeats what was asked for.
type response struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	CreatedAt         int64              `json:"created_at"`
	Status            string             `json:"status"`
	Error             *responseError     `json:"error"`
	IncompleteDetails *incompleteDetails `json:"incomplete_details"`
	Instructions      json.RawMessage    `json:"instructions"`
	MaxOutputTokens   json.RawMessage    `json:"max_output_tokens"`
	Model             string             `json:"model"`
	Provider          string             `json:"provider"`
	Output            []any              `json:"output"`
	ParallelToolCalls json.RawMessage    `json:"parallel_tool_calls"`
	PreviousResponse  *string            `json:"previous_response_id"`
	ServiceTier       string             `json:"service_tier"`
	Store             bool               `json:"store"`
	Temperature       json.RawMessage    `json:"temperature"`
	Text              json.RawMessage    `json:"text"`
	ToolChoice        json.RawMessage    `json:"tool_choice"`
	Tools             json.RawMessage    `json:"tools"`
	TopP              json.RawMessage    `json:"top_p"`
	Truncation        string             `json:"truncation"`
	Metadata          json.RawMessage    `json:"metadata"`
	Usage             *responseUsage     `json:"usage"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incompleteDetails struct {
	Reason string `json:"reason"`
}

type responseUsage struct {
	InputTokens   int                 `json:"input_tokens"`
	InputDetails  inputDetails        `json:"input_tokens_details"`
	OutputTokens  int                 `json:"output_tokens"`
	OutputDetails outputDetails       `json:"output_tokens_details"`
	TotalTokens   int                 `json:"total_tokens"`
	Cost          json.Number         `json:"cost,omitempty"` // USD
	IsBYOK        *bool               `json:"is_byok,omitempty"`
	CostDetails   *responseCostDetail `json:"cost_details,omitempty"`
	ServerToolUse *serverToolUse      `json:"server_tool_use,omitempty"`
}

type inputDetails struct {
	CachedTokens     int `json:"cached_tokens"`
	CacheWriteTokens int `json:"cache_write_tokens"`
}

type outputDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

// responseCostDetail is costDetails with the names of this endpoint.
type responseCostDetail struct {
	Inference json.Number `json:"upstream_inference_cost"`
	Input     json.Number `json:"upstream_inference_input_cost"`
	Output    json.Number `json:"upstream_inference_output_cost"`
}

// responseUsage is the usage with so many output tokens, or nil where the faults leave it out.
func (g *generation) responseUsage(output int) *responseUsage {
	if g.faults.usage == usageMissing {
		return nil
	}
	c := g.costs(output)
	u := &responseUsage{
		InputTokens: g.prompt, InputDetails: inputDetails{CachedTokens: g.cached, CacheWriteTokens: g.written},
		OutputTokens: output, TotalTokens: g.prompt + output, Cost: c.Cost, IsBYOK: c.IsBYOK, ServerToolUse: g.searches(),
	}
	if d := c.CostDetails; d != nil {
		u.CostDetails = &responseCostDetail{Inference: d.Inference, Input: d.Prompt, Output: d.Completions}
	}
	return u
}

type messageItem struct {
	ID      string       `json:"id"`
	Type    string       `json:"type"`
	Status  string       `json:"status"`
	Role    role         `json:"role"`
	Content []outputText `json:"content"`
}

type outputText struct {
	Type        string `json:"type"`
	Annotations []any  `json:"annotations"`
	Logprobs    []any  `json:"logprobs"`
	Text        string `json:"text"`
}

type functionCallItem struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Status    string `json:"status"`
	Arguments string `json:"arguments"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
}

func newOutputText(text string) outputText {
	return outputText{Type: partOutputText, Annotations: []any{}, Logprobs: []any{}, Text: text}
}

// itemID names the one item of an answer.
func (g *generation) itemID() string {
	name := g.id[strings.LastIndexByte(g.id, '-')+1:]
	if g.choices[0].call != nil {
		return "fc_" + name
	}
	return "msg_" + name
}

// begunItem is the item before anything is said.
func (g *generation) begunItem() any {
	if call := g.choices[0].call; call != nil {
		return functionCallItem{
			ID: g.itemID(), Type: itemFunctionCall, Status: statusInProgress, CallID: call.ID, Name: call.Function.Name,
		}
	}
	return messageItem{ID: g.itemID(), Type: itemMessage, Status: statusInProgress, Role: roleAssistant, Content: []outputText{}}
}

// doneItem is the item with all that is said.
func (g *generation) doneItem() any {
	text := g.choices[0].content()
	switch item := g.begunItem().(type) {
	case functionCallItem:
		item.Status, item.Arguments = g.doneStatus(), text
		return item
	case messageItem:
		item.Status, item.Content = g.doneStatus(), []outputText{newOutputText(text)}
		return item
	default:
		return item
	}
}

func (g *generation) doneStatus() string {
	if g.finish() == finishLength {
		return statusIncomplete
	}
	return statusCompleted
}

// begunResponse is the response before anything is said.
func (g *generation) begunResponse() response {
	asked, _ := g.req.detail.(fields)
	echo := func(name, otherwise string) json.RawMessage {
		if asked.absent(name) {
			return json.RawMessage(otherwise)
		}
		return asked[name]
	}
	choice := choiceAuto
	if g.req.toolChoice.mode == choiceNone {
		choice = choiceNone
	}
	return response{
		ID: g.id, Object: "response", CreatedAt: g.started.Unix(), Status: statusInProgress, Model: g.way.id,
		Provider: g.way.model.Provider, Output: []any{}, ServiceTier: g.way.tier, Truncation: "disabled",
		Instructions: echo("instructions", "null"), MaxOutputTokens: echo("max_output_tokens", "null"),
		ParallelToolCalls: echo("parallel_tool_calls", "true"), Temperature: echo("temperature", "1"), TopP: echo("top_p", "1"),
		Text: echo("text", `{"format":{"type":"text"}}`), Tools: echo("tools", "[]"), Metadata: echo("metadata", "{}"),
		ToolChoice: echo("tool_choice", `"`+choice+`"`),
	}
}

func (g *generation) doneResponse() response {
	out := g.begunResponse()
	out.Status, out.Output, out.Usage = g.doneStatus(), []any{g.doneItem()}, g.responseUsage(g.completion())
	if out.Status == statusIncomplete {
		out.IncompleteDetails = &incompleteDetails{Reason: "max_output_tokens"}
	}
	return out
}

func (g *generation) failedResponse() response {
	out := g.begunResponse()
	out.Status, out.Error = statusFailed, &responseError{Code: "server_error", Message: g.providerError().message}
	return out
}

func (responsesAPI) answered(g *generation) any { return g.doneResponse() }

// failed is a 200 that says that the provider failed.
func (responsesAPI) failed(g *generation) any { return g.failedResponse() }
