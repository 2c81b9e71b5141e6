package pricing_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

func TestWorstCase(t *testing.T) {
	free := money.Price{}
	dearPrompt := pricing.Prices{Prompt: money.PriceFromPico(9_000_000), Completion: money.PriceFromPico(1_000_000)}
	for reason, test := range map[string]struct {
		bound  pricing.Bound
		prices pricing.Prices
		want   int64
	}{
		"nothing costs nothing": {pricing.Bound{}, listed, 0},
		"prompt and completion fit the context": {
			pricing.Bound{PromptTokens: 1000, CompletionTokens: 500, Choices: 1, ContextLength: 65_536}, listed, 5_000_000},
		"every choice is paid for, the prompt once": {
			pricing.Bound{PromptTokens: 1000, CompletionTokens: 500, Choices: 3, ContextLength: 65_536}, listed, 11_000_000},
		"no number of choices is one choice": {
			pricing.Bound{PromptTokens: 1000, CompletionTokens: 500, ContextLength: 65_536}, listed, 5_000_000},
		"a context full of completion is the dearest": {
			pricing.Bound{PromptTokens: 65_536, CompletionTokens: 65_536, Choices: 1, ContextLength: 65_536}, listed, 393_216_000},
		"a long prompt leaves the completion its limit": {
			pricing.Bound{PromptTokens: 65_536, CompletionTokens: 4096, Choices: 1, ContextLength: 65_536}, listed,
			(65_536-4096)*2000 + 4096*6000},
		"where the prompt is dearer, it is the completion that yields": {
			pricing.Bound{PromptTokens: 65_536, CompletionTokens: 4096, Choices: 1, ContextLength: 65_536}, dearPrompt, 65_536 * 9000},
		"unless there are more choices than that": {
			pricing.Bound{PromptTokens: 65_536, CompletionTokens: 4096, Choices: 10, ContextLength: 65_536}, dearPrompt,
			(65_536-4096)*9000 + 10*4096*1000},
		"every prompt is completed, and none is longer than the context": {
			pricing.Bound{Prompts: 3, PromptTokens: 300_000, CompletionTokens: 1000, Choices: 2, ContextLength: 65_536}, listed,
			3 * ((65_536-1000)*2000 + 2*1000*6000)},
		"of short prompts every one has its whole completion": {
			pricing.Bound{Prompts: 4, PromptTokens: 100, CompletionTokens: 50, Choices: 1, ContextLength: 65_536}, listed,
			100*2000 + 4*50*6000},
		"embeddings have prompts alone": {
			pricing.Bound{Prompts: 2048, PromptTokens: 10_000, ContextLength: 8192}, listed, 10_000 * 2000},
		"without a context nothing has to yield": {
			pricing.Bound{PromptTokens: 65_536, CompletionTokens: 65_536, Choices: 1}, listed, 65_536 * 8000},
		"negative counts are none": {
			pricing.Bound{PromptTokens: -5, CompletionTokens: -5, Choices: -5, ContextLength: -5}, listed, 0},
		"free tokens cost nothing, however many": {
			pricing.Bound{PromptTokens: math.MaxInt64, CompletionTokens: math.MaxInt64, Choices: math.MaxInt64},
			pricing.Prices{Prompt: free, Completion: free}, 0},
		"absurd counts stay at the end": {
			pricing.Bound{PromptTokens: 1, CompletionTokens: math.MaxInt64, Choices: math.MaxInt64},
			pricing.Prices{Completion: money.PriceFromPico(1)}, math.MaxInt64},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := pricing.WorstCase(test.bound, test.prices); got.Nano() != test.want {
				t.Errorf("got %d nano-USD, want %d", got.Nano(), test.want)
			}
		})
	}
}

// TestWorstCaseIsTheDearestOfAllUsages tries every usage that a small bound allows.
func TestWorstCaseIsTheDearestOfAllUsages(t *testing.T) {
	few := rapid.Int64Range(0, 12)
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			PromptTokens: few.Draw(t, "prompt"), CompletionTokens: few.Draw(t, "completion"),
			Choices: rapid.Int64Range(1, 4).Draw(t, "choices"), ContextLength: rapid.Int64Range(1, 16).Draw(t, "context"),
		}
		prices := smallPrices(t)
		dearest := money.Amount{}
		for prompt := range min(bound.PromptTokens, bound.ContextLength) + 1 {
			for completion := range min(bound.CompletionTokens, bound.ContextLength-prompt) + 1 {
				usage := pricing.Usage{PromptTokens: prompt, CompletionTokens: bound.Choices * completion}
				if cost := pricing.Cost(usage, prices, false); cost.Cmp(dearest) > 0 {
					dearest = cost
				}
			}
		}
		if got := pricing.WorstCase(bound, prices); got != dearest {
			t.Fatalf("%+v: got %d, want %d", bound, got.Nano(), dearest.Nano())
		}
	})
}

// TestSeveralPromptsCostNoMoreThanTheirWorstCase tries every usage of two prompts that a small bound allows. An odd number of tokens cannot
// be shared evenly, so the bound may be a token above the dearest.
func TestSeveralPromptsCostNoMoreThanTheirWorstCase(t *testing.T) {
	few := rapid.Int64Range(0, 8)
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			Prompts: 2, PromptTokens: few.Draw(t, "prompts"), CompletionTokens: few.Draw(t, "completion"),
			Choices: rapid.Int64Range(1, 3).Draw(t, "choices"), ContextLength: rapid.Int64Range(1, 10).Draw(t, "context"),
		}
		prices := smallPrices(t)
		dearest := money.Amount{}
		for first := range min(bound.PromptTokens, bound.ContextLength) + 1 {
			for second := range min(bound.PromptTokens-first, bound.ContextLength) + 1 {
				behind := func(prompt int64) int64 { return min(bound.CompletionTokens, bound.ContextLength-prompt) }
				usage := pricing.Usage{PromptTokens: first + second, CompletionTokens: bound.Choices * (behind(first) + behind(second))}
				if cost := pricing.Cost(usage, prices, false); cost.Cmp(dearest) > 0 {
					dearest = cost
				}
			}
		}
		got := pricing.WorstCase(bound, prices)
		token := pricing.Cost(pricing.Usage{PromptTokens: 1, CompletionTokens: bound.Choices}, prices, false)
		if got.Cmp(dearest) < 0 || got.Cmp(dearest.Add(token)) > 0 {
			t.Fatalf("%+v: got %d, want %d or a token more", bound, got.Nano(), dearest.Nano())
		}
	})
}

// smallPrices are of a size at which a single token matters, and often of one below a nano-USD, which is rounded.
func smallPrices(t *rapid.T) pricing.Prices {
	pico := rapid.OneOf(rapid.Int64Range(0, 10_000), rapid.Int64Range(0, 3))
	return pricing.Prices{Prompt: money.PriceFromPico(pico.Draw(t, "prompt price")),
		Completion: money.PriceFromPico(pico.Draw(t, "completion price"))}
}

func TestNoUsageWithinTheBoundCostsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			PromptTokens: anyCount().Draw(t, "prompt bound"), CompletionTokens: anyCount().Draw(t, "completion limit"),
			Choices:       rapid.Int64Range(-1, 128).Draw(t, "choices"),
			ContextLength: rapid.OneOf(rapid.Int64Range(1, 2_000_000), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "context"),
		}
		prices := pricing.Prices{Prompt: anyPrice().Draw(t, "prompt price"), Completion: anyPrice().Draw(t, "completion price")}
		context := bound.ContextLength
		if context == 0 {
			context = math.MaxInt64
		}
		prompt := upTo(min(bound.PromptTokens, context)).Draw(t, "prompt")
		completions := new(big.Int)
		for range max(bound.Choices, 1) {
			completions.Add(completions, big.NewInt(upTo(min(bound.CompletionTokens, context-prompt)).Draw(t, "completion")))
		}
		if cost, worst := costTruth(prompt, completions, prices), pricing.WorstCase(bound, prices); cost.Cmp(worst) > 0 {
			t.Fatalf("%+v: %d and %s tokens cost %d, more than %d", bound, prompt, completions, cost.Nano(), worst.Nano())
		}
	})
}

// upTo draws a count up to most, and most itself often.
func upTo(most int64) *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Just(max(most, 0)), rapid.Int64Range(0, max(most, 0)))
}

// The cache may have any part of the prompt, and an upstream may say anything of it.
func TestNoUsageOfACacheWithinTheBoundCostsMoreOrLessThanNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := pricing.Bound{
			PromptTokens:     rapid.Int64Range(0, 200_000).Draw(t, "prompt bound"),
			CompletionTokens: rapid.Int64Range(0, 200_000).Draw(t, "limit"),
			Choices:          rapid.Int64Range(1, 4).Draw(t, "choices"), ContextLength: rapid.Int64Range(1, 400_000).Draw(t, "context"),
		}
		prices := pricing.Prices{
			Prompt: anyPrice().Draw(t, "prompt price"), Completion: anyPrice().Draw(t, "completion price"),
			CachedPrompt: anyPrice().Draw(t, "cached price"), CacheWrite: anyPrice().Draw(t, "write price"),
			Request: money.FromNano(rapid.OneOf(rapid.Int64Range(0, 1_000_000_000), rapid.Int64Min(0)).Draw(t, "request price")),
		}
		prompt := upTo(min(bound.PromptTokens, bound.ContextLength)).Draw(t, "prompt")
		part := rapid.OneOf(upTo(prompt), anyCount())
		usage := pricing.Usage{
			PromptTokens: prompt, CachedTokens: part.Draw(t, "cached"), CacheWriteTokens: part.Draw(t, "written"),
			CacheInDoubt:     rapid.Bool().Draw(t, "in doubt"),
			CompletionTokens: bound.Choices * upTo(min(bound.CompletionTokens, bound.ContextLength-prompt)).Draw(t, "completion"),
		}
		cost, worst := pricing.Cost(usage, prices, false), pricing.WorstCase(bound, prices)
		if cost.Cmp(worst) > 0 {
			t.Fatalf("%+v costs %d, more than %d", usage, cost.Nano(), worst.Nano())
		}
		if cost.Cmp(prices.Request) < 0 {
			t.Fatalf("%+v costs %d, less than the request alone", usage, cost.Nano())
		}
	})
}

func TestTheWorstCaseIsADearPromptAndTheRequest(t *testing.T) {
	bound := pricing.Bound{PromptTokens: 1000, CompletionTokens: 500, Choices: 2, ContextLength: 65_536}
	if got, want := pricing.WorstCase(bound, cached).Nano(), int64(10_000_000+1000*2500+2*500*6000); got != want {
		t.Errorf("got %d nano-USD, want %d", got, want)
	}
}

func TestCompletionLimit(t *testing.T) {
	tokens := func(n int64) *int64 { return &n }
	for reason, test := range map[string]struct {
		requested                        *int64
		maxCompletion, context, promptBy int64
		want                             int64
	}{
		"what is requested": {tokens(1024), 16_384, 65_536, 500, 1024},
		"what is requested beside a long prompt, which bytes overrate": {tokens(4096), 16_384, 65_536, 65_536, 4096},
		"not more than the model can produce":                          {tokens(100_000), 16_384, 65_536, 500, 16_384},
		"not more than the context":                                    {tokens(100_000), 0, 65_536, 500, 65_536},
		"at least one token":                                           {tokens(0), 16_384, 65_536, 500, 1},
		"a negative request is the least":                              {tokens(-7), 0, 65_536, 500, 1},
		"without a request, what the model can produce":                {nil, 16_384, 65_536, 500, 16_384},
		"or else what the context leaves":                              {nil, 0, 65_536, 536, 65_000},
		"the prompt may leave less than the model can produce":         {nil, 16_384, 65_536, 55_536, 10_000},
		"a prompt of 60 kB, about 15k tokens, still gets 4k":           {nil, 0, 32_768, 32_768, 4096},
		"an eighth is not more than the model can produce":             {nil, 2048, 65_536, 65_536, 2048},
		"a prompt bound that is beyond the context counts as full":     {nil, 0, 65_536, math.MaxInt64, 8192},
		"a negative prompt bound leaves no more than the context":      {nil, 0, 65_536, -1, 65_536},
		"a tiny context still leaves one token":                        {nil, 0, 4, 4, 1},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := pricing.CompletionLimit(test.requested, test.maxCompletion, test.context, test.promptBy); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestCompletionLimitKeepsWhatItPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		requested := rapid.Ptr(anyCount(), true).Draw(t, "requested")
		maxCompletion := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 200_000)).Draw(t, "max completion")
		context := rapid.OneOf(rapid.Int64Range(8, 200_000), rapid.Int64Range(8, math.MaxInt64)).Draw(t, "context")
		promptBound := anyCount().Draw(t, "prompt bound")
		limit := pricing.CompletionLimit(requested, maxCompletion, context, promptBound)

		most := context
		if maxCompletion > 0 {
			most = min(most, maxCompletion)
		}
		switch {
		case limit < 1 || limit > most:
			t.Fatalf("%d is not between 1 and %d", limit, most)
		case requested != nil && *requested >= 1 && limit != min(*requested, most):
			t.Fatalf("%d were requested, of %d possible: got %d", *requested, most, limit)
		case requested == nil && limit < min(most, context/8):
			t.Fatalf("%d is less than an eighth of %d", limit, context)
		case requested == nil && promptBound <= context-context/8 && limit > context-max(promptBound, 0):
			t.Fatalf("%d does not fit %d beside a prompt of %d", limit, context, promptBound)
		}
	})
}
