package pricing_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

func TestTheLongestCompletionWithinAnAmountIsTheLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			PromptTokens:     rapid.Int64Range(0, 5_000).Draw(t, "prompt"),
			CompletionTokens: rapid.Int64Range(0, 5_000).Draw(t, "most"),
			Choices:          rapid.Int64Range(1, 4).Draw(t, "choices"),
			ContextLength:    rapid.Int64Range(0, 6_000).Draw(t, "context"),
		}
		prices := pricing.Prices{
			Prompt:     money.PriceFromPico(rapid.Int64Range(0, 9_000_000).Draw(t, "prompt price")),
			Completion: money.PriceFromPico(rapid.Int64Range(0, 9_000_000).Draw(t, "completion price")),
		}
		amount := money.FromNano(rapid.Int64Range(0, 200_000_000).Draw(t, "amount"))
		got := pricing.CompletionWithin(amount, bound, prices)
		if got < 0 || got > bound.CompletionTokens {
			t.Fatalf("%d is not between 0 and %d", got, bound.CompletionTokens)
		}
		costs := func(limit int64) money.Amount {
			limited := bound
			limited.CompletionTokens = limit
			return pricing.WorstCase(limited, prices)
		}
		if got > 0 && costs(got).Cmp(amount) > 0 {
			t.Errorf("%d tokens can cost %s, more than %s", got, costs(got), amount)
		}
		if got < bound.CompletionTokens && costs(got+1).Cmp(amount) <= 0 {
			t.Errorf("%d tokens cost at most %s, within %s", got+1, costs(got+1), amount)
		}
	})
}
