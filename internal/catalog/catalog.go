// Package catalog is what is known of models beside what routes say: their prices, context, modalities and parameters, from the list of
// models of an upstream, or from a list that is built in. It is pure.
package catalog

import (
	"github.com/modelroute/modelroute/internal/money"
)

// Facts are what is known of one model at one upstream. What is not known is at its zero value.
type Facts struct {
	// ContextLength is how many tokens prompt and completion may have together, MaxCompletionTokens how many tokens one answer can have.
	ContextLength, MaxCompletionTokens int64
	// InputModalities and OutputModalities are kinds of content that a route can name, SupportedParameters the names of request parameters.
	// All are sorted.
	InputModalities, OutputModalities, SupportedParameters []string
	// Pricing is nil if it is not known.
	Pricing *Pricing
}

// Pricing is what a model costs.
type Pricing struct {
	Prompt, Completion money.Price
	// CachedPrompt is the price of tokens of the prompt that are read from a cache, CacheWrite of those that are written to one; nil where
	// they cost what others of the prompt do.
	CachedPrompt, CacheWrite *money.Price
	// Request is what each request costs beside its tokens.
	Request money.Amount
}

// Equal reports whether p and q are the same prices.
func (p Pricing) Equal(q Pricing) bool {
	return p.Prompt == q.Prompt && p.Completion == q.Completion && p.Request == q.Request &&
		samePrice(p.CachedPrompt, q.CachedPrompt) && samePrice(p.CacheWrite, q.CacheWrite)
}

func samePrice(p, q *money.Price) bool {
	if p == nil || q == nil {
		return p == q
	}
	return *p == *q
}
