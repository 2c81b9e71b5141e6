package money

import (
	"math"
	"math/bits"
)

// Price is what one token costs, in pico-USD (10⁻¹² USD). 2.00 USD per million tokens is 2,000,000 pico-USD per token.
// A price is never negative.
type Price struct {
	pico int64
}

// PicoPerNano is how many pico-USD make one nano-USD.
const PicoPerNano = 1000

// PriceFromPico makes a Price of a number of pico-USD per token; a negative number becomes 0, since nobody pays for being served.
func PriceFromPico(pico int64) Price { return Price{pico: max(pico, 0)} }

// Pico returns the price in pico-USD per token.
func (p Price) Pico() int64 { return p.pico }

// Equal reports whether p and q are the same price. It is what go-cmp compares by.
func (p Price) Equal(q Price) bool { return p == q }

// IsZero reports whether a token is free.
func (p Price) IsZero() bool { return p.pico == 0 }

// PicoSum is a sum of products of tokens and prices, in pico-USD, 128 bits wide, so that it is exact until it is
// rounded once, at its end.
type PicoSum struct {
	hi, lo   uint64
	overflow bool
}

// Plus returns the sum with tokens × price added. A negative number of tokens counts as none.
func (s PicoSum) Plus(tokens int64, price Price) PicoSum {
	if tokens <= 0 || price.pico <= 0 {
		return s
	}
	hi, lo := bits.Mul64(uint64(tokens), uint64(price.pico))
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, carry = bits.Add64(s.hi, hi, carry)
	s.overflow = s.overflow || carry != 0
	return s
}

// Times returns the sum taken n times. A negative n counts as 0; a sum that is too large stays so.
func (s PicoSum) Times(n int64) PicoSum {
	factor := uint64(max(n, 0))
	carried, lo := bits.Mul64(s.lo, factor)
	lost, hi := bits.Mul64(s.hi, factor)
	hi, carry := bits.Add64(hi, carried, 0)
	return PicoSum{hi: hi, lo: lo, overflow: s.overflow || lost > 0 || carry > 0}
}

// RoundUp returns the sum in nano-USD, rounded up, saturated at Max. Rounding happens here and nowhere else: once per request.
func (s PicoSum) RoundUp() Amount {
	if s.overflow || s.hi >= PicoPerNano {
		return Max
	}
	quotient, remainder := bits.Div64(s.hi, s.lo, PicoPerNano)
	if quotient >= math.MaxInt64 {
		return Max
	}
	if remainder > 0 {
		quotient++
	}
	return Amount{nano: int64(quotient)}
}

// mulDiv returns a × b ÷ c rounded down, saturated at the largest uint64. c must not be 0.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxUint64
	}
	quotient, _ := bits.Div64(hi, lo, c)
	return quotient
}
