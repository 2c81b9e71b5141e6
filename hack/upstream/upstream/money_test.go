package upstream

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactNano reads a JSON number of USD as nano-USD with big-number arithmetic, which takes any notation.
func exactNano(t *testing.T, n json.Number) int64 {
	t.Helper()
	value, ok := new(big.Rat).SetString(n.String())
	if !ok {
		t.Fatalf("%q is no number", n)
	}
	value.Mul(value, big.NewRat(1_000_000_000, 1))
	if !value.IsInt() {
		t.Fatalf("%s USD is finer than a nano-USD", n)
	}
	return value.Num().Int64()
}

func TestFormatUSD(t *testing.T) {
	cases := map[int64]string{
		0: "0", 1: "0.000000001", 2000: "0.000002", 424_000: "0.000424", 1_000_000_000: "1", 1_500_000_000: "1.5",
		-8000: "-0.000008", 9_223_372_036_854_775_807: "9223372036.854775807",
	}
	for nano, want := range cases {
		if got := FormatUSD(nano); got != want {
			t.Errorf("FormatUSD(%d) = %q, want %q", nano, got, want)
		}
	}
}

func TestUSDSurvivesItsText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nano := rapid.Int64Range(0, 1<<62).Draw(rt, "nano")
		text := FormatUSD(nano)
		if back, ok := ParseUSD(text); !ok || back != nano {
			rt.Fatalf("%d became %q and then %d", nano, text, back)
		}
		if got := exactNano(t, json.Number(text)); got != nano {
			rt.Fatalf("%q is %d, want %d", text, got, nano)
		}
		if got := exactNano(t, json.Number(formatExponent(nano))); got != nano {
			rt.Fatalf("%q is %d, want %d", formatExponent(nano), got, nano)
		}
	})
}

func TestParseUSDRefuses(t *testing.T) {
	for _, text := range []string{"", "x", "-1", "+1", "1e3", "0x10", "1/2", "0.0000000001", "99999999999", "1_000"} {
		if got, ok := ParseUSD(text); ok {
			t.Errorf("ParseUSD(%q) = %d, want a refusal", text, got)
		}
	}
}

func TestByokSplitsTheBill(t *testing.T) {
	if b := newBill(21, 0, 0, true); b.fee != 2 {
		t.Errorf("5 %% of 21 nano-USD, rounded up, is %d", b.fee)
	}
	b := newBill(20_000, 18_000, 0, true)
	if b.inference() != 38_000 || b.cost() != 1_900 || b.total() != 39_900 {
		t.Errorf("got %+v: inference %d, cost %d, total %d", b, b.inference(), b.cost(), b.total())
	}
}
