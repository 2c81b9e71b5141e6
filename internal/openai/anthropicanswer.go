package openai

import (
	"errors"
	"fmt"

	"github.com/modelroute/modelroute/internal/pricing"
)

// readMessageAnswer reads a message, an event of its stream, or an error. All have a type and differ in the rest.
func readMessageAnswer(s *scanner, before *pricing.Usage) outcome {
	var o outcome
	var parts messageParts
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); key {
		case "content_block", "delta":
			o.readBlockPart(s)
		default:
			parts.take(key, s.span())
		}
	}
	if s.err != nil {
		return outcome{}
	}
	o.readMessageParts(&parts, before)
	return o
}

// messageParts are the members of a message or of an event that say how it went.
type messageParts struct{ kind, message, usage, failure, provider, content []byte }

func (p *messageParts) take(key string, value []byte) {
	switch key {
	case "type":
		p.kind = value
	case "message":
		p.message = value
	case "usage":
		p.usage = value
	case "error":
		p.failure = value
	case "provider":
		p.provider = value
	case "content":
		p.content = value
	}
}

func (o *outcome) readMessageParts(parts *messageParts, before *pricing.Usage) {
	o.provider = parts.provider
	o.generated = len(parts.content) > 0 && !isEmpty(parts.content)
	switch string(parts.kind) {
	case `"message_start"`:
		o.opening, o.preview = true, true
		if begun := parseObjectValue(parts.message); begun != nil {
			o.provider = begun.last("provider")
			parts.usage = begun.last("usage")
		}
	case `"message_stop"`:
		o.done = true
	}
	if len(parts.failure) > 0 && !isFalsy(parts.failure) {
		o.reported = parseReported(parts.failure)
	}
	if len(parts.usage) > 0 && string(parts.usage) != "null" {
		o.usage, o.usageErr = parseMessageUsage(parts.usage, before)
		o.discardEmptyPreview()
	}
}

// discardEmptyPreview forgets a usage that comes before the upstream has counted the prompt, as OpenRouter's does: none is empty.
func (o *outcome) discardEmptyPreview() {
	if o.preview && o.usage != nil && o.usage.PromptTokens == 0 {
		o.usage = nil
	}
}

// readBlockPart reads what an event adds to the answer: a block that begins, a part of one, or why generation ended.
func (o *outcome) readBlockPart(s *scanner) {
	if s.peek() != '{' {
		s.walk()
		return
	}
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "stop_reason":
			o.finished = o.finished || !isEmpty(s.span())
		case "type", "id", "signature", "stop_sequence":
			s.walk()
		default:
			o.produced += s.walk()
		}
	}
}

// parseMessageUsage reads a usage of Anthropic's, whose counts of the prompt do not overlap: what was read from a cache and what was
// written to one are beside input_tokens. In a stream the counts are cumulative; what the last one leaves out, or has as nothing at all,
// is as it was before. The cost is that of the last one alone.
func parseMessageUsage(value []byte, before *pricing.Usage) (*pricing.Usage, error) {
	object := parseObjectValue(value)
	if object == nil {
		return nil, fmt.Errorf("usage is no object: %.40s", value)
	}
	if before == nil {
		before = &pricing.Usage{}
	}
	u := pricing.Usage{CacheInDoubt: before.CacheInDoubt}
	var errs [7]error
	plain := before.PromptTokens - before.CachedTokens - before.CacheWriteTokens
	counted := before.PromptTokens > 0
	for i, part := range []struct {
		name  string
		count *int64
		was   int64
	}{
		{"input_tokens", &plain, plain},
		{"cache_read_input_tokens", &u.CachedTokens, before.CachedTokens},
		{"cache_creation_input_tokens", &u.CacheWriteTokens, before.CacheWriteTokens},
	} {
		*part.count = part.was
		if text := object.last(part.name); text == nil || string(text) == "null" {
			continue
		}
		*part.count, errs[i] = tokenCount(object, part.name)
		counted = counted || part.name == "input_tokens"
	}
	u.PromptTokens = plain + u.CachedTokens + u.CacheWriteTokens
	if u.PromptTokens == 0 {
		u.PromptTokens, u.CachedTokens, u.CacheWriteTokens = before.PromptTokens, before.CachedTokens, before.CacheWriteTokens
	}
	u.CompletionTokens, errs[3] = tokenCount(object, "output_tokens")
	u.Cost, errs[4] = usdNumber(object, "cost")
	u.IsBYOK, errs[5] = flag(object, "is_byok")
	if details := parseObjectValue(object.last("cost_details")); details != nil {
		u.UpstreamInferenceCost, errs[6] = usdNumber(details, "upstream_inference_cost")
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("usage cannot be booked: %w", err)
	}
	if !counted {
		return nil, errors.New("usage cannot be booked: it has no input_tokens")
	}
	u.ReasoningTokens, _ = partOf(object, "output_tokens_details", "thinking_tokens", u.CompletionTokens)
	return &u, nil
}
