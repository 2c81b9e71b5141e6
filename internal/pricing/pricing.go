// Package pricing turns tokens and prices into money: what a request has cost, and the most that it can cost.
package pricing

import "github.com/modelroute/modelroute/internal/money"

// Prices are what an upstream charges.
type Prices struct {
	Prompt, Completion money.Price
	// CachedPrompt is the price of the prompt's tokens that were read from a cache, CacheWrite of those that were written to one.
	CachedPrompt, CacheWrite money.Price
	// Request is what each request costs, whatever its tokens.
	Request money.Amount
}

// dearestPrompt is the most that a token of a prompt can cost.
func (p Prices) dearestPrompt() money.Price {
	return higher(p.Prompt, higher(p.CachedPrompt, p.CacheWrite))
}

// Highest returns the higher of p and q for each price by itself, at which whatever costs something at p or at q costs no less.
func (p Prices) Highest(q Prices) Prices {
	return Prices{
		Prompt: higher(p.Prompt, q.Prompt), Completion: higher(p.Completion, q.Completion),
		CachedPrompt: higher(p.CachedPrompt, q.CachedPrompt), CacheWrite: higher(p.CacheWrite, q.CacheWrite),
		Request: money.FromNano(max(p.Request.Nano(), q.Request.Nano())),
	}
}

func higher(a, b money.Price) money.Price { return money.PriceFromPico(max(a.Pico(), b.Pico())) }

// Usage is what an upstream reports of a request when it is done.
type Usage struct {
	// PromptTokens include those that were read from a cache and those that were written to one; CompletionTokens include those spent on
	// reasoning.
	PromptTokens, CompletionTokens int64
	// CachedTokens are those of the prompt that were read from a cache, CacheWriteTokens those that were written to one.
	CachedTokens, CacheWriteTokens int64
	// CacheInDoubt is true if the upstream said something of its cache that cannot be true, so that any token of the prompt may have any of
	// the prompt's prices.
	CacheInDoubt bool
	// ReasoningTokens are those of the completion that were spent on reasoning. They are shown and not priced.
	ReasoningTokens int64
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

// tokenCost is (prompt − cached − written) × prompt price + cached × its price + written × its price + completion × its price, rounded up
// once, and the price of the request.
func tokenCost(u Usage, p Prices) money.Amount {
	sum := money.PicoSum{}.Plus(u.CompletionTokens, p.Completion)
	if u.cacheIsPlausible() {
		sum = sum.Plus(u.PromptTokens-u.CachedTokens-u.CacheWriteTokens, p.Prompt).
			Plus(u.CachedTokens, p.CachedPrompt).Plus(u.CacheWriteTokens, p.CacheWrite)
	} else {
		sum = sum.Plus(u.PromptTokens, p.dearestPrompt())
	}
	return sum.RoundUp().Add(atLeastNothing(p.Request))
}

// cacheIsPlausible reports whether the tokens of the cache can be a part of the prompt.
func (u Usage) cacheIsPlausible() bool {
	return !u.CacheInDoubt && u.CachedTokens >= 0 && u.CacheWriteTokens >= 0 &&
		u.CachedTokens <= max(u.PromptTokens, 0) && u.CacheWriteTokens <= max(u.PromptTokens, 0)-u.CachedTokens
}

// atLeastNothing guards against an upstream that reports a negative figure: no request earns money.
func atLeastNothing(amount money.Amount) money.Amount {
	if amount.IsNegative() {
		return money.Amount{}
	}
	return amount
}
