package portal

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Budget is a budget in its present window.
type Budget struct {
	Name string
	// Window is how long it lasts, such as "each month (Europe/Berlin)".
	Window string
	// Spent, Limit, Held, Remaining and Uncertain are in USD, such as "$12.35"; empty where they are not known, and Held and Uncertain
	// where there is nothing.
	Spent, Limit, Held, Remaining, Uncertain string
	// Percent is how much of the limit is spent, and Bar the same, at most 100.
	Percent, Bar int32
	// State is what people are told of it, Tone how that looks.
	State string
	Tone  Tone
	// Resets is when the window ends, such as "in 3 days 4 hours", and ResetTime the same by the clock of the budget's time zone; both are
	// empty if it never does, or if that is not known.
	Resets, ResetTime string
	// Forecast is a sentence on how the window will end at the rate so far; empty if that cannot be said.
	Forecast string
	// Refuses says that requests are refused that it does not cover.
	Refuses bool
	// Known says that the figures are there.
	Known bool
}

// budgets joins what the spec says of budgets with how they stand.
func budgets(specs []v1alpha1.Budget, statuses []v1alpha1.BudgetStatus, now time.Time) []Budget {
	shown := make([]Budget, 0, len(specs))
	for _, spec := range specs {
		i := slices.IndexFunc(statuses, func(status v1alpha1.BudgetStatus) bool { return status.Name == spec.Name })
		one := Budget{
			Name: spec.Name, Window: window(spec.Window), Limit: dollars(string(spec.Amount)),
			Refuses: spec.Enforcement == v1alpha1.EnforcementDeny, State: "Not known yet", Tone: Neutral,
		}
		if i >= 0 {
			one.fill(spec, statuses[i], now)
		}
		shown = append(shown, one)
	}
	return shown
}

// fill adds how the budget stands.
func (b *Budget) fill(spec v1alpha1.Budget, status v1alpha1.BudgetStatus, now time.Time) {
	b.Known = true
	b.Spent, b.Limit, b.Remaining = dollars(status.Spent), dollars(status.Limit), dollars(status.Remaining)
	b.Held, b.Uncertain = something(status.Held), something(status.Uncertain)
	if status.PercentUsed != nil {
		b.Percent = *status.PercentUsed
		b.Bar = min(b.Percent, 100)
	}
	b.State, b.Tone = stateOf(spec, status.State)
	if status.ResetTime == nil {
		return
	}
	location := zoneOf(spec.Window)
	b.Resets, b.ResetTime = resets(status.ResetTime.Time, location, now)
	spent, limit, known := amountsOf(status)
	if known && status.WindowStart != nil {
		b.Forecast = forecast(spent, limit, budget.Window{Start: status.WindowStart.Time, End: status.ResetTime.Time}, location, now)
	}
}

// amountsOf reads the amounts of a status, which is text.
func amountsOf(status v1alpha1.BudgetStatus) (spent, limit money.Amount, known bool) {
	spent, badSpent := money.ParseUSD(status.Spent)
	limit, badLimit := money.ParseUSD(status.Limit)
	return spent, limit, badSpent == nil && badLimit == nil
}

func stateOf(spec v1alpha1.Budget, state v1alpha1.BudgetState) (string, Tone) {
	switch budget.State(state) {
	case budget.WithinBudget:
		return "Within budget", Good
	case budget.Warning:
		return "Nearly used up", Warning
	case budget.Exhausted:
		switch {
		case spec.Enforcement != v1alpha1.EnforcementDeny:
			return "Used up; it only warns", Warning
		case spec.WhenExhausted.Upstream != "":
			return "Used up; requests go on at " + spec.WhenExhausted.Upstream, Warning
		}
		return "Used up; requests are refused", Bad
	}
	return "Not known yet", Neutral
}

// something is an amount for people, empty if it is nothing.
func something(text string) string {
	if strings.Trim(text, "0.") == "" {
		return ""
	}
	return dollars(text)
}

func window(of v1alpha1.Window) string {
	if of.Period == v1alpha1.Period(budget.Total) {
		return "in all"
	}
	zone := of.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	return "each " + strings.ToLower(string(of.Period)) + " (" + zone + ")"
}

// fullest is the budget of which most is used, of those that refuse requests if there are any; nil if there is none.
func fullest(budgets []Budget) *Budget {
	if len(budgets) == 0 {
		return nil
	}
	return new(slices.MaxFunc(budgets, func(a, b Budget) int {
		return cmp.Or(refusing(a)-refusing(b), cmp.Compare(a.Percent, b.Percent))
	}))
}

func refusing(one Budget) int {
	if one.Refuses {
		return 1
	}
	return 0
}

// zoneOf is the time zone of a window; UTC if there is no such zone.
func zoneOf(window v1alpha1.Window) *time.Location {
	calendar, err := budget.NewCalendar(budget.Period(window.Period), window.TimeZone)
	if err != nil {
		return time.UTC
	}
	return calendar.Location()
}

// resets says when a window ends, from now and by the clock of its time zone.
func resets(at time.Time, location *time.Location, now time.Time) (in, when string) {
	in = "now"
	if left := at.Sub(now); left > 0 {
		in = "in " + roughly(left)
	}
	return in, at.In(location).Format("2006-01-02 15:04 MST")
}
