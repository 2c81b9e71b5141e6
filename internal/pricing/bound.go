package pricing

import (
	"math"

	"github.com/modelroute/modelroute/internal/money"
)

// Bound is what is known of the size of a request before it is sent.
type Bound struct {
	// Prompts is how many prompts the request has, each of which is completed by itself. Anything below 1 counts as 1.
	Prompts int64
	// PromptTokens is the most that all prompts can have together.
	PromptTokens int64
	// CompletionTokens is the most that each choice can have: the completion limit that is sent upstream; 0 if nothing is completed.
	CompletionTokens int64
	// Choices is how many completions are asked for of each prompt. Anything below 1 counts as 1.
	Choices int64
	// ContextLength is the most that one prompt and one choice can have together; 0 if that is not known.
	ContextLength int64
}

// WorstCase returns the most that a request within the bound can cost, saturated at money.Max. The request and its prompt are paid for
// once, every choice for itself. What the cache will have of the prompt is not known beforehand, so that all of it counts at the dearest of
// the prompt's prices.
//
// A long prompt and a long completion do not fit the context together. How they share it at the highest cost is one of
// two ways: every choice as long as it may be and the prompt in what is left, or the prompt as long as it may be and the
// choices in what is left. Between the two the cost changes evenly, so that no other way costs more.
//
// Several prompts cost the most where all are equally long, since each further token of a prompt adds as much as the one before it or less.
// They then cost what one costs that has all their tokens, with their contexts and completions put together.
func WorstCase(b Bound, p Prices) money.Amount {
	prompt, completion := max(b.PromptTokens, 0), times(b.CompletionTokens, b.Prompts)
	if b.ContextLength <= 0 {
		return costOf(prompt, completion, b.Choices, p)
	}
	context := times(b.ContextLength, b.Prompts)
	prompt, completion = min(prompt, context), min(completion, context)
	longChoices := costOf(min(prompt, context-completion), completion, b.Choices, p)
	longPrompt := costOf(prompt, min(completion, context-prompt), b.Choices, p)
	if longChoices.Cmp(longPrompt) > 0 {
		return longChoices
	}
	return longPrompt
}

// times multiplies a count of tokens by a number of prompts, saturated.
func times(tokens, prompts int64) int64 {
	tokens, prompts = max(tokens, 0), max(prompts, 1)
	if tokens > math.MaxInt64/prompts {
		return math.MaxInt64
	}
	return tokens * prompts
}

func costOf(prompt, completion, choices int64, p Prices) money.Amount {
	tokens := money.PicoSum{}.Plus(completion, p.Completion).Times(max(choices, 1)).Plus(prompt, p.dearestPrompt())
	return tokens.RoundUp().Add(atLeastNothing(p.Request))
}

// contextShare is the part of the context, one in so many, that a completion gets in any case.
const contextShare = 8

// CompletionLimit returns how many tokens each choice may have: the limit that is sent upstream and reserved for. It is
// never more than maxCompletion (0 if the model names none) or contextLength allow, and at least 1.
//
// A requested limit is the client's or the route's default; it is taken as it is, up to those two bounds. Without one
// (nil) the limit is what the context surely leaves, which is contextLength − promptBound, but at least an eighth of the
// context. Upstreams refuse a limit that does not fit beside the prompt, so it must not simply be the whole context; and
// promptBound, counted in bytes, is several times what most prompts have, so what it leaves must not be all that a long
// prompt gets. The eighth is refused only beside a prompt that really fills seven eighths of the context. Whatever the
// limit, WorstCase covers it.
func CompletionLimit(requested *int64, maxCompletion, contextLength, promptBound int64) int64 {
	limit := max(contextLength-max(promptBound, 0), contextLength/contextShare)
	if requested != nil {
		limit = min(*requested, contextLength)
	}
	if maxCompletion > 0 {
		limit = min(limit, maxCompletion)
	}
	return max(limit, 1)
}
