package upstream

import (
	"cmp"
	"math/big"
	"strconv"
	"strings"
)

const nanoPerUSD = 1_000_000_000

// Price is what one token costs, in nano-USD: 2000 is 2.00 USD per million tokens.
type Price struct {
	Prompt     int64
	Completion int64
	CacheRead  int64 // a token of the prompt that is read from a cache; 0 is the price of Prompt
	CacheWrite int64 // a token of the prompt that is written to a cache; 0 is the price of Prompt
}

func (p Price) times(factor int64) Price {
	return Price{
		Prompt: p.Prompt * factor, Completion: p.Completion * factor,
		CacheRead: p.CacheRead * factor, CacheWrite: p.CacheWrite * factor,
	}
}

// prompt is the price of a prompt of so many tokens, of which some are read from a cache and others written to it.
func (p Price) prompt(tokens, read, written int) int64 {
	return p.Prompt*int64(tokens-read-written) + cmp.Or(p.CacheRead, p.Prompt)*int64(read) + cmp.Or(p.CacheWrite, p.Prompt)*int64(written)
}

// FormatUSD writes nano-USD as the shortest exact decimal of USD, without an exponent: 8000 is "0.000008".
func FormatUSD(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	whole, fraction := nano/nanoPerUSD, nano%nanoPerUSD
	text := sign + strconv.FormatInt(whole, 10)
	if fraction == 0 {
		return text
	}
	digits := strconv.FormatInt(nanoPerUSD+fraction, 10)[1:]
	return text + "." + strings.TrimRight(digits, "0")
}

// formatExponent writes the same amount as FormatUSD in scientific notation, as JavaScript does below a millionth.
func formatExponent(nano int64) string {
	return strconv.FormatInt(nano, 10) + "e-9"
}

// ParseUSD reads a plain decimal of USD as nano-USD. It reports false for a sign, an exponent, or more than nine decimals.
func ParseUSD(text string) (int64, bool) {
	value, ok := parseDecimal(text)
	if !ok {
		return 0, false
	}
	value.Mul(value, big.NewRat(nanoPerUSD, 1))
	return value.Num().Int64(), value.IsInt() && value.Num().IsInt64()
}

// parsePerMillion reads a price in USD per million tokens as nano-USD per token, rounded down: a ceiling stays a ceiling.
func parsePerMillion(text string) (int64, bool) {
	value, ok := parseDecimal(text)
	if !ok {
		return 0, false
	}
	value.Mul(value, big.NewRat(nanoPerUSD, 1_000_000))
	floor := new(big.Int).Quo(value.Num(), value.Denom())
	return floor.Int64(), floor.IsInt64()
}

func parseDecimal(text string) (*big.Rat, bool) {
	if len(text) > 32 || strings.ContainsAny(text, "eEpPxX/_+-") {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// bill is what one generation costs, in nano-USD.
type bill struct {
	prompt     int64
	completion int64
	surcharge  int64 // a web search
	fee        int64 // OpenRouter's own, when the inference is paid by the caller's provider key
	byok       bool
}

// byokFeePercent is what OpenRouter takes of the inference's price when the caller brings the provider's key.
const byokFeePercent = 5

// webSearchNano is the price of one web search: five results at 4 USD per thousand.
const webSearchNano = 20_000_000

// newBill takes the prices of the prompt and of the completion.
func newBill(prompt, completion, surcharge int64, byok bool) bill {
	b := bill{
		prompt:     prompt,
		completion: completion,
		surcharge:  surcharge,
		byok:       byok,
	}
	if byok {
		b.fee = (b.inference()*byokFeePercent + 99) / 100
	}
	return b
}

func (b bill) inference() int64 { return b.prompt + b.completion }

// insured is the bill when nothing came of the prompt, by OpenRouter's zero-completion insurance: no tokens, but what tools did.
func (b bill) insured() bill { return bill{surcharge: b.surcharge} }

// cost is what OpenRouter charges to the account, the figure of usage.cost.
func (b bill) cost() int64 {
	if b.byok {
		return b.fee + b.surcharge
	}
	return b.inference() + b.surcharge
}

// total is what the request costs its caller, all bills together: the figure of the books.
func (b bill) total() int64 {
	return b.inference() + b.surcharge + b.fee
}
