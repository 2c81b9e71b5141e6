package money_test

import (
	"math"
	"math/big"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
)

// The truth that money is tested against is math/big: it neither wraps around nor rounds.

var (
	minInt64 = big.NewInt(math.MinInt64)
	maxInt64 = big.NewInt(math.MaxInt64)
)

// int64s draws any int64, and the ends and their neighbours often.
func int64s() *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.Int64(),
		rapid.Int64Range(-1000, 1000),
		rapid.Int64Range(math.MaxInt64-1000, math.MaxInt64),
		rapid.Int64Range(math.MinInt64, math.MinInt64+1000),
	)
}

func amounts() *rapid.Generator[money.Amount] {
	return rapid.Map(int64s(), money.FromNano)
}

func prices() *rapid.Generator[money.Price] {
	return rapid.Map(int64s(), money.PriceFromPico)
}

// saturated returns value as an Amount, held at the ends of int64.
func saturated(value *big.Int) money.Amount {
	switch {
	case value.Cmp(minInt64) < 0:
		value = minInt64
	case value.Cmp(maxInt64) > 0:
		value = maxInt64
	}
	return money.FromNano(value.Int64())
}

// ceiling returns numerator ÷ denominator, rounded up. The denominator is positive.
func ceiling(numerator, denominator *big.Int) *big.Int {
	negated := new(big.Int).Neg(numerator)
	return negated.Neg(negated.Div(negated, denominator)) // Div rounds down for a positive denominator.
}

func bigOf(amount money.Amount) *big.Int { return big.NewInt(amount.Nano()) }
