package upstream

import "encoding/json"

// usage is what chat completions and completions say of their tokens and their price.
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

// costs is what OpenRouter says of the price at every endpoint. It is empty where the faults leave it out.
type costs struct {
	Cost        json.Number  `json:"cost,omitempty"` // USD
	IsBYOK      *bool        `json:"is_byok,omitempty"`
	CostDetails *costDetails `json:"cost_details,omitempty"`
}

// costs is the price with so many completion tokens.
func (g *generation) costs(completion int) costs {
	if g.faults.cost == costNone {
		return costs{}
	}
	format := FormatUSD
	if g.faults.cost == costExponent {
		format = formatExponent
	}
	number := func(nano int64) json.Number { return json.Number(format(nano)) }
	b := g.bill(completion)
	return costs{
		Cost: number(b.cost()), IsBYOK: &b.byok,
		CostDetails: &costDetails{Inference: number(b.inference()), Prompt: number(b.prompt), Completions: number(b.completion)},
	}
}

// searches is the use of OpenRouter's web search, or nil.
func (g *generation) searches() *serverToolUse {
	if !g.req.webSearch {
		return nil
	}
	return &serverToolUse{WebSearchRequests: 1}
}

// usage is the usage object for so many completion tokens, or nil where the faults leave it out.
func (g *generation) usage(completion int) *usage {
	if g.faults.usage == usageMissing {
		return nil
	}
	c := g.costs(completion)
	return &usage{
		PromptTokens: g.prompt, CompletionTokens: completion, TotalTokens: g.prompt + completion,
		PromptDetails: promptDetails{CachedTokens: g.cached, CacheWriteTokens: g.written},
		Cost:          c.Cost, IsBYOK: c.IsBYOK, CostDetails: c.CostDetails, ServerToolUse: g.searches(),
	}
}
