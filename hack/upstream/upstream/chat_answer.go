package upstream

import "encoding/json"

// completion is an answer in one piece of POST /chat/completions and, with other choices, of POST /completions.
type completion struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	Provider          string `json:"provider"`
	SystemFingerprint string `json:"system_fingerprint"`
	ServiceTier       string `json:"service_tier"`
	Choices           []any  `json:"choices"`
	Usage             *usage `json:"usage,omitempty"`
}

type completionChoice struct {
	Index              int             `json:"index"`
	Logprobs           json.RawMessage `json:"logprobs"`
	FinishReason       string          `json:"finish_reason"`
	NativeFinishReason string          `json:"native_finish_reason"`
	Message            responseMessage `json:"message"`
	Error              *errorBody      `json:"error,omitempty"`
}

type responseMessage struct {
	Role      role       `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	Reasoning *string    `json:"reasoning"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

func (chatAPI) answered(g *generation) any {
	out := g.emptyCompletion(objectChat)
	for i := range g.choices {
		c := &g.choices[i]
		text := c.content()
		m := responseMessage{Role: roleAssistant, Content: &text}
		if c.call != nil {
			call := *c.call
			call.Function.Arguments = text
			m.Content, m.ToolCalls = nil, []toolCall{call}
		}
		out.Choices = append(out.Choices, completionChoice{
			Index: c.index, Logprobs: jsonNull, FinishReason: c.finish, NativeFinishReason: c.finish, Message: m,
		})
	}
	out.Usage = g.usage(g.completion())
	return out
}

// failed is a 200 whose only choice says that the provider failed.
func (chatAPI) failed(g *generation) any {
	out, empty := g.emptyCompletion(objectChat), ""
	body := g.providerError().body()
	out.Choices = []any{completionChoice{
		Logprobs: jsonNull, FinishReason: finishError, NativeFinishReason: finishError,
		Message: responseMessage{Role: roleAssistant, Content: &empty}, Error: &body,
	}}
	return out
}

// The kinds of completion, as they name themselves.
const (
	objectChat      = "chat.completion"
	objectChatChunk = "chat.completion.chunk"
	objectText      = "text_completion"
)

func (g *generation) emptyCompletion(object string) completion {
	return completion{
		ID: g.id, Object: object, Created: g.started.Unix(), Model: g.way.id, Provider: g.way.model.Provider,
		SystemFingerprint: fingerprint, ServiceTier: g.way.tier, Choices: []any{},
	}
}

// fingerprint names the build of the text generator: it changes when the same seed would give another text.
const fingerprint = "fp_modelroute_1"

type streamChoice struct {
	Index              int             `json:"index"`
	Delta              delta           `json:"delta"`
	FinishReason       *string         `json:"finish_reason"`
	NativeFinishReason *string         `json:"native_finish_reason"`
	Logprobs           json.RawMessage `json:"logprobs"`
}

type delta struct {
	Role      role       `json:"role,omitempty"`
	Content   *string    `json:"content,omitempty"`
	ToolCalls []toolCall `json:"tool_calls,omitempty"`
}

func contentChoice(index int, text string) streamChoice {
	return streamChoice{Index: index, Delta: delta{Content: &text}, Logprobs: jsonNull}
}

func finishChoice(index int, finish string) streamChoice {
	c := contentChoice(index, "")
	c.FinishReason, c.NativeFinishReason = &finish, &finish
	return c
}

// callChoice is a fragment of a tool call: the first has its id and name, the others more of its arguments.
func callChoice(index int, call toolCall, arguments string) streamChoice {
	first := 0
	call.Index, call.Function.Arguments = &first, arguments
	return streamChoice{Index: index, Delta: delta{ToolCalls: []toolCall{call}}, Logprobs: jsonNull}
}

func (chatAPI) script(g *generation, perEvent int) script {
	return chatChunks.script(g, perEvent)
}

func (chatAPI) failure(g *generation, _ int) event { return chatChunks.failure(g) }

var chatChunks = chunker{
	object: objectChatChunk,
	choice: chatPart,
	empty:  contentChoice(0, ""),
	failed: finishChoice(0, finishError),
}

// chatPart is the choice of the event of one part.
func chatPart(p part) any {
	index := p.choice.index
	switch p.kind {
	case partOpening:
		opening := contentChoice(index, "")
		opening.Delta.Role = roleAssistant
		return opening
	case partCall:
		return callChoice(index, *p.choice.call, "")
	case partEnd:
		return finishChoice(index, p.choice.finish)
	default:
		if p.choice.call != nil {
			return callChoice(index, toolCall{}, p.text)
		}
		return contentChoice(index, p.text)
	}
}
