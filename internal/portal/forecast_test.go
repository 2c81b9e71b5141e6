package portal

import (
	"math"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

func TestAForecastGoesOnAsTheWindowDidSoFar(t *testing.T) {
	usd := func(text string) money.Amount {
		amount, err := money.ParseUSD(text)
		if err != nil {
			t.Fatal(err)
		}
		return amount
	}
	month := budget.Window{Start: time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)}
	day := budget.Window{Start: time.Date(2026, time.November, 27, 0, 0, 0, 0, time.UTC), End: time.Date(2026, time.November, 28, 0, 0, 0, 0, time.UTC)}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		spent   string
		window  budget.Window
		elapsed time.Duration
		want    string
	}{
		"a third of it by the middle": {"33.333333333", month, 15 * 24 * time.Hour, "At this rate it is about $66.70 by the end."},
		"half of it by the middle":    {"50", month, 15 * 24 * time.Hour, "At this rate it is about $100.00 by the end."},
		"a little more than half":     {"50.000001", month, 15 * 24 * time.Hour, "At this rate it is used up on 2026-12-01."},
		"80 % after ten days":         {"80", month, 10 * 24 * time.Hour, "At this rate it is used up on 2026-11-13."},
		"most of a day's by noon":     {"75", day, 12 * time.Hour, "At this rate it is used up at 17:00 CET."},
		"very little":                 {"0.000000001", month, 15 * 24 * time.Hour, "At this rate it is about $0.000000002 by the end."},
		"less than 2 % of it is over": {"10", month, 14 * time.Hour, ""},
		"just 2 % of it is over":      {"1", month, 14*time.Hour + 24*time.Minute, "At this rate it is about $50.00 by the end."},
		"2 % of a day, but no hour":   {"10", day, 59 * time.Minute, ""},
		"an hour of a day":            {"1", day, time.Hour, "At this rate it is about $24.00 by the end."},
		"nothing is spent":            {"0", month, 15 * 24 * time.Hour, ""},
		"all is spent":                {"100", month, 15 * 24 * time.Hour, ""},
		"more than all is spent":      {"101", month, 15 * 24 * time.Hour, ""},
		"the window is over":          {"10", month, 30 * 24 * time.Hour, ""},
		"the window has not begun":    {"10", month, -time.Hour, ""},
		"nearly all on the first day": {"99", month, 24 * time.Hour, "At this rate it is used up on 2026-11-02."},
	} {
		t.Run(name, func(t *testing.T) {
			got := forecast(usd(test.spent), usd("100"), test.window, berlin, test.window.Start.Add(test.elapsed))
			if got != test.want {
				t.Errorf("it says %q, want %q", got, test.want)
			}
		})
	}
}

func TestAProportionIsExactAndEndsWhereNumbersDo(t *testing.T) {
	for _, test := range [][4]int64{
		{7, 3, 2, 10}, {0, 5, 3, 0}, {math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64}, {math.MaxInt64, 2, 1, math.MaxInt64},
	} {
		if got := proportion(test[0], test[1], test[2]); got != test[3] {
			t.Errorf("%d × %d ÷ %d is %d, want %d", test[0], test[1], test[2], got, test[3])
		}
	}
}
