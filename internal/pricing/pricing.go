// Package pricing turns tokens and prices into money: what a request has cost, and the most that it can cost.
package pricing

import "github.com/modelroute/modelroute/internal/money"

// Prices are what the tokens of an upstream cost.
type Prices struct {
	Prompt, Completion money.Price
}

// Usage is what an upstream reports of a request when it is done.
type Usage struct {
	// PromptTokens include those that were read from a cache; CompletionTokens include those spent on reasoning.
	PromptTokens, CompletionTokens int64
	// CachedTokens are those of the prompt that were read from a cache, ReasoningTokens those of the completion that were spent on
	// reasoning. They are shown and not priced.
	CachedTokens, ReasoningTokens int64
	// Cost is what the upstream says that it charged; nil if it did not say.
	Cost *money.Amount
	// IsBYOK is true if the model's provider was paid apart, with a key of the customer's own. Cost is then the upstream's
	// fee alone, and UpstreamInferenceCost is what the provider charged. If it is false, UpstreamInferenceCost is a part
	// of Cost.
	IsBYOK                bool
	UpstreamInferenceCost *money.Amount
}

// Cost returns what a request has cost: the upstream's own figure if reportsCost says that this upstream's figure is to
// be believed and there is one, else the tokens at their prices, rounded up once. It is never negative.
//
// With a key of the customer's own the figure is the upstream's fee and the provider's charge together. If the upstream
// does not say what the provider charged, the tokens at their prices stand in for it, so that no spend is lost.
func Cost(u Usage, p Prices, reportsCost bool) money.Amount {
	if !reportsCost || u.Cost == nil {
		return tokenCost(u, p)
	}
	cost := atLeastNothing(*u.Cost)
	switch {
	case !u.IsBYOK:
		return cost
	case u.UpstreamInferenceCost == nil:
		return cost.Add(tokenCost(u, p))
	}
	return cost.Add(atLeastNothing(*u.UpstreamInferenceCost))
}

func tokenCost(u Usage, p Prices) money.Amount {
	return money.PicoSum{}.Plus(u.PromptTokens, p.Prompt).Plus(u.CompletionTokens, p.Completion).RoundUp()
}

// atLeastNothing guards against an upstream that reports a negative figure: no request earns money.
func atLeastNothing(amount money.Amount) money.Amount {
	if amount.IsNegative() {
		return money.Amount{}
	}
	return amount
}
