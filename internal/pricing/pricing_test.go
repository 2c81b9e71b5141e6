package pricing_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

// listed are prices of 2 USD per million prompt tokens and 6 USD per million completion tokens.
var listed = pricing.Prices{Prompt: money.PriceFromPico(2_000_000), Completion: money.PriceFromPico(6_000_000)}

// cached are the same with a cache: 0.20 USD per million tokens that are read from it and 2.50 for those that are written, and 0.01 USD for
// each request.
var cached = pricing.Prices{
	Prompt: listed.Prompt, Completion: listed.Completion,
	CachedPrompt: money.PriceFromPico(200_000), CacheWrite: money.PriceFromPico(2_500_000), Request: money.FromNano(10_000_000),
}

func TestCost(t *testing.T) {
	usd := func(nano int64) *money.Amount { amount := money.FromNano(nano); return &amount }
	const believed, notBelieved = true, false
	for reason, test := range map[string]struct {
		usage       pricing.Usage
		reportsCost bool
		want        int64
	}{
		"nothing was used": {pricing.Usage{}, notBelieved, 0},
		"tokens at their prices": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300}, notBelieved, 4_200_000},
		"an upstream that should report a cost and does not": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300}, believed, 4_200_000},
		"an upstream's own figure": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300, Cost: usd(4_000_001)}, believed, 4_000_001},
		"an upstream's own figure of nothing": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300, Cost: usd(0)}, believed, 0},
		"a figure from an upstream that is not believed": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300, Cost: usd(1)}, notBelieved, 4_200_000},
		"without BYOK the inference cost is part of the cost": {
			pricing.Usage{Cost: usd(4_000_000), UpstreamInferenceCost: usd(3_800_000)}, believed, 4_000_000},
		"with BYOK it comes on top of the fee": {
			pricing.Usage{Cost: usd(200_000), IsBYOK: true, UpstreamInferenceCost: usd(3_800_000)}, believed, 4_000_000},
		"with BYOK the fee may be nothing": {
			pricing.Usage{Cost: usd(0), IsBYOK: true, UpstreamInferenceCost: usd(3_800_000)}, believed, 3_800_000},
		"with BYOK and no inference cost the tokens stand in for it": {
			pricing.Usage{PromptTokens: 1200, CompletionTokens: 300, Cost: usd(200_000), IsBYOK: true}, believed, 4_400_000},
		"BYOK does not matter where the figure is not believed": {
			pricing.Usage{PromptTokens: 1, Cost: usd(5), IsBYOK: true, UpstreamInferenceCost: usd(7)}, notBelieved, 2000},
		"a negative figure earns nothing": {
			pricing.Usage{PromptTokens: 1200, Cost: usd(-4_000_000)}, believed, 0},
		"a negative inference cost earns nothing": {
			pricing.Usage{Cost: usd(5), IsBYOK: true, UpstreamInferenceCost: usd(-7)}, believed, 5},
		"a negative number of tokens is none": {
			pricing.Usage{PromptTokens: -1_000_000, CompletionTokens: 1}, notBelieved, 6000},
		"absurd numbers of tokens stay at the end": {
			pricing.Usage{PromptTokens: math.MaxInt64, CompletionTokens: math.MaxInt64}, notBelieved, math.MaxInt64},
		"absurd figures stay at the end": {
			pricing.Usage{Cost: usd(math.MaxInt64), IsBYOK: true, UpstreamInferenceCost: usd(1)}, believed, math.MaxInt64},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := pricing.Cost(test.usage, listed, test.reportsCost); got.Nano() != test.want {
				t.Errorf("got %d nano-USD, want %d", got.Nano(), test.want)
			}
		})
	}
}

func TestCostWithACacheAndAPriceOfTheRequest(t *testing.T) {
	const request = 10_000_000
	for reason, test := range map[string]struct {
		usage pricing.Usage
		want  int64
	}{
		"the request alone": {pricing.Usage{}, request},
		"nothing of the cache": {
			pricing.Usage{PromptTokens: 1000, CompletionTokens: 10}, request + 1000*2000 + 10*6000},
		"tokens that were read from it": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: 900, CompletionTokens: 10}, request + 100*2000 + 900*200 + 10*6000},
		"tokens that were written to it": {
			pricing.Usage{PromptTokens: 1000, CacheWriteTokens: 600}, request + 400*2000 + 600*2500},
		"both, and nothing else": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: 400, CacheWriteTokens: 600}, request + 400*200 + 600*2500},
		"more read than there is of the prompt": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: 1001}, request + 1000*2500},
		"more of both than there is of the prompt": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: 401, CacheWriteTokens: 600}, request + 1000*2500},
		"so many that their sum wraps around": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: 1000, CacheWriteTokens: math.MaxInt64}, request + 1000*2500},
		"fewer than none": {
			pricing.Usage{PromptTokens: 1000, CachedTokens: -1}, request + 1000*2500},
		"what the upstream says of it cannot be true": {
			pricing.Usage{PromptTokens: 1000, CacheInDoubt: true}, request + 1000*2500},
		"a prompt of fewer than no tokens": {
			pricing.Usage{PromptTokens: -5, CachedTokens: 0}, request},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := pricing.Cost(test.usage, cached, false); got.Nano() != test.want {
				t.Errorf("got %d nano-USD, want %d", got.Nano(), test.want)
			}
		})
	}
}

func TestARequestEarnsNothing(t *testing.T) {
	earning := pricing.Prices{Request: money.FromNano(-5)}
	if cost := pricing.Cost(pricing.Usage{}, earning, false); cost.IsNegative() {
		t.Errorf("it costs %s", cost)
	}
	if worst := pricing.WorstCase(pricing.Bound{}, earning); worst.IsNegative() {
		t.Errorf("it costs at most %s", worst)
	}
}

func TestCostOfTokensIsExactAndRoundedUpOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prompt, completion := anyCount().Draw(t, "prompt"), anyCount().Draw(t, "completion")
		prices := pricing.Prices{Prompt: anyPrice().Draw(t, "prompt price"), Completion: anyPrice().Draw(t, "completion price")}
		got := pricing.Cost(pricing.Usage{PromptTokens: prompt, CompletionTokens: completion}, prices, false)
		if want := costTruth(prompt, big.NewInt(completion), prices); got != want {
			t.Fatalf("%d and %d tokens at %d and %d pico-USD cost %d, want %d",
				prompt, completion, prices.Prompt.Pico(), prices.Completion.Pico(), got.Nano(), want.Nano())
		}
	})
}

// costTruth is computed with numbers that neither wrap around nor round.
func costTruth(prompt int64, completion *big.Int, prices pricing.Prices) money.Amount {
	pico := new(big.Int).Mul(big.NewInt(max(prompt, 0)), big.NewInt(prices.Prompt.Pico()))
	if completion.Sign() > 0 {
		pico.Add(pico, new(big.Int).Mul(completion, big.NewInt(prices.Completion.Pico())))
	}
	nano, rest := new(big.Int).QuoRem(pico, big.NewInt(1000), new(big.Int))
	if rest.Sign() > 0 {
		nano.Add(nano, big.NewInt(1))
	}
	if !nano.IsInt64() {
		return money.Max
	}
	return money.FromNano(nano.Int64())
}

func anyCount() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64Range(-10, 200_000), rapid.Int64())
}

func anyPrice() *rapid.Generator[money.Price] {
	return rapid.Map(rapid.OneOf(rapid.Int64Range(0, 100_000_000), rapid.Int64()), money.PriceFromPico)
}

func TestNothingCostsMoreThanAtTheHighestPrices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prices := func(name string) pricing.Prices {
			price := func(of string) money.Price { return anyPrice().Draw(t, name+": "+of) }
			return pricing.Prices{
				Prompt: price("prompt"), Completion: price("completion"), CachedPrompt: price("cached"), CacheWrite: price("write"),
				Request: money.FromNano(rapid.Int64Range(0, 1_000_000_000).Draw(t, name+": request")),
			}
		}
		one, other := prices("one"), prices("other")
		prompt := rapid.Int64Range(0, 1_000_000).Draw(t, "prompt")
		read := rapid.Int64Range(0, prompt).Draw(t, "read")
		usage := pricing.Usage{
			PromptTokens: prompt, CachedTokens: read, CacheWriteTokens: rapid.Int64Range(0, prompt-read).Draw(t, "written"),
			CompletionTokens: rapid.Int64Range(0, 1_000_000).Draw(t, "completion"),
		}
		highest := pricing.Cost(usage, one.Highest(other), false)
		for _, prices := range []pricing.Prices{one, other} {
			if cost := pricing.Cost(usage, prices, false); cost.Cmp(highest) > 0 {
				t.Fatalf("%+v costs %s, and %s at the highest prices", usage, cost, highest)
			}
		}
	})
}
