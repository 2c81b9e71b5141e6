package upstream

import "encoding/json"

// streamChunk is one event of a stream of chat completions or of completions.
type streamChunk struct {
	ID                string     `json:"id"`
	Object            string     `json:"object"`
	Created           int64      `json:"created"`
	Model             string     `json:"model"`
	Provider          string     `json:"provider"`
	SystemFingerprint string     `json:"system_fingerprint"`
	ServiceTier       string     `json:"service_tier"`
	Error             *errorBody `json:"error,omitempty"`
	Choices           []any      `json:"choices"`
	Usage             any        `json:"usage,omitempty"` // *usage, or null
}

// chunker writes the streams of chat completions and of completions, which differ in their choices only.
type chunker struct {
	object string
	choice func(part) any // nil is no event
	empty  any            // a choice that adds nothing
	failed any            // a choice of a provider that failed
}

// literal is data that is no JSON.
type literal string

const doneMark literal = "[DONE]"

func (c chunker) script(g *generation, perEvent int) script {
	var s script
	if g.faults.usage == usageFirst {
		s.events = append(s.events, event{data: c.usage(g, 0)})
	}
	delivered := 0
	for _, p := range g.parts(perEvent) {
		choice := c.choice(p)
		if choice == nil {
			continue
		}
		delivered += p.tokens
		chunk := c.chunk(g, choice)
		switch g.faults.usage {
		case usageEvery:
			chunk.Usage = g.usage(delivered)
		case usageNullOthers:
			chunk.Usage = jsonNull
		}
		s.events = append(s.events, event{data: chunk, tokens: p.tokens})
	}
	if g.faults.usage != usageMissing {
		s.closing = append(s.closing, event{data: c.usage(g, g.completion())})
	}
	s.closing = append(s.closing, event{data: doneMark})
	return s
}

// usage is the event that carries the usage: without choices, or with an empty one as OpenRouter once sent it.
func (c chunker) usage(g *generation, completion int) streamChunk {
	chunk := c.chunk(g)
	if g.faults.usage == usageWithChoices {
		chunk = c.chunk(g, c.empty)
	}
	chunk.Usage = g.usage(completion)
	return chunk
}

// failure is how a provider's failure shows once the status is sent.
func (c chunker) failure(g *generation) event {
	chunk := c.chunk(g, c.failed)
	if g.faults.emptyChoices {
		chunk = c.chunk(g)
	}
	body := g.providerError().body()
	chunk.Error = &body
	return event{data: chunk}
}

func (c chunker) chunk(g *generation, choices ...any) streamChunk {
	if choices == nil {
		choices = []any{}
	}
	return streamChunk{
		ID: g.id, Object: c.object, Created: g.started.Unix(), Model: g.way.id, Provider: g.way.model.Provider,
		SystemFingerprint: fingerprint, ServiceTier: g.way.tier, Choices: choices,
	}
}

var jsonNull = json.RawMessage("null")
