// Package money has the two number types that every figure of ModelRoute is made of: Amount, in nano-USD, and Price, in
// pico-USD per token. Both are integers; no floating-point number ever touches money.
package money

import (
	"cmp"
	"math"
)

// Amount is a sum of money in nano-USD (10⁻⁹ USD). Its arithmetic saturates at the ends of int64 (about ±9.2 billion USD)
// instead of wrapping around, so that an absurd figure denies a request and never grants one. An Amount may be negative: a
// debt is real.
//
// The value is unexported so that all arithmetic goes through the methods, which saturate; a plain + would not.
type Amount struct {
	nano int64
}

// NanoPerUSD is how many nano-USD make one USD.
const NanoPerUSD = 1_000_000_000

// Max is the largest Amount. It also stands for "could not be computed, too large to grant".
var Max = Amount{nano: math.MaxInt64}

// FromNano makes an Amount of a number of nano-USD.
func FromNano(nano int64) Amount { return Amount{nano: nano} }

// Nano returns the amount in nano-USD.
func (a Amount) Nano() int64 { return a.nano }

// Add returns a + b, saturated.
func (a Amount) Add(b Amount) Amount {
	sum := a.nano + b.nano
	switch {
	case a.nano > 0 && b.nano > 0 && sum < 0:
		return Amount{nano: math.MaxInt64}
	case a.nano < 0 && b.nano < 0 && sum >= 0:
		return Amount{nano: math.MinInt64}
	}
	return Amount{nano: sum}
}

// Sub returns a − b, saturated.
func (a Amount) Sub(b Amount) Amount {
	difference := a.nano - b.nano
	switch {
	case a.nano >= 0 && b.nano < 0 && difference < 0:
		return Amount{nano: math.MaxInt64}
	case a.nano < 0 && b.nano > 0 && difference >= 0:
		return Amount{nano: math.MinInt64}
	}
	return Amount{nano: difference}
}

// Cmp returns −1, 0 or +1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	return cmp.Compare(a.nano, b.nano)
}

// Equal reports whether a and b are the same amount. It is what go-cmp compares by.
func (a Amount) Equal(b Amount) bool { return a == b }

// IsZero reports whether a is nothing.
func (a Amount) IsZero() bool { return a.nano == 0 }

// IsNegative reports whether a is a debt.
func (a Amount) IsNegative() bool { return a.nano < 0 }

// PercentOf returns how much of limit the amount is, in whole percent, rounded down, so that 100 is shown only when the
// limit is reached. A limit of nothing is always used up: 100. The result is at most math.MaxInt32, so that it fits a status field,
// and at least 0.
func (a Amount) PercentOf(limit Amount) int32 {
	if limit.nano <= 0 {
		return 100
	}
	if a.nano <= 0 {
		return 0
	}
	percent := mulDiv(uint64(a.nano), 100, uint64(limit.nano))
	return int32(min(percent, math.MaxInt32))
}
