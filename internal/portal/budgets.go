package portal

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
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
	if status.ResetTime != nil {
		b.Resets, b.ResetTime = resets(spec.Window, status.ResetTime, now)
	}
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

// resets says when a window ends, from now and by the clock of its time zone.
func resets(of v1alpha1.Window, at *metav1.Time, now time.Time) (in, when string) {
	location := time.UTC
	if calendar, err := budget.NewCalendar(budget.Period(of.Period), of.TimeZone); err == nil {
		location = calendar.Location()
	}
	in = "now"
	if left := at.Sub(now); left > 0 {
		in = "in " + roughly(left)
	}
	return in, at.In(location).Format("2006-01-02 15:04 MST")
}
