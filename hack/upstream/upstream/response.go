package upstream

import (
	"encoding/json"
	"strings"
)

type usage struct {
	PromptTokens      int               `json:"prompt_tokens"`
	CompletionTokens  int               `json:"completion_tokens"`
	TotalTokens       int               `json:"total_tokens"`
	Cost              json.Number       `json:"cost,omitempty"` // USD
	IsBYOK            *bool             `json:"is_byok,omitempty"`
	PromptDetails     promptDetails     `json:"prompt_tokens_details"`
	CompletionDetails completionDetails `json:"completion_tokens_details"`
	CostDetails       *costDetails      `json:"cost_details,omitempty"`
	ServerToolUse     *serverToolUse    `json:"server_tool_use,omitempty"`
}

type promptDetails struct {
	CachedTokens     int `json:"cached_tokens"`
	CacheWriteTokens int `json:"cache_write_tokens"`
	AudioTokens      int `json:"audio_tokens"`
	VideoTokens      int `json:"video_tokens"`
}

type completionDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
	ImageTokens     int `json:"image_tokens"`
}

type costDetails struct {
	Inference   json.Number `json:"upstream_inference_cost"`
	Prompt      json.Number `json:"upstream_inference_prompt_cost"`
	Completions json.Number `json:"upstream_inference_completions_cost"`
}

type serverToolUse struct {
	WebSearchRequests int `json:"web_search_requests"`
}

func (u *usage) setCost(b bill, exponent bool) {
	format := FormatUSD
	if exponent {
		format = formatExponent
	}
	number := func(nano int64) json.Number { return json.Number(format(nano)) }
	u.Cost, u.IsBYOK = number(b.cost()), &b.byok
	u.CostDetails = &costDetails{Inference: number(b.inference()), Prompt: number(b.prompt), Completions: number(b.completion)}
}

type completion struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	Provider          string             `json:"provider"`
	SystemFingerprint string             `json:"system_fingerprint"`
	ServiceTier       string             `json:"service_tier"`
	Choices           []completionChoice `json:"choices"`
	Usage             *usage             `json:"usage,omitempty"`
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

var jsonNull = json.RawMessage("null")

// answered is the answer without a stream.
func (g *generation) answered() completion {
	out := g.emptyCompletion()
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

// failedCompletion is a 200 whose only choice says that the provider failed.
func (g *generation) failedCompletion() completion {
	out, empty := g.emptyCompletion(), ""
	body := g.faults.providerError(g.way.model.Provider).body()
	out.Choices = []completionChoice{{
		Logprobs: jsonNull, FinishReason: finishError, NativeFinishReason: finishError,
		Message: responseMessage{Role: roleAssistant, Content: &empty}, Error: &body,
	}}
	return out
}

func (g *generation) emptyCompletion() completion {
	return completion{
		ID: g.id, Object: "chat.completion", Created: g.started.Unix(), Model: g.way.id, Provider: g.way.model.Provider,
		SystemFingerprint: fingerprint, ServiceTier: g.way.tier,
	}
}

// fingerprint names the build of the text generator: it changes when the same seed would give another text.
const fingerprint = "fp_modelroute_1"

// streamChunk is one event of a stream.
type streamChunk struct {
	ID                string         `json:"id"`
	Object            string         `json:"object"`
	Created           int64          `json:"created"`
	Model             string         `json:"model"`
	Provider          string         `json:"provider"`
	SystemFingerprint string         `json:"system_fingerprint"`
	ServiceTier       string         `json:"service_tier"`
	Error             *errorBody     `json:"error,omitempty"`
	Choices           []streamChoice `json:"choices"`
	Usage             any            `json:"usage,omitempty"` // *usage, or null
	Obfuscation       string         `json:"obfuscation,omitempty"`
}

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

func (g *generation) chunk(choices ...streamChoice) streamChunk {
	if choices == nil {
		choices = []streamChoice{}
	}
	return streamChunk{
		ID: g.id, Object: "chat.completion.chunk", Created: g.started.Unix(), Model: g.way.id, Provider: g.way.model.Provider,
		SystemFingerprint: fingerprint, ServiceTier: g.way.tier, Choices: choices,
	}
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

// part is what one event adds: part of one choice and the tokens that it brings.
type part struct {
	choice streamChoice
	tokens int
}

// parts are the events of a stream in order: the roles, then all choices in turn, each ending with its finish reason.
func (g *generation) parts(perChunk int) []part {
	var all []part
	longest := 0
	for i := range g.choices {
		c := &g.choices[i]
		opening := contentChoice(c.index, "")
		opening.Delta.Role = roleAssistant
		all = append(all, part{choice: opening})
		if c.call != nil {
			all = append(all, part{callChoice(c.index, *c.call, ""), 1})
		}
		longest = max(longest, len(c.pieces))
	}
	for at := 0; at <= longest; at += perChunk {
		for i := range g.choices {
			all = g.choices[i].appendParts(all, at, perChunk)
		}
	}
	return all
}

// appendParts adds the pieces of one choice from a position on, and its end once they are through.
func (c *choice) appendParts(all []part, at, count int) []part {
	end := min(at+count, len(c.pieces))
	if at < end {
		text := strings.Join(c.pieces[at:end], "")
		choice := contentChoice(c.index, text)
		if c.call != nil {
			choice = callChoice(c.index, toolCall{}, text)
		}
		all = append(all, part{choice, end - at})
	}
	if at <= len(c.pieces) && len(c.pieces) < at+count {
		all = append(all, part{choice: finishChoice(c.index, c.finish)})
	}
	return all
}
