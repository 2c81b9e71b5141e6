package money_test

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/money"
)

var (
	amountInUSD     = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})?$`)
	pricePerMillion = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,6})?$`)
	shownAmount     = regexp.MustCompile(`^-?(0|[1-9][0-9]*)\.[0-9]{2,9}$`)
	numberInJSON    = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]+))?$`)
)

func TestParseUSDReadsExactlyWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(amountInUSD.String()).Draw(t, "text")
		amount, err := money.ParseUSD(text)
		if err != nil {
			t.Fatal(err)
		}
		if want := scaled(text, 1_000_000_000); want.Cmp(new(big.Rat).SetInt(bigOf(amount))) != 0 {
			t.Fatalf("%q is read as %d nano-USD, want %s", text, amount.Nano(), want.RatString())
		}
	})
}

func TestParsePricePerMillionReadsExactlyWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(pricePerMillion.String()).Draw(t, "text")
		price, err := money.ParsePricePerMillion(text)
		if err != nil {
			t.Fatal(err)
		}
		if want := scaled(text, 1_000_000); want.Cmp(new(big.Rat).SetInt64(price.Pico())) != 0 {
			t.Fatalf("%q is read as %d pico-USD per token, want %s", text, price.Pico(), want.RatString())
		}
	})
}

// scaled returns the number that text is, times factor.
func scaled(text string, factor int64) *big.Rat {
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(fmt.Sprintf("%q is no number", text))
	}
	return number.Mul(number, big.NewRat(factor, 1))
}

func TestWhatIsNoPlainDecimalIsRefused(t *testing.T) {
	for reason, text := range map[string]string{
		"empty":                    "",
		"a space":                  " ",
		"a space before":           " 1",
		"a space after":            "1 ",
		"a line end after":         "1\n",
		"a sign":                   "+1",
		"a negative number":        "-1",
		"an exponent":              "1e3",
		"a point alone":            ".",
		"nothing before the point": ".5",
		"nothing after the point":  "5.",
		"two points":               "1.2.3",
		"a decimal comma":          "1,5",
		"digits in groups":         "1,000.00",
		"an underscore":            "1_000",
		"another base":             "0x10",
		"a unit":                   "5 USD",
		"a currency sign":          "$5",
		"a Quantity's suffix":      "5k",
		"no number":                "NaN",
		"infinity":                 "Inf",
		"a fraction":               "1/2",
		"other scripts' digits":    "١٢",
		"wide digits":              "１",
		"a zero byte":              "1\x00",
		"ten digits":               "1000000000",
		"ten digits, mostly zeros": "0000000001",
		"a very long number":       strings.Repeat("9", 1<<16),
		"very many decimals":       "0." + strings.Repeat("0", 1<<16),
	} {
		t.Run(reason, func(t *testing.T) {
			if amount, err := money.ParseUSD(text); err == nil {
				t.Errorf("as an amount it is read as %s", amount)
			}
			if price, err := money.ParsePricePerMillion(text); err == nil {
				t.Errorf("as a price it is read as %s", price.PerToken())
			}
		})
	}
}

func TestDecimalsAreBounded(t *testing.T) {
	for text, accepted := range map[string]struct{ asAmount, asPrice bool }{
		"0":                    {asAmount: true, asPrice: true},
		"2.00":                 {asAmount: true, asPrice: true},
		"999999999.999999":     {asAmount: true, asPrice: true},
		"0.0000001":            {asAmount: true, asPrice: false},
		"999999999.999999999":  {asAmount: true, asPrice: false},
		"0.0000000001":         {asAmount: false, asPrice: false},
		"1000000000.000000000": {asAmount: false, asPrice: false},
	} {
		if _, err := money.ParseUSD(text); (err == nil) != accepted.asAmount {
			t.Errorf("%q as an amount: %v", text, err)
		}
		if _, err := money.ParsePricePerMillion(text); (err == nil) != accepted.asPrice {
			t.Errorf("%q as a price: %v", text, err)
		}
	}
}

func TestStringIsTheExactAmountInUSD(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := amounts().Draw(t, "amount")
		text := amount.String()
		if !shownAmount.MatchString(text) {
			t.Fatalf("%d nano-USD are shown as %q", amount.Nano(), text)
		}
		if got := scaled(text, 1_000_000_000); got.Cmp(new(big.Rat).SetInt(bigOf(amount))) != 0 {
			t.Fatalf("%d nano-USD are shown as %q", amount.Nano(), text)
		}
	})
}

func TestParseUSDReadsBackWhatStringShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := money.FromNano(rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "nano"))
		if got, err := money.ParseUSD(amount.String()); err != nil || got != amount {
			t.Fatalf("%q is read back as %s (%v)", amount, got, err)
		}
	})
}

func TestString(t *testing.T) {
	for want, nano := range map[string]int64{
		"0.00":                  0,
		"0.000000001":           1,
		"-0.000000001":          -1,
		"0.10":                  100_000_000,
		"12.345678":             12_345_678_000,
		"500.00":                500_000_000_000,
		"-3.50":                 -3_500_000_000,
		"9223372036.854775807":  math.MaxInt64,
		"-9223372036.854775808": math.MinInt64,
	} {
		if got := money.FromNano(nano).String(); got != want {
			t.Errorf("%d nano-USD: got %q, want %q", nano, got, want)
		}
	}
}

func TestParseUSDNumberRoundsTheExactNumberUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,25})?([eE][+-]?[0-3]?[0-9])?`).Draw(t, "text")
		checkUSDNumber(t, text)
	})
}

// checkUSDNumber compares ParseUSDNumber of a well-formed number, which is not too long, with the truth.
func checkUSDNumber(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, text string) {
	t.Helper()
	nano := scaled(text, 1_000_000_000)
	want := ceiling(nano.Num(), nano.Denom())
	bookable := nano.Sign() >= 0 && want.IsInt64()
	got, err := money.ParseUSDNumber(text)
	switch {
	case (err == nil) != bookable:
		t.Fatalf("%q: got %s (%v), want %s nano-USD", text, got, err, want)
	case bookable && bigOf(got).Cmp(want) != 0:
		t.Fatalf("%q: got %d nano-USD, want %s", text, got.Nano(), want)
	}
}

func TestParseUSDNumber(t *testing.T) {
	for text, nano := range map[string]int64{
		"0":                       0,
		"-0":                      0,
		"0.0":                     0,
		"0e40":                    0,
		"0.000128":                128_000,
		"1.28e-4":                 128_000,
		"1.28E-04":                128_000,
		"1e+1":                    10_000_000_000,
		"0.0000000001":            1,
		"1e-40":                   1,
		"0.00014100000000000001":  141_001,
		"0.30000000000000004":     300_000_001,
		"9223372036.854775807":    math.MaxInt64,
		"9223372036854775807e-9":  math.MaxInt64,
		"9223372036.854775806999": math.MaxInt64,
	} {
		if got, err := money.ParseUSDNumber(text); err != nil || got.Nano() != nano {
			t.Errorf("%q: got %d nano-USD (%v), want %d", text, got.Nano(), err, nano)
		}
	}
}

func TestWhatIsNoBillIsRefused(t *testing.T) {
	for reason, text := range map[string]string{
		"empty":                        "",
		"null":                         "null",
		"a string":                     `"0.01"`,
		"a negative number":            "-0.01",
		"a tiny negative number":       "-1e-40",
		"a plus sign":                  "+1",
		"a leading zero":               "01",
		"no digit before the point":    ".5",
		"no digit after the point":     "5.",
		"no digit in the exponent":     "1e",
		"two exponents":                "1e5e5",
		"a space before":               " 1",
		"a line end after":             "1\n",
		"a fraction":                   "1/2",
		"an underscore":                "1_0",
		"base 16":                      "0x10",
		"base 2":                       "0b1",
		"a binary exponent":            "1p4",
		"infinity":                     "Inf",
		"no number":                    "NaN",
		"one nano-USD too much":        "9223372036.854775808",
		"too much once it is rounded":  "9223372036.8547758071",
		"a hostile exponent":           "1e999999999",
		"a hostile negative exponent":  "1e-999999999",
		"an exponent beyond any int":   "1e99999999999999999999",
		"an exponent out of range":     "0e41",
		"a negative one out of range":  "1e-41",
		"a number of 65 characters":    "0." + strings.Repeat("0", 63),
		"a number of a million digits": strings.Repeat("1", 1_000_000),
	} {
		t.Run(reason, func(t *testing.T) {
			amount, err := money.ParseUSDNumber(text)
			if err == nil {
				t.Fatalf("read as %s", amount)
			}
			if len(err.Error()) > 200 {
				t.Errorf("the error has %d characters", len(err.Error()))
			}
		})
	}
}

func FuzzParseUSD(f *testing.F) {
	for _, seed := range []string{"500.00", "0", "0.000000001", "999999999.999999999", "1e3", "-1", ".5", "5.", "1_0", "١"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		amount, err := money.ParseUSD(text)
		if (err == nil) != amountInUSD.MatchString(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err == nil && scaled(text, 1_000_000_000).Cmp(new(big.Rat).SetInt(bigOf(amount))) != 0 {
			t.Fatalf("%q is read as %d nano-USD", text, amount.Nano())
		}
	})
}

func FuzzParseUSDNumber(f *testing.F) {
	for _, seed := range []string{"0.000128", "1.28e-4", "0", "-1", "1e40", "1e-40", "9223372036.854775807", "1/2", "0x1p4", "1e999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if withinBounds(text) {
			checkUSDNumber(t, text)
			return
		}
		if amount, err := money.ParseUSDNumber(text); err == nil {
			t.Fatalf("%q is read as %s", text, amount)
		}
	})
}

// withinBounds reports whether text is a number in JSON that ParseUSDNumber promises to look at.
func withinBounds(text string) bool {
	parts := numberInJSON.FindStringSubmatch(text)
	if parts == nil || len(text) > 64 {
		return false
	}
	exponent, _ := new(big.Int).SetString("0"+strings.TrimLeft(parts[1], "+-"), 10)
	return exponent.Cmp(big.NewInt(40)) <= 0
}
