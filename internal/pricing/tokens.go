package pricing

import "github.com/modelroute/modelroute/internal/money"

// onePerToken makes a cost in nano-USD the number of tokens.
var onePerToken = Prices{Prompt: money.PriceFromPico(1000), Completion: money.PriceFromPico(1000)}

// MostTokens is how many tokens a request can have at the most, prompt and choices together.
func MostTokens(b Bound) int64 { return WorstCase(b, onePerToken).Nano() }

// CompletionWithinTokens returns how many tokens each choice of a request may have at the most so that it has no more tokens than that: at
// most b.CompletionTokens, and 0 if the prompt alone may have more.
func CompletionWithinTokens(tokens int64, b Bound) int64 {
	return CompletionWithin(money.FromNano(tokens), b, onePerToken)
}

// Tokens are those of prompt and completion together; no fewer than none, and saturated.
func (u Usage) Tokens() int64 {
	return money.FromNano(max(u.PromptTokens, 0)).Add(money.FromNano(max(u.CompletionTokens, 0))).Nano()
}
