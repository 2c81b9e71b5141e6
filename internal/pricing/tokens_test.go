package pricing_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/pricing"
)

func TestNoUsageWithinTheBoundHasMoreTokens(t *testing.T) {
	few := rapid.Int64Range(0, 12)
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			PromptTokens: few.Draw(t, "prompt"), CompletionTokens: few.Draw(t, "completion"),
			Choices: rapid.Int64Range(1, 4).Draw(t, "choices"), ContextLength: rapid.Int64Range(1, 16).Draw(t, "context"),
		}
		most := int64(0)
		for prompt := range min(bound.PromptTokens, bound.ContextLength) + 1 {
			for completion := range min(bound.CompletionTokens, bound.ContextLength-prompt) + 1 {
				usage := pricing.Usage{PromptTokens: prompt, CompletionTokens: bound.Choices * completion}
				most = max(most, usage.Tokens())
			}
		}
		if got := pricing.MostTokens(bound); got != most {
			t.Fatalf("%+v: got %d, want %d", bound, got, most)
		}
	})
}

func TestACompletionWithinTokensIsTheLongestThatFits(t *testing.T) {
	bound := pricing.Bound{PromptTokens: 100, CompletionTokens: 500, Choices: 2, ContextLength: 65_536}
	for tokens, want := range map[int64]int64{99: 0, 100: 0, 101: 0, 102: 1, 1099: 499, 1100: 500, 5000: 500} {
		if got := pricing.CompletionWithinTokens(tokens, bound); got != want {
			t.Errorf("%d tokens: got %d, want %d", tokens, got, want)
		}
	}
}
