package money

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

const (
	// maxWholeDigits bounds the part of a decimal before its point: with nine digits every amount in nano-USD and every price in
	// pico-USD per token fits an int64.
	maxWholeDigits = 9
	// amountDecimals is how many decimals an amount in USD may have: nano-USD.
	amountDecimals = 9
	// priceDecimals is how many decimals a price in USD per million tokens may have: pico-USD per token.
	priceDecimals = 6
)

// ParseUSD reads an amount as a manifest has it: a non-negative plain decimal of at most nine digits before and nine after the point, such
// as "500.00". There is no sign, no exponent, no space and no unit.
func ParseUSD(text string) (Amount, error) {
	nano, err := parseDecimal(text, amountDecimals)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %q: %w", text, err)
	}
	return Amount{nano: nano}, nil
}

// ParsePricePerMillion reads a price as a manifest has it: USD per million tokens, a non-negative plain decimal of at most nine digits
// before and six after the point, such as "2.00".
func ParsePricePerMillion(text string) (Price, error) {
	pico, err := parseDecimal(text, priceDecimals)
	if err != nil {
		return Price{}, fmt.Errorf("price %q: %w", text, err)
	}
	return Price{pico: pico}, nil
}

// mostPico is the highest price that a manifest can have, in pico-USD per token.
const mostPico = 1_000_000_000*1_000_000 - 1

// ParsePricePerToken reads a price as the lists of models of OpenAI-compatible APIs have it: USD per token, a JSON number as text, such as
// "0.000002" or "2e-6". It is read exactly, and rounded up to pico-USD. A negative price, by which OpenRouter says that there is no
// fixed one, and one that a manifest could not have are errors.
func ParsePricePerToken(text string) (Price, error) {
	usd, err := parseNumber(text)
	if err != nil {
		return Price{}, fmt.Errorf("price %w", err)
	}
	pico, fits := roundedUp(usd, NanoPerUSD*PicoPerNano)
	if !fits || pico > mostPico {
		return Price{}, fmt.Errorf("price %q: is too high", text)
	}
	return Price{pico: pico}, nil
}

// parseDecimal returns text × 10^decimals. The caller's bounds make the result fit an int64.
func parseDecimal(text string, decimals int) (int64, error) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	switch {
	case whole == "" || (hasPoint && fraction == "") || !digitsOnly(whole) || !digitsOnly(fraction):
		return 0, errors.New(`is no plain decimal such as "12.50"`)
	case len(whole) > maxWholeDigits:
		return 0, fmt.Errorf("has more than %d digits before the point", maxWholeDigits)
	case len(fraction) > decimals:
		return 0, fmt.Errorf("has more than %d decimals", decimals)
	}
	return strconv.ParseInt(whole+fraction+strings.Repeat("0", decimals-len(fraction)), 10, 64)
}

func digitsOnly(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}

// maxNumberLength bounds the JSON numbers that ParseUSDNumber reads; no cost that an upstream means has more digits.
const maxNumberLength = 64

// maxExponent bounds the exponent of such a number, so that a hostile "1e999999999" costs nothing to refuse.
const maxExponent = 40

// jsonNumber is the grammar of a number in JSON (RFC 8259, section 6), and captures the exponent. big.Rat reads more than that.
var jsonNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?$`)

// ParseUSDNumber reads an amount in USD as an upstream reports it: a JSON number, which may have an exponent and any
// number of decimals, such as 0.000128 or 1.28e-4. It is read from its text, exactly, and rounded up to nano-USD. A
// negative number, one beyond Max, one longer than 64 characters and one with an exponent beyond ±40 are errors: none is
// a bill that can be booked.
func ParseUSDNumber(text string) (Amount, error) {
	if len(text) <= maxNumberLength {
		if nano, plain := plainNano(text); plain {
			return Amount{nano: nano}, nil
		}
	}
	usd, err := parseNumber(text)
	if err != nil {
		return Amount{}, fmt.Errorf("amount %w", err)
	}
	nano, fits := roundedUp(usd, NanoPerUSD)
	if !fits {
		return Amount{}, fmt.Errorf("amount of %s USD: is too large", usd.FloatString(0))
	}
	return Amount{nano: nano}, nil
}

// parseNumber reads a JSON number that is not negative, exactly. The errors begin with the text.
func parseNumber(text string) (*big.Rat, error) {
	if len(text) > maxNumberLength {
		return nil, fmt.Errorf("of %d characters: longer than %d", len(text), maxNumberLength)
	}
	parts := jsonNumber.FindStringSubmatch(text)
	if parts == nil {
		return nil, fmt.Errorf("%q: is no JSON number", text)
	}
	if exponent := parts[1]; exponent != "" {
		if power, err := strconv.Atoi(exponent); err != nil || power > maxExponent || power < -maxExponent {
			return nil, fmt.Errorf("%q: exponent is out of range", text)
		}
	}
	number, ok := new(big.Rat).SetString(text)
	switch {
	case !ok:
		return nil, fmt.Errorf("%q: is no JSON number", text)
	case number.Sign() < 0:
		return nil, fmt.Errorf("%q: is negative", text)
	}
	return number, nil
}

// plainNano reads what nearly every bill is, without arithmetic of any size: a JSON number with neither sign nor exponent, and no more
// whole digits than fit. It reports false for all others, good or not.
func plainNano(text string) (int64, bool) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	switch {
	case whole == "" || len(whole) > maxWholeDigits || !digitsOnly(whole) || len(whole) > 1 && whole[0] == '0':
		return 0, false
	case hasPoint && fraction == "" || !digitsOnly(fraction):
		return 0, false
	}
	kept := min(len(fraction), amountDecimals)
	nano := digits(whole)*NanoPerUSD + digits(fraction[:kept])*powerOfTen(amountDecimals-kept)
	if strings.Trim(fraction[kept:], "0") != "" {
		nano++ // It is rounded up.
	}
	return nano, true
}

// digits is the number that a few digits are.
func digits(text string) (number int64) {
	for i := range len(text) {
		number = number*10 + int64(text[i]-'0')
	}
	return number
}

func powerOfTen(exponent int) int64 {
	power := int64(1)
	for range exponent {
		power *= 10
	}
	return power
}

// roundedUp returns a non-negative number of USD in a unit of which so many make one USD; false if that does not fit.
func roundedUp(usd *big.Rat, perUSD int64) (int64, bool) {
	scaled := new(big.Rat).Mul(usd, big.NewRat(perUSD, 1))
	quotient, remainder := new(big.Int).QuoRem(scaled.Num(), scaled.Denom(), new(big.Int))
	if remainder.Sign() > 0 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient.Int64(), quotient.IsInt64()
}

// String returns the amount in USD with at least two and at most nine decimals and no unit, such as "12.345678" or "500.00": what status
// fields show. ParseUSD reads it back unless it is negative or has more than nine whole digits.
func (a Amount) String() string {
	sign, magnitude := "", uint64(a.nano) //nolint:gosec // A negative amount is negated below, in two's complement.
	if a.nano < 0 {
		sign, magnitude = "-", -magnitude
	}
	fraction := strings.TrimRight(fmt.Sprintf("%09d", magnitude%NanoPerUSD), "0")
	if len(fraction) < 2 {
		fraction += strings.Repeat("0", 2-len(fraction))
	}
	return sign + strconv.FormatUint(magnitude/NanoPerUSD, 10) + "." + fraction
}

// MarshalText writes the amount as String does, so that logs and JSON show it: its value is unexported, and encoding/json
// would write {} without a word.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// PerToken returns the price as the catalogues of OpenAI-compatible APIs write it: USD per token, a decimal string without trailing
// zeros, such as "0.000002".
func (p Price) PerToken() string {
	const picoPerUSD = NanoPerUSD * PicoPerNano
	whole, fraction := p.pico/picoPerUSD, strings.TrimRight(fmt.Sprintf("%012d", p.pico%picoPerUSD), "0")
	if fraction == "" {
		return strconv.FormatInt(whole, 10)
	}
	return strconv.FormatInt(whole, 10) + "." + fraction
}

// PerMillion returns the price as a manifest has it: USD per million tokens with at least two decimals, such as "2.00".
// ParsePricePerMillion reads it back if it is one that a manifest can have.
func (p Price) PerMillion() string { return Amount{nano: p.pico * PicoPerNano}.String() }
