package upstream

import (
	"encoding/json"
	"net/http"
	"strings"
)

// messageError is an answer in Anthropic's error envelope.
type messageError struct {
	Type      string           `json:"type"`
	Error     messageErrorBody `json:"error"`
	RequestID string           `json:"request_id"`
}

type messageErrorBody struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// messageErrorTypes names the type of each status that Anthropic documents.
var messageErrorTypes = map[int]string{
	http.StatusBadRequest:            "invalid_request_error",
	http.StatusUnauthorized:          "authentication_error",
	http.StatusPaymentRequired:       "billing_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusConflict:              "conflict_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusGatewayTimeout:        "timeout_error",
	529:                              "overloaded_error",
}

func (messagesAPI) envelope(e *apiError) any {
	kind, known := messageErrorTypes[e.status]
	switch {
	case known:
	case e.status >= http.StatusInternalServerError:
		kind = "api_error"
	default:
		kind = "invalid_request_error"
	}
	return messageError{Type: "error", Error: messageErrorBody{Type: kind, Message: e.message}, RequestID: "req_" + randomName()}
}

// messageUsage counts the tokens of the prompt in three parts that do not overlap: Anthropic's convention.
type messageUsage struct {
	InputTokens   *int           `json:"input_tokens,omitempty"`
	CacheCreation *int           `json:"cache_creation_input_tokens,omitempty"`
	CacheRead     *int           `json:"cache_read_input_tokens,omitempty"`
	Created       *cacheCreation `json:"cache_creation,omitempty"`
	OutputTokens  int            `json:"output_tokens"`
	ServerToolUse *serverToolUse `json:"server_tool_use,omitempty"`
	ServiceTier   string         `json:"service_tier,omitempty"`
	costs
}

// cacheCreation splits what was written by how long it is kept.
type cacheCreation struct {
	FiveMinutes int `json:"ephemeral_5m_input_tokens"`
	OneHour     int `json:"ephemeral_1h_input_tokens"`
}

// messageUsage is the usage with so many output tokens, or nil where the faults leave it out.
func (g *generation) messageUsage(output int) *messageUsage {
	if g.faults.usage == usageMissing {
		return nil
	}
	input := g.prompt - g.cached - g.written
	return &messageUsage{
		InputTokens: &input, CacheCreation: &g.written, CacheRead: &g.cached, Created: &cacheCreation{FiveMinutes: g.written},
		OutputTokens: output, ServerToolUse: g.searches(), costs: g.costs(output),
	}
}

type messageAnswer struct {
	ID           string        `json:"id"`
	Type         string        `json:"type"`
	Role         role          `json:"role"`
	Model        string        `json:"model"`
	Provider     string        `json:"provider"`
	Content      []any         `json:"content"`
	StopReason   *string       `json:"stop_reason"`
	StopSequence *string       `json:"stop_sequence"`
	Usage        *messageUsage `json:"usage,omitempty"`
}

type textBlock struct {
	Type      string          `json:"type"`
	Citations json.RawMessage `json:"citations"`
	Text      string          `json:"text"`
}

type toolUseBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

func (g *generation) emptyMessage() messageAnswer {
	return messageAnswer{
		ID: g.id, Type: "message", Role: roleAssistant, Model: g.way.id, Provider: g.way.model.Provider, Content: []any{},
	}
}

func (messagesAPI) answered(g *generation) any {
	out := g.emptyMessage()
	for i := range g.choices {
		out.Content = append(out.Content, g.choices[i].messageBlock(g.choices[i].content()))
	}
	stop := g.messageStop()
	out.StopReason, out.StopSequence, out.Usage = &stop.StopReason, stop.StopSequence, g.messageUsage(g.completion())
	if out.Usage != nil {
		out.Usage.ServiceTier = "standard"
	}
	return out
}

// failed has no place for an error beside a content, so the error is all there is.
func (a messagesAPI) failed(g *generation) any { return a.envelope(g.providerError()) }

// messageBlock is the block of content that says so much of a choice. Arguments that were cut are no input.
func (c *choice) messageBlock(text string) any {
	if c.call == nil {
		return textBlock{Type: modalityText, Citations: jsonNull, Text: text}
	}
	input := json.RawMessage(text)
	if !json.Valid(input) {
		input = json.RawMessage("{}")
	}
	id := "toolu_" + strings.TrimPrefix(c.call.ID, "call_")
	return toolUseBlock{Type: "tool_use", ID: id, Name: c.call.Function.Name, Input: input}
}

type messageStop struct {
	StopReason   string  `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

// messageStop is why an answer ended. One for which no token was allowed ended at its limit.
func (g *generation) messageStop() messageStop {
	if len(g.choices) == 0 {
		return messageStop{StopReason: "max_tokens"}
	}
	c := &g.choices[0]
	switch {
	case c.finish == finishLength:
		return messageStop{StopReason: "max_tokens"}
	case c.finish == finishTools:
		return messageStop{StopReason: "tool_use"}
	case c.stop != "":
		return messageStop{StopReason: "stop_sequence", StopSequence: &c.stop}
	default:
		return messageStop{StopReason: "end_turn"}
	}
}

// messageEvent is one event of a stream; which members it has depends on its type.
type messageEvent struct {
	Type         string         `json:"type"`
	Message      *messageAnswer `json:"message,omitempty"`
	Index        *int           `json:"index,omitempty"`
	ContentBlock any            `json:"content_block,omitempty"`
	Delta        any            `json:"delta,omitempty"`
	Usage        *messageUsage  `json:"usage,omitempty"`
}

type textDelta struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type inputDelta struct {
	Type string `json:"type"`
	JSON string `json:"partial_json"`
}

func (e messageEvent) with(tokens int) event { return event{name: e.Type, data: e, tokens: tokens} }

func (messagesAPI) script(g *generation, perEvent int) script {
	begin := g.emptyMessage()
	if begin.Usage = g.messageUsage(min(1, g.req.n)); begin.Usage != nil { // Anthropic begins with a placeholder.
		begin.Usage.costs, begin.Usage.ServiceTier = costs{}, "standard"
	}
	s := script{events: []event{messageEvent{Type: "message_start", Message: &begin}.with(0)}}
	for _, p := range g.parts(perEvent) {
		s.events = append(s.events, p.messageEvents()...)
	}
	end := messageEvent{Type: "message_delta", Delta: g.messageStop(), Usage: g.messageUsage(g.completion())}
	if g.faults.usage == usageFirst { // As Anthropic's own first versions: the prompt is told of at the begin only.
		end.Usage = &messageUsage{OutputTokens: end.Usage.OutputTokens, costs: end.Usage.costs}
	}
	s.closing = []event{end.with(0), messageEvent{Type: "message_stop"}.with(0)}
	return s
}

// messageEvents are the events of one part.
func (p part) messageEvents() []event {
	index := p.choice.index
	start := messageEvent{Type: "content_block_start", Index: &index}
	delta := messageEvent{Type: "content_block_delta", Index: &index}
	switch {
	case p.kind == partOpening && p.choice.call != nil:
		return nil
	case p.kind == partOpening:
		start.ContentBlock = p.choice.messageBlock("")
		return []event{start.with(0), messageEvent{Type: "ping"}.with(0)}
	case p.kind == partCall:
		start.ContentBlock = p.choice.messageBlock("")
		return []event{start.with(p.tokens)}
	case p.kind == partEnd:
		return []event{messageEvent{Type: "content_block_stop", Index: &index}.with(0)}
	case p.choice.call != nil:
		delta.Delta = inputDelta{Type: "input_json_delta", JSON: p.text}
	default:
		delta.Delta = textDelta{Type: "text_delta", Text: p.text}
	}
	return []event{delta.with(p.tokens)}
}

func (a messagesAPI) failure(g *generation, _ int) event {
	return event{name: "error", data: a.envelope(g.providerError())}
}
