package portal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// monday is the first of the days that these tests look at.
var monday = time.Date(2026, time.November, 23, 0, 0, 0, 0, time.UTC)

func daysFrom(first time.Time, number int) []time.Time {
	var days []time.Time
	for i := range number {
		days = append(days, first.AddDate(0, 0, i))
	}
	return days
}

func spentOn(day int, consumer string, nano int64) Spent {
	return Spent{Day: monday.AddDate(0, 0, day), Consumer: consumer, Amount: money.FromNano(nano)}
}

func TestAChartHasTheFiguresOfEachDayAndConsumer(t *testing.T) {
	chart := newChart([]Spent{
		spentOn(0, "search", 1_000_000_000), spentOn(2, "search", 2_000_000_000), spentOn(2, "search", 500_000_000),
		spentOn(2, "trial", 1_500_000_000), spentOn(1, "idle", 0), spentOn(-1, "earlier", 7),
	}, daysFrom(monday, 3), time.UTC)
	want := []Day{
		{Date: "2026-11-23", Total: "$1.00", Amounts: []string{"$1.00", ""}},
		{Date: "2026-11-25", Total: "$4.00", Amounts: []string{"$2.50", "$1.50"}},
	}
	bars := make([][]Bar, len(chart.Rows))
	for i := range chart.Rows {
		bars[i], chart.Rows[i].Bars = chart.Rows[i].Bars, nil
	}
	if diff := cmp.Diff(want, chart.Rows); diff != "" {
		t.Errorf("the days (-want +got):\n%s", diff)
	}
	series := []Series{{Name: "search", Class: "series-1", Total: "$3.50"}, {Name: "trial", Class: "series-2", Total: "$1.50"}}
	if diff := cmp.Diff(series, chart.Series); diff != "" {
		t.Errorf("the series (-want +got):\n%s", diff)
	}
	if chart.Total != "$5.00" {
		t.Errorf("in all it is %s", chart.Total)
	}
	// The top is 5 USD, so that 4 USD are four fifths of the height, and the second stands on the first.
	first, second := bars[1][0], bars[1][1]
	if len(bars[0]) != 1 || first.Y+first.Height != chartFoot || second.Y+second.Height != first.Y ||
		first.Height+second.Height != tenths(0.8*(chartFoot-chartTop)) || first.Class != "series-1" || second.Class != "series-2" {
		t.Errorf("the bars are %+v", bars)
	}
	var heights, dates []string
	for _, line := range chart.Lines {
		heights = append(heights, line.Label.Text)
	}
	for _, label := range chart.Labels {
		dates = append(dates, label.Text)
	}
	if got := strings.Join(heights, " ") + "; " + strings.Join(dates, " "); got != "$0.00 $2.50 $5.00; Nov 23 Nov 24 Nov 25" {
		t.Errorf("the labels are %s", got)
	}
}

func TestOnlyThoseWhoSpendMostHaveAColourOfTheirOwn(t *testing.T) {
	var spent []Spent
	for i := range 8 {
		spent = append(spent, spentOn(0, fmt.Sprintf("consumer-%d", i), int64(i+1)*1_000_000_000))
	}
	chart := newChart(spent, daysFrom(monday, 1), time.UTC)
	want := []Series{
		{"consumer-7", "series-1", "$8.00"}, {"consumer-6", "series-2", "$7.00"}, {"consumer-5", "series-3", "$6.00"},
		{"consumer-4", "series-4", "$5.00"}, {"consumer-3", "series-5", "$4.00"}, {"3 others", "series-others", "$6.00"},
	}
	if diff := cmp.Diff(want, chart.Series); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(chart.Rows[0].Bars) != 6 || chart.Rows[0].Amounts[5] != "$6.00" {
		t.Errorf("the day is %+v", chart.Rows[0])
	}
}

func TestWhereNothingWasSpentThereIsNoChart(t *testing.T) {
	for name, spent := range map[string][]Spent{
		"nothing": nil, "an amount of nothing": {spentOn(0, "search", 0)}, "before": {spentOn(-1, "search", 1)},
	} {
		if chart := newChart(spent, daysFrom(monday, 3), time.UTC); chart != nil {
			t.Errorf("%s: %+v", name, chart)
		}
	}
}

// parsed reads an amount as it stands in a chart; nothing for an empty one.
func parsed(t *rapid.T, text string) money.Amount {
	if text == "" {
		return money.Amount{}
	}
	amount, err := money.ParseUSD(strings.TrimPrefix(text, "$"))
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

func TestNothingOfWhatWasSpentIsMissingInAChart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want money.Amount
		var spent []Spent
		for range rapid.IntRange(1, 40).Draw(t, "entries") {
			consumer := rapid.SampledFrom(strings.Split("a b c d e f g h", " ")).Draw(t, "consumer")
			one := spentOn(rapid.IntRange(0, 6).Draw(t, "day"), consumer,
				rapid.Int64Range(0, 1_000_000_000_000).Draw(t, "nano"))
			spent, want = append(spent, one), want.Add(one.Amount)
		}
		chart := newChart(spent, daysFrom(monday, 7), time.UTC)
		if chart == nil {
			if !want.IsZero() {
				t.Fatalf("%s was spent, and there is no chart", want)
			}
			return
		}
		var bySeries, byDay, byCell money.Amount
		for _, series := range chart.Series {
			bySeries = bySeries.Add(parsed(t, series.Total))
		}
		for _, day := range chart.Rows {
			byDay = byDay.Add(parsed(t, day.Total))
			for _, amount := range day.Amounts {
				byCell = byCell.Add(parsed(t, amount))
			}
			for _, bar := range day.Bars {
				if bar.X < 0 || bar.X+bar.Width > chartEnd || bar.Y < chartTop-0.1 || bar.Y+bar.Height > chartFoot+0.1 {
					t.Fatalf("a bar is outside: %+v", bar)
				}
			}
		}
		if total := parsed(t, chart.Total); total != want || bySeries != want || byDay != want || byCell != want {
			t.Fatalf("%s was spent; in all it is %s, by series %s, by day %s, by both %s", want, total, bySeries, byDay, byCell)
		}
	})
}

func TestTheScaleIsEasyToRead(t *testing.T) {
	for most, want := range map[int64]int64{
		0: 10, 1: 10, 10: 10, 11: 20, 21: 50, 51: 100, 101: 200, 412_345_678_000: 500_000_000_000, 500_000_000_000: 500_000_000_000,
		500_000_000_001: 1_000_000_000_000, money.Max.Nano(): money.Max.Nano(),
	} {
		if got := roundScale(money.FromNano(most)).Nano(); got != want {
			t.Errorf("that of %d is %d, want %d", most, got, want)
		}
	}
}

func TestTheLastDaysAreThoseOfATimeZone(t *testing.T) {
	calendar, err := budget.NewCalendar(budget.Day, "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// In the night to October 25th the clock is turned back: that day has 25 hours.
	days := lastDays(calendar, time.Date(2026, time.October, 26, 22, 59, 0, 0, time.UTC), 3)
	want := []time.Time{
		time.Date(2026, time.October, 23, 22, 0, 0, 0, time.UTC), time.Date(2026, time.October, 24, 22, 0, 0, 0, time.UTC),
		time.Date(2026, time.October, 25, 23, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, days); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
