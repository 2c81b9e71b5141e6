package upstream

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
)

// responsesAPI is POST /responses, OpenAI's second endpoint for conversations, as OpenRouter serves it: without a memory.
type responsesAPI struct{ openRouterAPI }

// responseRanges has what only responses take.
var responseRanges = append(slices.Clone(samplingRanges),
	numberRange{"max_output_tokens", 1, math.MaxInt32, true},
	numberRange{"top_logprobs", 0, 20, true},
)

func (responsesAPI) endpoint() Endpoint { return Responses }

func (responsesAPI) parse(_ http.Header, body []byte) (*request, error) {
	f, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	if err := checkNumbers(f, responseRanges...); err != nil {
		return nil, err
	}
	req := &request{
		maxTokens:   f.integer("max_output_tokens"),
		n:           1,
		markedWhole: !f.absent("cache_control"),
		detail:      f,
	}
	err = firstError(
		func() error { return checkMemory(f) },
		func() error { return readShared(f, req) },
		func() error { return readInput(f, req) },
		func() error { return readResponseTools(f, req) },
		func() error { return readText(f, req) },
	)
	if err != nil {
		return nil, err
	}
	req.prompts[0].tokens = conversationTokens(req)
	return req, nil
}

// checkMemory refuses what would need a memory of earlier requests.
func checkMemory(f fields) error {
	for _, name := range []string{"previous_response_id", "conversation", "prompt"} {
		if !f.absent(name) {
			return badRequest("Invalid input for %q: responses are not stored here", name)
		}
	}
	background := false
	if err := read(f, "background", &background); err != nil {
		return err
	}
	if background {
		return badRequest(`Invalid input for "background": responses are not stored here`)
	}
	return nil
}

// inputItem is one item of the input: a message, a call of a function, or what it returned.
type inputItem struct {
	Type      string          `json:"type"`
	Role      role            `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
}

func readInput(f fields, req *request) error {
	var (
		text, instructions string
		items              []inputItem
		p                  prompt
	)
	if err := read(f, "instructions", &instructions); err != nil {
		return err
	}
	if instructions != "" {
		p.messages = append(p.messages, message{Role: roleSystem, text: instructions})
	}
	switch {
	case f.absent("input"):
		return badRequest(`Invalid input for "input": required`)
	case json.Unmarshal(f["input"], &text) == nil:
		p.messages = append(p.messages, message{Role: roleUser, text: text})
	case json.Unmarshal(f["input"], &items) != nil || len(items) == 0:
		return badRequest(`Invalid input for "input": expected string or array of items`)
	}
	for i, item := range items {
		m, err := item.message()
		if err != nil {
			return at(err, "input[%d]", i)
		}
		if m != nil {
			p.messages = append(p.messages, *m)
		}
	}
	if len(p.messages) == 0 {
		return badRequest(`Invalid input for "input": expected at least 1 message`)
	}
	p.text = instructions + compact(f["input"])
	req.prompts = []prompt{p}
	return nil
}

// message is the message that an item comes down to. What a model reasoned earlier is none.
func (i *inputItem) message() (*message, error) {
	switch i.Type {
	case "", "message":
		return i.said()
	case itemFunctionCall:
		if i.CallID == "" || i.Name == "" {
			return nil, badRequest("function_call: expected a call_id and a name")
		}
		call := toolCall{ID: i.CallID, Function: toolCallFunction{Name: i.Name, Arguments: i.Arguments}}
		return &message{Role: roleAssistant, ToolCalls: []toolCall{call}}, nil
	case "function_call_output":
		if i.CallID == "" {
			return nil, badRequest("function_call_output: expected a call_id")
		}
		text, err := inputText(i.Output)
		return &message{Role: roleTool, ToolCallID: i.CallID, text: text}, err
	case "reasoning":
		return nil, nil
	default:
		return nil, badRequest("type: no item %q", i.Type)
	}
}

func (i *inputItem) said() (*message, error) {
	switch i.Role {
	case roleUser, roleAssistant, roleSystem, roleDeveloper:
	default:
		return nil, badRequest("role: expected user, assistant, system or developer")
	}
	text, err := inputText(i.Content)
	return &message{Role: i.Role, text: text}, err
}

// inputText is the text of a string, or of parts that are all text.
func inputText(raw json.RawMessage) (string, error) {
	var whole string
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	switch {
	case !isSet(raw):
		return "", badRequest("content: required")
	case json.Unmarshal(raw, &whole) == nil:
		return whole, nil
	case json.Unmarshal(raw, &parts) != nil:
		return "", badRequest("content: expected string or array")
	}
	var text strings.Builder
	for i, part := range parts {
		switch part.Type {
		case "input_text", partOutputText, modalityText:
			text.WriteString(part.Text)
		case "input_image", "input_file", "input_audio", "input_video":
			return "", unsupportedInput(part.Type)
		default:
			return "", badRequest("content[%d].type: no part %q", i, part.Type)
		}
	}
	return text.String(), nil
}

// readResponseTools reads the functions, whose members stand beside their type here, and the web search.
func readResponseTools(f fields, req *request) error {
	var (
		given []struct {
			Type string `json:"type"`
			toolFunction
		}
		tools  []tool
		choice responseToolChoice
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
		case t.Type == typeFunction:
			tools = append(tools, tool{Type: typeFunction, Function: t.toolFunction})
		default:
			return badRequest("Invalid input for tools[%d].type: no tool %q", i, t.Type)
		}
	}
	return req.takeTools(f, tools, toolChoice(choice))
}

// responseToolChoice names a function beside the type instead of within it.
type responseToolChoice toolChoice

func (c *responseToolChoice) UnmarshalJSON(data []byte) error {
	var named struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	if json.Unmarshal(data, &named) == nil && named.Type == typeFunction && named.Name != "" {
		*c = responseToolChoice{mode: choiceRequired, name: named.Name}
		return nil
	}
	return (*toolChoice)(c).UnmarshalJSON(data)
}

// readText reads the format that the text of an answer must have.
func readText(f fields, req *request) error {
	var text struct {
		Format struct {
			Type   string          `json:"type"`
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	}
	if err := read(f, "text", &text); err != nil {
		return err
	}
	return req.takeFormat("text.format", text.Format.Type, text.Format.Name, text.Format.Schema)
}
