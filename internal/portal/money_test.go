package portal

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

func TestAmountsAreWrittenForPeople(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "0.00": "$0.00", "12.345678": "$12.345678", "500": "$500.00", "-0.5": "−$0.50",
		"0.000000001": "$0.000000001", "a lot": "a lot",
	} {
		if got := dollars(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"": "", "0": "", "0.00": "", "0.000000001": "$0.000000001", "-1": "−$1.00"} {
		if got := something(text); got != want {
			t.Errorf("%q is something: %q, want %q", text, got, want)
		}
	}
}

func TestARoundAmountHasThreeDigits(t *testing.T) {
	for nano, want := range map[int64]string{
		0: "$0.00", 999: "$0.000000999", 1_234_567: "$0.00123", 12_355_000_000: "$12.40", 512_345_678_901: "$512.00",
		999_500_000_000: "$1000.00", 98_765_432_100_000: "$98800.00",
	} {
		if got := about(money.FromNano(nano)); got != want {
			t.Errorf("%d is about %q, want %q", nano, got, want)
		}
	}
}

func TestPricesKeepTheirDecimals(t *testing.T) {
	for text, want := range map[string]string{"": "", "0": "$0.00", "2": "$2.00", "0.075": "$0.075", "much": "much"} {
		if got := perMillion(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestNumbersHaveCommas(t *testing.T) {
	for number, want := range map[int64]string{0: "", -1: "", 7: "7", 999: "999", 1000: "1,000", 65536: "65,536", 100000000: "100,000,000"} {
		if got := count(number); got != want {
			t.Errorf("%d is %q, want %q", number, got, want)
		}
	}
}

func TestTimesAreToldInTheirTwoLargestUnits(t *testing.T) {
	for duration, want := range map[time.Duration]string{
		-time.Hour:                                "less than a minute",
		59 * time.Second:                          "less than a minute",
		time.Minute:                               "1 minute",
		90 * time.Minute:                          "1 hour 30 minutes",
		24 * time.Hour:                            "1 day",
		25*time.Hour + 59*time.Minute:             "1 day 1 hour",
		72*time.Hour + 5*time.Minute:              "3 days",
		31*24*time.Hour + 23*time.Hour:            "31 days 23 hours",
		2*time.Hour + 10*time.Second:              "2 hours",
		2*time.Hour + time.Minute + 1*time.Second: "2 hours 1 minute",
	} {
		if got := roughly(duration); got != want {
			t.Errorf("%s is %q, want %q", duration, got, want)
		}
	}
}
