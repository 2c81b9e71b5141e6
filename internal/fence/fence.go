// Package fence says how much an upstream's own key of a route may spend, so that it is a second fence around the route's budgets: as near
// as can be, and never before them. It is pure: it reads no clock and asks nobody.
package fence

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Reset is when what a key has spent of its limit starts again at nothing. OpenRouter's windows begin at midnight UTC, its weeks on Monday.
type Reset string

const (
	// Never is a limit on all that a key ever spends.
	Never Reset = ""
	// Daily is a limit on each day.
	Daily Reset = "daily"
	// Weekly is a limit on each week.
	Weekly Reset = "weekly"
	// Monthly is a limit on each month.
	Monthly Reset = "monthly"
)

// Budget is one that denies, and counts what is spent with the key.
type Budget struct {
	// Amount is what may be spent in one window, with the credits that count now.
	Amount   money.Amount
	Period   budget.Period
	TimeZone string
}

// Limit is what a key may spend. The zero value is no limit.
type Limit struct {
	// Limited is false if the key may spend without end.
	Limited bool
	// Amount is how much, in whole cents: what an upstream keeps as a floating-point number.
	Amount money.Amount
	Reset  Reset
	// around is the budget that it is for.
	around Budget
}

// Terms name the limit and what it is for: equal limits around other budgets differ.
func (l Limit) Terms() string {
	if !l.Limited {
		return l.String()
	}
	return fmt.Sprintf("%s around %s USD a %s %s", l, l.around.Amount, l.around.Period, l.around.TimeZone)
}

// isWithin reports whether each window of the key lies within one of the budget's, so that the budget has counted all that the key has
// spent in it.
func (l Limit) isWithin() bool { return windowsMet(l.around) == 1 }

// String is the limit for people: "110.00 USD monthly", "110.00 USD in all", "none".
func (l Limit) String() string {
	switch {
	case !l.Limited:
		return "none"
	case l.Reset == Never:
		return l.Amount.String() + " USD in all"
	}
	return l.Amount.String() + " USD " + string(l.Reset)
}

// nanoPerCent is how many nano-USD a cent has.
const nanoPerCent = money.NanoPerUSD / 100

// Around returns the tightest limit that lets all pass that the budgets allow, and so many percent more. Where there is no budget, there is
// none.
//
// The headroom is for what the windows of budgets and keys count differently: a request that is under way when a window ends belongs to
// the budget's window that it began in, and to the key's that it ended in.
func Around(budgets []Budget, headroomPercent int64) Limit {
	limits := make([]Limit, 0, len(budgets))
	for _, one := range budgets {
		if limit := around(one, headroomPercent); limit.Limited {
			limits = append(limits, limit)
		}
	}
	if len(limits) == 0 {
		return Limit{}
	}
	return slices.MinFunc(limits, Limit.compare)
}

// around is the limit around one budget. One that is too large to be written is none.
func around(one Budget, headroomPercent int64) Limit {
	nano := big.NewInt(one.Amount.Nano())
	nano.Mul(nano, big.NewInt(int64(windowsMet(one))*(100+headroomPercent)))
	cents := ceilDiv(nano, big.NewInt(100*nanoPerCent))
	// A limit of nothing might be taken for none.
	cents.SetInt64(max(1, saturated(cents)))
	amount := cents.Mul(cents, big.NewInt(nanoPerCent))
	if !amount.IsInt64() {
		return Limit{}
	}
	return Limit{Limited: true, Amount: money.FromNano(amount.Int64()), Reset: resetOf(one.Period), around: one}
}

func saturated(n *big.Int) int64 {
	if !n.IsInt64() {
		return 1<<63 - 1
	}
	return n.Int64()
}

func ceilDiv(a, b *big.Int) *big.Int {
	quotient, rest := new(big.Int).QuoRem(a, b, new(big.Int))
	if rest.Sign() > 0 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient
}

// resetOf is the window of a key in which a budget is best kept: the shortest that is not shorter, or the longest that there is.
func resetOf(period budget.Period) Reset {
	switch period {
	case budget.Hour, budget.Day:
		return Daily
	case budget.Week:
		return Weekly
	case budget.Total:
		return Never
	default: // Month and Year
		return Monthly
	}
}

const (
	hoursPerDay = 24
	// hoursMet is how many hours of a zone a day in UTC can meet: 25, where its minute hand is not that of UTC, and one more on a day on
	// which it moves.
	hoursMet = hoursPerDay + 2
)

// windowsMet is how many windows of the budget a window of the key can meet. In UTC both begin at the same time; elsewhere the key's
// window meets the end of one and the beginning of the next. A month lies within a year.
func windowsMet(of Budget) int {
	isUTC := slices.Contains([]string{"", "UTC", "Etc/UTC"}, of.TimeZone)
	switch {
	case of.Period == budget.Total:
		return 1
	case of.Period == budget.Hour && isUTC:
		return hoursPerDay
	case of.Period == budget.Hour:
		return hoursMet
	case isUTC:
		return 1
	}
	return 2
}

// months is how often what a limit allows can be spent in a month of 31 days.
var months = map[Reset]int{Never: 1, Monthly: 1, Weekly: 6, Daily: 31}

// compare puts the limit first under which least could be spent in a month, and of two that are alike the one that holds longest.
func (l Limit) compare(other Limit) int {
	return cmp.Or(l.perMonth().Cmp(other.perMonth()), last(l.Reset != Never)-last(other.Reset != Never),
		months[l.Reset]-months[other.Reset], windowsMet(l.around)-windowsMet(other.around))
}

// last puts what is so behind what is not.
func last(is bool) int {
	if is {
		return 1
	}
	return 0
}

// perMonth is what could be spent in a month of 31 days, by which limits are compared.
func (l Limit) perMonth() money.Amount {
	sum := money.Amount{}
	for range months[l.Reset] {
		sum = sum.Add(l.Amount)
	}
	return sum
}
