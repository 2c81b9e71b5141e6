package upstream

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

// chatRequest is a valid body of POST /chat/completions, as far as it decides the answer and its price.
type chatRequest struct {
	model, user, serviceTier string
	models                   []string
	messages                 []message
	messagesText             string // compact JSON: what the answer depends on
	maxTokens                int    // 0: the caller set no limit
	n                        int
	seed                     *int64
	temperature              *float64
	stop                     []string
	stream                   bool
	tools                    []tool
	toolsText                string // compact JSON: what the provider reads
	toolChoice               toolChoice
	format                   responseFormat
	provider                 providerPreferences
	webSearch                bool
}

type role string

const (
	roleSystem    role = "system"
	roleDeveloper role = "developer"
	roleUser      role = "user"
	roleAssistant role = "assistant"
	roleTool      role = "tool"
)

type message struct {
	Role       role            `json:"role"`
	Content    json.RawMessage `json:"content"`
	Name       string          `json:"name"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []toolCall      `json:"tool_calls"`

	text string
}

// fields is a JSON object by its exact names. (Decoding into a struct would take "MAX_TOKENS" for "max_tokens".)
type fields map[string]json.RawMessage

// absent is true for a name that is missing or null: null is legal for every parameter and means "not set".
func (f fields) absent(name string) bool {
	raw, ok := f[name]
	return !ok || bytes.Equal(raw, jsonNull)
}

func read[T any](f fields, name string, into *T) error {
	if f.absent(name) {
		return nil
	}
	if err := json.Unmarshal(f[name], into); err != nil {
		if e := asAPIError(err); e.status < 500 {
			return e
		}
		return badRequest("Invalid input for %q: expected %s", name, typeName(into))
	}
	return nil
}

func typeName(v any) string {
	switch v.(type) {
	case *string:
		return "string"
	case **int64:
		return "integer"
	case *bool:
		return "boolean"
	case *[]string, *[]message, *[]tool, *[]plugin:
		return kindArray
	default:
		return kindObject
	}
}

// numberRange is what a numeric parameter may be. Source: OpenRouter's parameter reference and OpenAI's schema.
type numberRange struct {
	name      string
	low, high float64
	integer   bool
}

var numberRanges = []numberRange{
	{"temperature", 0, 2, false},
	{"top_p", 0, 1, false},
	{"top_k", 0, math.MaxInt32, true},
	{"min_p", 0, 1, false},
	{"top_a", 0, 1, false},
	{"frequency_penalty", -2, 2, false},
	{"presence_penalty", -2, 2, false},
	{"repetition_penalty", 0, 2, false},
	{"max_tokens", 1, math.MaxInt32, true},
	{"max_completion_tokens", 1, math.MaxInt32, true},
	{"top_logprobs", 0, 20, true},
	{"n", 1, 128, true},
}

func checkNumbers(f fields) error {
	for _, limit := range numberRanges {
		name := limit.name
		if f.absent(name) {
			continue
		}
		var value float64
		if err := json.Unmarshal(f[name], &value); err != nil {
			return badRequest("Invalid input for %q: expected number", name)
		}
		if limit.integer && value != math.Trunc(value) {
			return badRequest("Invalid input for %q: expected integer", name)
		}
		if value < limit.low || value > limit.high {
			return badRequest("Invalid input for %q: %s is not between %.0f and %.0f", name, f[name], limit.low, limit.high)
		}
	}
	return nil
}

// integer is the value of a parameter that checkNumbers has accepted, or 0.
func (f fields) integer(name string) int {
	var value float64
	if f.absent(name) || json.Unmarshal(f[name], &value) != nil {
		return 0
	}
	return int(value)
}

// parseChat reads and checks a body. Its errors are OpenRouter's answers.
func parseChat(body []byte) (*chatRequest, error) {
	var f fields
	if err := json.Unmarshal(body, &f); err != nil || f == nil {
		return nil, badRequest("Invalid JSON: the body is not one JSON object")
	}
	if err := checkNumbers(f); err != nil {
		return nil, err
	}
	req := &chatRequest{
		// Which limit wins when both are sent is documented nowhere, so this upstream takes the larger.
		maxTokens: max(f.integer("max_tokens"), f.integer("max_completion_tokens")),
		n:         max(1, f.integer("n")),
	}
	steps := []func() error{
		func() error { return read(f, "model", &req.model) },
		func() error { return read(f, "models", &req.models) },
		func() error { return read(f, "user", &req.user) },
		func() error { return read(f, "service_tier", &req.serviceTier) },
		func() error { return read(f, "stream", &req.stream) },
		func() error { return read(f, "seed", &req.seed) },
		func() error { return read(f, "temperature", &req.temperature) },
		func() error { return read(f, "provider", &req.provider) },
		func() error { return readWebSearch(f, req) },
		func() error { return readStop(f, req) },
		func() error { return readMessages(f, req) },
		func() error { return readTools(f, req) },
		func() error { return readFormat(f, req) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return req, nil
}

const maxStops = 4

func readStop(f fields, req *chatRequest) error {
	var one string
	if f.absent("stop") {
		return nil
	}
	if json.Unmarshal(f["stop"], &one) == nil {
		req.stop = []string{one}
	} else if json.Unmarshal(f["stop"], &req.stop) != nil {
		return badRequest(`Invalid input for "stop": expected string or array of strings`)
	}
	if len(req.stop) > maxStops {
		return badRequest(`Invalid input for "stop": expected at most %d sequences, got %d`, maxStops, len(req.stop))
	}
	req.stop = slices.DeleteFunc(req.stop, func(s string) bool { return s == "" })
	return nil
}

func readMessages(f fields, req *chatRequest) error {
	if f.absent("messages") {
		return readPrompt(f, req)
	}
	if err := read(f, "messages", &req.messages); err != nil {
		return err
	}
	if len(req.messages) == 0 {
		return badRequest(`Invalid input for "messages": expected at least 1 message`)
	}
	for i := range req.messages {
		if err := req.messages[i].check(i); err != nil {
			return err
		}
	}
	req.messagesText = compact(f["messages"])
	return nil
}

// readPrompt takes OpenRouter's shorthand for one user message.
func readPrompt(f fields, req *chatRequest) error {
	var prompt string
	if f.absent("prompt") {
		return badRequest(`Input required: specify "prompt" or "messages"`)
	}
	if err := read(f, "prompt", &prompt); err != nil {
		return err
	}
	req.messages = []message{{Role: roleUser, text: prompt}}
	req.messagesText = prompt
	return nil
}

func (m *message) check(index int) error {
	switch m.Role {
	case roleTool:
		if m.ToolCallID == "" {
			return badRequest("Invalid input for messages[%d].tool_call_id: a tool message needs one", index)
		}
	case roleSystem, roleDeveloper, roleUser, roleAssistant:
	default:
		return badRequest("Invalid input for messages[%d].role: expected system, developer, user, assistant or tool", index)
	}
	return m.readContent(index)
}

// readContent takes the text of a string, or of parts that are all text. Only an assistant may have said nothing.
func (m *message) readContent(index int) error {
	if len(m.Content) == 0 || bytes.Equal(m.Content, jsonNull) {
		if m.Role == roleAssistant {
			return nil
		}
		return badRequest("Invalid input for messages[%d].content: expected string or array", index)
	}
	if json.Unmarshal(m.Content, &m.text) == nil {
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return badRequest("Invalid input for messages[%d].content: expected string or array", index)
	}
	var text strings.Builder
	for i, part := range parts {
		if part.Type == "" {
			return badRequest("Invalid input for messages[%d].content[%d]: expected an object with a type", index, i)
		}
		if part.Type != modalityText {
			return unavailable(http.StatusNotFound, "no_endpoints",
				"No endpoints found that support "+part.Type+" input", nil, "input_modalities")
		}
		text.WriteString(part.Text)
	}
	m.text = text.String()
	return nil
}

func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

// lastUser is the text of the last message of a user, which the answer is about.
func (r *chatRequest) lastUser() string {
	for _, m := range slices.Backward(r.messages) {
		if m.Role == roleUser {
			return m.text
		}
	}
	return ""
}
