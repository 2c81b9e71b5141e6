package portal

import (
	"strconv"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// dollars writes an amount of a status or a spec, in USD, for people; empty if there is none. One that cannot be read is shown as it is.
func dollars(text string) string {
	amount, err := money.ParseUSD(strings.TrimPrefix(text, "-"))
	switch {
	case text == "":
		return ""
	case err != nil:
		return text
	case strings.HasPrefix(text, "-"):
		return "−$" + amount.String()
	}
	return "$" + amount.String()
}

// usd writes an amount in USD for people.
func usd(amount money.Amount) string { return dollars(amount.String()) }

// about writes an amount in USD for people, rounded to three digits.
func about(amount money.Amount) string {
	unit := int64(1)
	for amount.Nano()/unit >= 1000 {
		unit *= 10
	}
	return usd(money.FromNano(amount.Add(money.FromNano(unit/2)).Nano() / unit * unit))
}

// perMillion writes a price in USD per million tokens; empty if there is none.
func perMillion(text string) string {
	price, err := money.ParsePricePerMillion(text)
	switch {
	case text == "":
		return ""
	case err != nil:
		return text
	}
	return "$" + price.PerMillion()
}

// count writes a number with commas, as in 65,536; empty if it is 0.
func count(number int64) string {
	if number <= 0 {
		return ""
	}
	digits := strconv.FormatInt(number, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// units are those that a duration is told in.
var units = []struct {
	name   string
	length time.Duration
}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}}

// roughly writes a duration in its two largest units, rounded down, as in "3 days 4 hours".
func roughly(duration time.Duration) string {
	if duration < time.Minute {
		return "less than a minute"
	}
	var words []string
	for _, unit := range units {
		if number := duration / unit.length; number > 0 {
			words = append(words, plural(int64(number), unit.name))
			duration %= unit.length
		} else if len(words) > 0 {
			break // 3 days and 5 minutes are 3 days.
		}
	}
	return strings.Join(words[:min(len(words), 2)], " ")
}

func plural(number int64, noun string) string {
	if number == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(number, 10) + " " + noun + "s"
}
