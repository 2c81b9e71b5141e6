package money_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
)

func TestAPricePerTokenIsTheSameAsPerMillion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := money.PriceFromPico(rapid.Int64Range(0, 999_999_999_999_999).Draw(t, "pico"))
		if read, err := money.ParsePricePerToken(price.PerToken()); err != nil || read != price {
			t.Errorf("%s USD per token is %d pico-USD, want %d (%v)", price.PerToken(), read.Pico(), price.Pico(), err)
		}
		if read, err := money.ParsePricePerMillion(price.PerMillion()); err != nil || read != price {
			t.Errorf("%s USD per million is %d pico-USD, want %d (%v)", price.PerMillion(), read.Pico(), price.Pico(), err)
		}
	})
}

func TestParsePricePerToken(t *testing.T) {
	for text, want := range map[string]struct {
		pico       int64
		perMillion string
	}{
		"0":                {0, "0.00"},
		"0.000002":         {2_000_000, "2.00"},
		"2e-6":             {2_000_000, "2.00"},
		"0.00000015":       {150_000, "0.15"},
		"0.0000000000001":  {1, "0.000001"},
		"0.0000020000001":  {2_000_001, "2.000001"},
		"999.999999999999": {999_999_999_999_999, "999999999.999999"},
	} {
		price, err := money.ParsePricePerToken(text)
		if err != nil || price.Pico() != want.pico || price.PerMillion() != want.perMillion {
			t.Errorf("%s is %d pico-USD, %s per million, want %d and %s (%v)",
				text, price.Pico(), price.PerMillion(), want.pico, want.perMillion, err)
		}
	}
}

func TestWhatIsNoPricePerTokenIsRefused(t *testing.T) {
	for _, text := range []string{"", "-1", "-0.1", "1e", "1e99999999", "free", "1000", ".5", "0x1", "1/3", "Infinity", "NaN", " 1"} {
		if price, err := money.ParsePricePerToken(text); err == nil {
			t.Errorf("%q is read as %d pico-USD", text, price.Pico())
		}
	}
}
