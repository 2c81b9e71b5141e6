package pricing

import (
	"sort"

	"github.com/modelroute/modelroute/internal/money"
)

// CompletionWithin returns how many tokens each choice of a request may have at the most so that its worst case is within the amount: at
// most b.CompletionTokens, and 0 if the prompt alone may cost more.
func CompletionWithin(amount money.Amount, b Bound, p Prices) int64 {
	most := int(max(b.CompletionTokens, 0))
	// The worst case never falls as the limit grows, so the first limit that is too much can be searched for.
	tooMuch := sort.Search(most, func(n int) bool {
		b.CompletionTokens = int64(n) + 1
		return WorstCase(b, p).Cmp(amount) > 0
	})
	return int64(tooMuch)
}
