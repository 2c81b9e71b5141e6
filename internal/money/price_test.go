package money_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
)

func TestAPriceIsNeverNegative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pico := int64s().Draw(t, "pico")
		price := money.PriceFromPico(pico)
		if want := max(pico, 0); price.Pico() != want || price.IsZero() != (want == 0) {
			t.Errorf("price of %d pico-USD: Pico = %d, IsZero = %v", pico, price.Pico(), price.IsZero())
		}
		if !price.Equal(money.PriceFromPico(price.Pico())) {
			t.Errorf("price of %d pico-USD does not equal itself", pico)
		}
	})
}

// TestPicoSumIsExactUntilItIsRoundedUp draws sums of up to six products, which do not fit 128 bits now and then.
func TestPicoSumIsExactUntilItIsRoundedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sum, truth := money.PicoSum{}, new(big.Int)
		for range rapid.IntRange(0, 6).Draw(t, "products") {
			tokens, price := int64s().Draw(t, "tokens"), prices().Draw(t, "price")
			sum = sum.Plus(tokens, price)
			truth.Add(truth, new(big.Int).Mul(big.NewInt(max(tokens, 0)), big.NewInt(price.Pico())))
		}
		want := saturated(ceiling(truth, big.NewInt(money.PicoPerNano)))
		if got := sum.RoundUp(); got != want {
			t.Fatalf("%s pico-USD round up to %d, want %d", truth, got.Nano(), want.Nano())
		}
	})
}

// TestTimesIsMultiplication multiplies twice, so that the second factor meets a sum that fills its upper half or more.
func TestTimesIsMultiplication(t *testing.T) {
	factors := rapid.OneOf(rapid.Int64Range(1, 8), rapid.Int64Range(1, math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		tokens, price := int64s().Draw(t, "tokens"), prices().Draw(t, "price")
		n, m := factors.Draw(t, "n"), factors.Draw(t, "m")
		truth := big.NewInt(max(tokens, 0))
		for _, factor := range []int64{price.Pico(), n, m} {
			truth.Mul(truth, big.NewInt(factor))
		}
		want := saturated(ceiling(truth, big.NewInt(money.PicoPerNano)))
		if got := (money.PicoSum{}).Plus(tokens, price).Times(n).Times(m).RoundUp(); got != want {
			t.Fatalf("%d × %d × %d × %d = %d, want %d", tokens, price.Pico(), n, m, got.Nano(), want.Nano())
		}
	})
}

func TestPicoSum(t *testing.T) {
	pico := money.PriceFromPico
	two, six := pico(2_000_000), pico(6_000_000)
	// wrapped is a sum of 2¹²⁸ + 4 pico-USD, of which 128 bits would keep the 4.
	wrapped := sumOf(4, math.MaxInt64, pico(math.MaxInt64)).Plus(1<<62, pico(16))
	for reason, test := range map[string]struct {
		sum  money.PicoSum
		want money.Amount
	}{
		"nothing costs nothing":                              {money.PicoSum{}, money.Amount{}},
		"2 and 6 USD per million tokens":                     {money.PicoSum{}.Plus(1000, two).Plus(500, six), money.FromNano(5_000_000)},
		"a pico-USD is rounded up":                           {money.PicoSum{}.Plus(1, pico(1)), money.FromNano(1)},
		"1000 pico-USD are one nano-USD":                     {money.PicoSum{}.Plus(1000, pico(1)), money.FromNano(1)},
		"two products are rounded together, not each":        {money.PicoSum{}.Plus(1, pico(400)).Plus(1, pico(600)), money.FromNano(1)},
		"a negative number of tokens counts as none":         {money.PicoSum{}.Plus(-1000, two).Plus(1, six), money.FromNano(6000)},
		"a free token costs nothing":                         {money.PicoSum{}.Plus(math.MaxInt64, money.Price{}), money.Amount{}},
		"taken no times it is nothing":                       {money.PicoSum{}.Plus(1000, two).Times(0), money.Amount{}},
		"a negative number of times counts as none":          {money.PicoSum{}.Plus(1000, two).Times(-1), money.Amount{}},
		"a sum beyond int64 nano-USD stays at the end":       {money.PicoSum{}.Plus(math.MaxInt64, pico(1001)), money.Max},
		"the largest sum that fits":                          {money.PicoSum{}.Plus(math.MaxInt64, pico(1000)), money.Max},
		"a fraction of a nano-USD more":                      {money.PicoSum{}.Plus(math.MaxInt64, pico(1000)).Plus(1, pico(1)), money.Max},
		"the smallest sum whose quotient has over 64 bits":   {money.PicoSum{}.Plus(1<<62, pico(4000)), money.Max},
		"a sum beyond 128 bits stays at the end":             {wrapped, money.Max},
		"and is not forgotten by what is added":              {wrapped.Plus(1, two), money.Max},
		"and is not forgotten by what it is multiplied with": {wrapped.Times(1), money.Max},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := test.sum.RoundUp(); got != test.want {
				t.Errorf("got %d nano-USD, want %d", got.Nano(), test.want.Nano())
			}
		})
	}
}

func sumOf(n int, tokens int64, price money.Price) money.PicoSum {
	var sum money.PicoSum
	for range n {
		sum = sum.Plus(tokens, price)
	}
	return sum
}

func TestPerTokenIsTheExactPriceInUSD(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := prices().Draw(t, "price")
		text := price.PerToken()
		usd, ok := new(big.Rat).SetString(text)
		if !ok || usd.Cmp(big.NewRat(price.Pico(), 1_000_000_000_000)) != 0 {
			t.Fatalf("%d pico-USD are written as %q", price.Pico(), text)
		}
	})
}

func TestPerToken(t *testing.T) {
	for want, pico := range map[string]int64{
		"0":                    0,
		"0.000000000001":       1,
		"0.000002":             2_000_000,
		"0.00000015":           150_000,
		"1":                    1_000_000_000_000,
		"1.5":                  1_500_000_000_000,
		"9223372.036854775807": math.MaxInt64,
	} {
		if got := money.PriceFromPico(pico).PerToken(); got != want {
			t.Errorf("%d pico-USD: got %q, want %q", pico, got, want)
		}
	}
}
