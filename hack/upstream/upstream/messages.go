package upstream

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

// messagesAPI is POST /messages, Anthropic's own endpoint as OpenRouter serves it for every model.
type messagesAPI struct{}

func (messagesAPI) endpoint() Endpoint { return Messages }

// secret is Anthropic's header, or else a bearer token.
func (messagesAPI) secret(h http.Header) string {
	if key := h.Get("X-Api-Key"); key != "" {
		return key
	}
	return openRouterAPI{}.secret(h)
}

// messageRanges are the numbers of a request. Source: Anthropic's reference; a limit of 0 only fills the cache.
var messageRanges = []numberRange{
	{"temperature", 0, 1, false},
	{"top_p", 0, 1, false},
	{"top_k", 0, math.MaxInt32, true},
	{"max_tokens", 0, math.MaxInt32, true},
}

func (messagesAPI) parse(h http.Header, body []byte) (*request, error) {
	if h.Get("Anthropic-Version") == "" {
		return nil, badRequest("anthropic-version: header is required")
	}
	f, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if f.absent("max_tokens") {
		return nil, badRequest("max_tokens: Field required")
	}
	if err := checkNumbers(f, messageRanges...); err != nil {
		return nil, err
	}
	req := &request{
		maxTokens:   f.integer("max_tokens"),
		n:           min(1, f.integer("max_tokens")),
		markedWhole: !f.absent("cache_control"),
	}
	err = firstError(
		func() error { return readShared(f, req) },
		func() error { return readMessageUser(f, req) },
		func() error { return readStopSequences(f, req) },
		func() error { return readDialogue(f, req) },
		func() error { return readMessageTools(f, req) },
		func() error { return readOutputConfig(f, req) },
	)
	if err != nil {
		return nil, err
	}
	req.prompts[0].tokens = conversationTokens(req)
	return req, nil
}

func readMessageUser(f fields, req *request) error {
	var metadata struct {
		UserID string `json:"user_id"`
	}
	if err := read(f, "metadata", &metadata); err != nil {
		return err
	}
	if metadata.UserID != "" {
		req.user = metadata.UserID
	}
	return nil
}

func readStopSequences(f fields, req *request) error {
	if err := read(f, "stop_sequences", &req.stop); err != nil {
		return err
	}
	if slices.ContainsFunc(req.stop, func(s string) bool { return strings.TrimSpace(s) == "" }) {
		return badRequest("stop_sequences: each stop sequence must contain non-whitespace")
	}
	return nil
}

// readOutputConfig reads the format that an answer must have.
func readOutputConfig(f fields, req *request) error {
	var config struct {
		Format struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	}
	if err := read(f, "output_config", &config); err != nil {
		return err
	}
	return req.takeFormat("output_config.format", config.Format.Type, "output", config.Format.Schema)
}

// contentBlock is a part of the content of a message in a request.
type contentBlock struct {
	Type         string          `json:"type"`
	Text         string          `json:"text"`
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Input        json.RawMessage `json:"input"`
	ToolUseID    string          `json:"tool_use_id"`
	Content      json.RawMessage `json:"content"`
	CacheControl json.RawMessage `json:"cache_control"`
}

// readDialogue reads the system prompt and the messages.
func readDialogue(f fields, req *request) error {
	var (
		p     prompt
		turns []struct {
			Role    role            `json:"role"`
			Content json.RawMessage `json:"content"`
		}
	)
	if !f.absent("system") {
		system := message{Role: roleSystem}
		if err := system.addContent(f["system"], "system"); err != nil {
			return err
		}
		p.messages = append(p.messages, system)
	}
	if err := read(f, "messages", &turns); err != nil {
		return err
	}
	if len(turns) == 0 {
		return badRequest("messages: at least one message is required")
	}
	for i, turn := range turns {
		said, err := dialogueTurn(turn.Role, turn.Content)
		if err != nil {
			return at(err, "messages.%d", i)
		}
		if len(said) == 0 && (turn.Role != roleAssistant || i < len(turns)-1) {
			return badRequest("messages.%d: all messages must have non-empty content except for the optional final assistant message", i)
		}
		p.messages = append(p.messages, said...)
	}
	p.text = compact(f["system"]) + compact(f["messages"])
	req.prompts = []prompt{p}
	return nil
}

// at puts the path of a field before the message of an error about what stands there.
func at(err error, format string, args ...any) error {
	e := *asAPIError(err)
	if e.availability != nil {
		return err
	}
	e.message = badRequest(format, args...).message + "." + e.message
	return &e
}

// dialogueTurn is one message of Anthropic's as those that it comes down to: what a tool returned is a message of its own.
func dialogueTurn(who role, content json.RawMessage) ([]message, error) {
	if who != roleUser && who != roleAssistant {
		return nil, badRequest(`role: expected "user" or "assistant"`)
	}
	blocks, err := contentBlocks(content)
	if err != nil {
		return nil, err
	}
	var said []message
	for i, b := range blocks {
		if b.Type == "tool_result" && who == roleUser {
			result := message{Role: roleTool, ToolCallID: b.ToolUseID}
			if err := result.addResult(b); err != nil {
				return nil, at(err, "content.%d", i)
			}
			said = append(said, result)
			continue
		}
		if len(said) == 0 || said[len(said)-1].Role != who {
			said = append(said, message{Role: who})
		}
		if err := said[len(said)-1].addBlock(b); err != nil {
			return nil, at(err, "content.%d", i)
		}
	}
	return said, nil
}

// contentBlocks reads content that may be a string.
func contentBlocks(raw json.RawMessage) ([]contentBlock, error) {
	var text string
	var blocks []contentBlock
	switch {
	case !isSet(raw):
		return nil, badRequest("content: Field required")
	case json.Unmarshal(raw, &text) == nil:
		if text != "" {
			blocks = []contentBlock{{Type: modalityText, Text: text}}
		}
	case json.Unmarshal(raw, &blocks) != nil:
		return nil, badRequest("content: expected a string or a list of blocks")
	}
	return blocks, nil
}

func (m *message) addContent(raw json.RawMessage, path string) error {
	blocks, err := contentBlocks(raw)
	if err != nil {
		return at(err, "%s", path)
	}
	for i, b := range blocks {
		if err := m.addBlock(b); err != nil {
			return at(err, "%s.%d", path, i)
		}
	}
	return nil
}

func (m *message) addResult(b contentBlock) error {
	if b.ToolUseID == "" {
		return badRequest("tool_result.tool_use_id: Field required")
	}
	if isSet(b.Content) {
		if err := m.addContent(b.Content, "tool_result"); err != nil {
			return err
		}
	}
	m.blocks = append(m.blocks, block{len(m.text), isSet(b.CacheControl)})
	return nil
}

// addBlock adds what a block says. What a model thought earlier it is not shown again.
func (m *message) addBlock(b contentBlock) error {
	switch b.Type {
	case modalityText:
		if b.Text == "" {
			return badRequest("text: text content blocks must be non-empty")
		}
		m.text += b.Text
	case "tool_use":
		if m.Role != roleAssistant || b.ID == "" || b.Name == "" || !isSet(b.Input) {
			return badRequest("tool_use: expected an id, a name and an input, in a message of the assistant")
		}
		m.ToolCalls = append(m.ToolCalls, toolCall{ID: b.ID, Function: toolCallFunction{Name: b.Name, Arguments: compact(b.Input)}})
	case "thinking", "redacted_thinking":
	case "image", "document":
		return unsupportedInput(b.Type)
	default:
		return badRequest("Input tag %q found using 'type' does not match any of the expected tags", b.Type)
	}
	m.blocks = append(m.blocks, block{len(m.text), isSet(b.CacheControl)})
	return nil
}

// readMessageTools reads Anthropic's tools: those that the caller runs, and the web search.
func readMessageTools(f fields, req *request) error {
	var (
		given []struct {
			Type         string          `json:"type"`
			Name         string          `json:"name"`
			Description  string          `json:"description"`
			InputSchema  json.RawMessage `json:"input_schema"`
			CacheControl json.RawMessage `json:"cache_control"`
		}
		choice struct {
			Type string `json:"type"`
			Name string `json:"name"`
		}
		tools []tool
	)
	if err := firstError(
		func() error { return read(f, "tools", &given) },
		func() error { return read(f, "tool_choice", &choice) },
	); err != nil {
		return err
	}
	for i, t := range given {
		switch {
		case strings.HasPrefix(t.Type, "web_search"):
			req.webSearch = true
		case t.Type == "" || t.Type == "custom":
			function := toolFunction{Name: t.Name, Description: t.Description, Parameters: t.InputSchema}
			tools = append(tools, tool{Type: typeFunction, Function: function, CacheControl: t.CacheControl})
		default:
			return badRequest("tools.%d: Input tag %q found using 'type' does not match any of the expected tags", i, t.Type)
		}
	}
	modes := map[string]string{
		"": "", choiceAuto: choiceAuto, choiceNone: choiceNone, "any": choiceRequired, "tool": choiceRequired,
	}
	mode, known := modes[choice.Type]
	if !known || (choice.Type == "tool") != (choice.Name != "") {
		return badRequest("tool_choice: expected auto, any, none, or tool with a name")
	}
	return req.takeTools(f, tools, toolChoice{mode: mode, name: choice.Name})
}
