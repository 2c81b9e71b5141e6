package portal

import (
	"context"
	"log/slog"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// historyDays is how many days the chart of a route shows.
	historyDays = 30
	// historyPatience is how long a page waits for what its chart is made of. The rest of the page does not need it.
	historyPatience = time.Second
)

// History tells what was spent over time. It does not know visitors: it is asked only for routes that the source has shown to them.
type History interface {
	// Daily returns what the consumers of a route spent on each day since from, which is when a day begins in the time zone (an IANA name;
	// empty is UTC). There may be several of one day and consumer, and none where nothing was spent.
	Daily(ctx context.Context, namespace, route string, from time.Time, timeZone string) ([]Spent, error)
}

// Spent is what a consumer spent on a day.
type Spent struct {
	// Day is when the day begins.
	Day      time.Time
	Consumer string
	// Amount has in it what is uncertain, as budgets do.
	Amount money.Amount
}

// Spending is what a route spent over time: a chart, or else a note that says why there is none.
type Spending struct {
	Chart *Chart
	Note  string
}

// spending asks for the history of a route that the visitor may see.
func (p *Portal) spending(ctx context.Context, route *v1alpha1.ModelRoute) Spending {
	if p.options.History == nil {
		return Spending{Note: "What was spent on each day is not shown: these pages have not been told where the ledger is."}
	}
	ctx, cancel := context.WithTimeout(ctx, historyPatience)
	defer cancel()
	calendar, zone := dayCalendar(route)
	days := lastDays(calendar, p.options.Now(), historyDays)
	spent, err := p.options.History.Daily(ctx, route.Namespace, route.Name, days[0], zone)
	if err != nil {
		p.options.Logger.LogAttrs(ctx, slog.LevelWarn, "The history of a route cannot be read",
			slog.String("namespace", route.Namespace), slog.String("route", route.Name), slog.Any("error", err))
		return Spending{Note: "What was spent on each day cannot be read from the ledger at the moment."}
	}
	chart := newChart(spent, days, calendar.Location())
	if chart == nil {
		return Spending{Note: "Nothing was spent in the last " + plural(historyDays, "day") + "."}
	}
	return Spending{Chart: chart}
}

// dayCalendar cuts time into the days of a route: those of the time zone of its first budget, else of UTC.
func dayCalendar(route *v1alpha1.ModelRoute) (calendar budget.Calendar, zone string) {
	if len(route.Spec.Budgets) > 0 {
		zone = route.Spec.Budgets[0].Window.TimeZone
	}
	calendar, err := budget.NewCalendar(budget.Day, zone)
	if err != nil { // The route says that it is wrong; the ledger has nothing of it.
		zone = ""
		calendar, _ = budget.NewCalendar(budget.Day, zone)
	}
	return calendar, zone
}

// lastDays are when the last days begin, up to the one that now is in, the oldest first.
func lastDays(calendar budget.Calendar, now time.Time, number int) []time.Time {
	days := make([]time.Time, number)
	for i := number - 1; i >= 0; i-- {
		days[i] = calendar.WindowAt(now).Start
		now = days[i].Add(-time.Nanosecond)
	}
	return days
}
