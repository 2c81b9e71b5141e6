package upstream

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

// chatAPI is POST /chat/completions.
type chatAPI struct{ openRouterAPI }

type message struct {
	Role       role            `json:"role"`
	Content    json.RawMessage `json:"content"`
	Name       string          `json:"name"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []toolCall      `json:"tool_calls"`

	text   string
	blocks []block // in which the text came; none is one that is not marked
}

func (chatAPI) endpoint() Endpoint { return ChatCompletions }

// chatRanges has what only chat completions take.
var chatRanges = append(slices.Concat(samplingRanges, limitRanges),
	numberRange{"max_completion_tokens", 1, math.MaxInt32, true},
	numberRange{"top_logprobs", 0, 20, true},
)

// parse reads and checks a body. Its errors are OpenRouter's answers.
func (chatAPI) parse(_ http.Header, body []byte) (*request, error) {
	f, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := checkNumbers(f, chatRanges...); err != nil {
		return nil, err
	}
	req := &request{
		// Which limit wins when both are sent is documented nowhere, so this upstream takes the larger.
		maxTokens: max(f.integer("max_tokens"), f.integer("max_completion_tokens")),
		n:         max(1, f.integer("n")),

		markedWhole: !f.absent("cache_control"),
	}
	err = firstError(
		func() error { return readShared(f, req) },
		func() error { return readStop(f, req) },
		func() error { return readMessages(f, req) },
		func() error { return readTools(f, req) },
		func() error { return readFormat(f, req) },
	)
	if err != nil {
		return nil, err
	}
	req.prompts[0].tokens = conversationTokens(req)
	return req, nil
}

func readMessages(f fields, req *request) error {
	if f.absent("messages") {
		return readPrompt(f, req)
	}
	p := prompt{text: compact(f["messages"])}
	if err := read(f, "messages", &p.messages); err != nil {
		return err
	}
	if len(p.messages) == 0 {
		return badRequest(`Invalid input for "messages": expected at least 1 message`)
	}
	for i := range p.messages {
		if err := p.messages[i].check(i); err != nil {
			return err
		}
	}
	req.prompts = []prompt{p}
	return nil
}

// readPrompt takes OpenRouter's shorthand for one user message.
func readPrompt(f fields, req *request) error {
	var text string
	if f.absent("prompt") {
		return badRequest(`Input required: specify "prompt" or "messages"`)
	}
	if err := read(f, "prompt", &text); err != nil {
		return err
	}
	req.prompts = []prompt{{messages: []message{{Role: roleUser, text: text}}, text: text}}
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
		Type         string          `json:"type"`
		Text         string          `json:"text"`
		CacheControl json.RawMessage `json:"cache_control"`
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
			return unsupportedInput(part.Type)
		}
		text.WriteString(part.Text)
		m.blocks = append(m.blocks, block{text.Len(), isSet(part.CacheControl)})
	}
	m.text = text.String()
	return nil
}

// unsupportedInput refuses content that is no text.
func unsupportedInput(kind string) error {
	return unavailable(http.StatusNotFound, "no_endpoints", "No endpoints found that support "+kind+" input", nil, "input_modalities")
}
