package budget_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
)

var periods = []budget.Period{budget.Hour, budget.Day, budget.Week, budget.Month, budget.Year}

func TestWindowsAreThoseThatAClockOnTheWallShows(t *testing.T) {
	for _, period := range periods {
		t.Run(string(period), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				calendar := newCalendar(t, period, rapid.SampledFrom(zones).Draw(t, "zone"))
				from := eventful(calendar.Location()).Draw(t, "from")
				to := from.Add(14 * time.Hour)
				begins := boundaries(period, calendar.Location(), from, to)
				window := calendar.WindowAt(from.Add(-time.Minute))
				for at := from; at.Before(to); at = at.Add(time.Minute) {
					next := calendar.WindowAt(at)
					switch {
					case begins[at] && (!next.Start.Equal(at) || !window.End.Equal(at)):
						t.Fatalf("a window begins at %v; got %v, then %v", at.In(calendar.Location()), window, next)
					case !begins[at] && next != window:
						t.Fatalf("no window begins at %v; got %v, then %v", at.In(calendar.Location()), window, next)
					}
					window = next
				}
			})
		})
	}
}

// TestEveryInstantIsInExactlyOneWindow also draws instants far from any change, with nanoseconds, before 1970 and after
// 2100.
func TestEveryInstantIsInExactlyOneWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.SampledFrom(periods).Draw(t, "period")
		calendar := newCalendar(t, period, rapid.SampledFrom(zones).Draw(t, "zone"))
		at := time.Unix(rapid.Int64Range(-5e9, 5e9).Draw(t, "unix"), rapid.Int64Range(0, 1e9-1).Draw(t, "nano"))
		window := calendar.WindowAt(at)
		if at.Before(window.Start) || !at.Before(window.End) {
			t.Fatalf("%v is not in its window %v", at, window)
		}
		if window.Start.Location() != time.UTC || window.End.Location() != time.UTC {
			t.Fatalf("%v is not in UTC", window)
		}
		for _, inside := range []time.Time{window.Start, window.End.Add(-1)} {
			if got := calendar.WindowAt(inside); got != window {
				t.Fatalf("%v is in %v, and %v in %v", at, window, inside, got)
			}
		}
		if next := calendar.WindowAt(window.End); !next.Start.Equal(window.End) {
			t.Fatalf("%v is followed by %v", window, next)
		}
		if previous := calendar.WindowAt(window.Start.Add(-1)); !previous.End.Equal(window.Start) {
			t.Fatalf("%v is preceded by %v", window, previous)
		}
	})
}

func newCalendar(t interface {
	Helper()
	Fatal(args ...any)
}, period budget.Period, zone string) budget.Calendar {
	t.Helper()
	calendar, err := budget.NewCalendar(period, zone)
	if err != nil {
		t.Fatal(err)
	}
	return calendar
}

func TestWindowsAreThoseOfTheCalendar(t *testing.T) {
	checkWindows(t, map[string]windowCase{
		"no zone is UTC":          {budget.Day, "", "2026-05-05T23:59:59Z", "2026-05-05T00:00+00:00/2026-05-06T00:00+00:00"},
		"a week begins on Monday": {budget.Week, "UTC", "2026-11-01T12:00:00Z", "2026-10-26T00:00+00:00/2026-11-02T00:00+00:00"},
		"Monday begins its week":  {budget.Week, "UTC", "2026-11-02T00:00:00Z", "2026-11-02T00:00+00:00/2026-11-09T00:00+00:00"},
		"a week over New Year":    {budget.Week, "UTC", "2027-01-01T00:00:00Z", "2026-12-28T00:00+00:00/2027-01-04T00:00+00:00"},
		"February of a leap year": {budget.Month, "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00+00:00/2028-03-01T00:00+00:00"},
		"December ends the year":  {budget.Month, "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00+00:00/2027-01-01T00:00+00:00"},
		"a month in Berlin": {budget.Month, "Europe/Berlin", "2026-10-31T23:00:00Z",
			"2026-11-01T00:00+01:00/2026-12-01T00:00+01:00"},
		"a month with a change": {budget.Month, "Europe/Berlin", "2026-10-31T22:59:59Z",
			"2026-10-01T00:00+02:00/2026-11-01T00:00+01:00"},
		"a year in New York": {budget.Year, "America/New_York", "2027-01-01T04:59:59Z",
			"2026-01-01T00:00-05:00/2027-01-01T00:00-05:00"},
		"a day of 23 hours": {budget.Day, "Europe/Berlin", "2026-03-29T12:00:00Z",
			"2026-03-29T00:00+01:00/2026-03-30T00:00+02:00"},
		"a day of 25 hours": {budget.Day, "Europe/Berlin", "2026-10-25T12:00:00Z",
			"2026-10-25T00:00+02:00/2026-10-26T00:00+01:00"},
		"the same in New York, 23": {budget.Day, "America/New_York", "2026-03-08T12:00:00Z",
			"2026-03-08T00:00-05:00/2026-03-09T00:00-04:00"},
		"the same in New York, 25": {budget.Day, "America/New_York", "2026-11-01T12:00:00Z",
			"2026-11-01T00:00-04:00/2026-11-02T00:00-05:00"},
		"a week of 167 hours": {budget.Week, "Europe/Berlin", "2026-03-29T12:00:00Z",
			"2026-03-23T00:00+01:00/2026-03-30T00:00+02:00"},
		"a day of 24.5 hours": {budget.Day, "Australia/Lord_Howe", "2026-04-05T00:00:00Z",
			"2026-04-05T00:00+11:00/2026-04-06T00:00+10:30"},
	})
}

func TestDaysBeginWithTheFirstMidnightShownOrSkipped(t *testing.T) {
	checkWindows(t, map[string]windowCase{
		"a midnight that is skipped in Sao Paulo": {budget.Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z",
			"2018-11-04T01:00-02:00/2018-11-05T00:00-02:00"},
		"the day before it": {budget.Day, "America/Sao_Paulo", "2018-11-04T02:59:59Z",
			"2018-11-03T00:00-03:00/2018-11-04T01:00-02:00"},
		"a midnight that is skipped in Cairo": {budget.Day, "Africa/Cairo", "2024-04-26T12:00:00Z",
			"2024-04-26T01:00+03:00/2024-04-27T00:00+03:00"},
		"a clock that is turned back just before November in Cairo": {budget.Month, "Africa/Cairo", "2024-10-31T21:30:00Z",
			"2024-10-01T00:00+03:00/2024-11-01T00:00+02:00"},
		"a midnight that is skipped in Beirut": {budget.Day, "Asia/Beirut", "2022-03-27T12:00:00Z",
			"2022-03-27T01:00+03:00/2022-03-28T00:00+03:00"},
		"a midnight that is shown twice in Havana": {budget.Day, "America/Havana", "2026-11-01T05:30:00Z",
			"2026-11-01T00:00-04:00/2026-11-02T00:00-05:00"},
		"a day that is shown again for an hour, after one minute of the next, in St. John's": {budget.Day, "America/St_Johns",
			"2010-11-07T03:00:00Z", "2010-11-07T00:00-02:30/2010-11-08T00:00-03:30"},
		"a week without the Friday that Apia skipped": {budget.Week, "Pacific/Apia", "2011-12-30T12:00:00Z",
			"2011-12-26T00:00-10:00/2012-01-02T00:00+14:00"},
		"the last day before the Friday that Apia skipped": {budget.Day, "Pacific/Apia", "2011-12-30T09:59:59Z",
			"2011-12-29T00:00-10:00/2011-12-31T00:00+14:00"},
		"the day after it": {budget.Day, "Pacific/Apia", "2011-12-30T10:00:00Z",
			"2011-12-31T00:00+14:00/2012-01-01T00:00+14:00"},
		"a New Year right after a day that was skipped, in Kiritimati": {budget.Year, "Pacific/Kiritimati", "1995-01-01T00:00:00Z",
			"1995-01-01T00:00+14:00/1996-01-01T00:00+14:00"},
		"the last day of a leap year, for which ZoneBounds is wrong": {budget.Day, "Europe/Berlin", "2040-12-31T12:00:00Z",
			"2040-12-31T00:00+01:00/2041-01-01T00:00+01:00"},
	})
}

func TestHoursFollowTheMinuteHand(t *testing.T) {
	checkWindows(t, map[string]windowCase{
		"an hour": {budget.Hour, "Europe/Berlin", "2026-05-05T10:59:59Z",
			"2026-05-05T12:00+02:00/2026-05-05T13:00+02:00"},
		"the hour before one skipped": {budget.Hour, "Europe/Berlin", "2026-03-29T00:30:00Z",
			"2026-03-29T01:00+01:00/2026-03-29T03:00+02:00"},
		"an hour shown twice, first": {budget.Hour, "Europe/Berlin", "2026-10-25T00:30:00Z",
			"2026-10-25T02:00+02:00/2026-10-25T02:00+01:00"},
		"an hour shown twice, second": {budget.Hour, "Europe/Berlin", "2026-10-25T01:30:00Z",
			"2026-10-25T02:00+01:00/2026-10-25T03:00+01:00"},
		"an hour in Kathmandu": {budget.Hour, "Asia/Kathmandu", "2026-05-05T06:00:00Z",
			"2026-05-05T11:00+05:45/2026-05-05T12:00+05:45"},
		"an hour of Ramadan's change": {budget.Hour, "Africa/Casablanca", "2026-02-15T02:30:00Z",
			"2026-02-15T02:00+00:00/2026-02-15T03:00+00:00"},
		"Lord Howe before its spring": {budget.Hour, "Australia/Lord_Howe", "2026-10-03T15:29:59Z",
			"2026-10-04T01:00+10:30/2026-10-04T02:30+11:00"},
		"Lord Howe's half hour, spring": {budget.Hour, "Australia/Lord_Howe", "2026-10-03T15:30:00Z",
			"2026-10-04T02:30+11:00/2026-10-04T03:00+11:00"},
		"Lord Howe before its autumn": {budget.Hour, "Australia/Lord_Howe", "2026-04-04T14:59:59Z",
			"2026-04-05T01:00+11:00/2026-04-05T01:30+10:30"},
		"Lord Howe's half hour, autumn": {budget.Hour, "Australia/Lord_Howe", "2026-04-04T15:00:00Z",
			"2026-04-05T01:30+10:30/2026-04-05T02:00+10:30"},
		"Caracas turned its clock on at half past two": {budget.Hour, "America/Caracas", "2016-05-01T06:59:59Z",
			"2016-05-01T02:00-04:30/2016-05-01T03:00-04:00"},
		"and had a whole hour then": {budget.Hour, "America/Caracas", "2016-05-01T07:00:00Z",
			"2016-05-01T03:00-04:00/2016-05-01T04:00-04:00"},
		"an hour west of UTC, half an hour off it": {budget.Hour, "America/St_Johns", "2026-01-01T12:15:00Z",
			"2026-01-01T08:00-03:30/2026-01-01T09:00-03:30"},
		"a change at a minute past midnight leaves the hour whole": {budget.Hour, "America/St_Johns", "2010-11-07T02:31:00Z",
			"2010-11-07T00:00-02:30/2010-11-07T00:00-03:30"},
	})
}

// windowCase says which window an instant is in: its start/end, in the zone.
type windowCase struct {
	period         budget.Period
	zone, at, want string
}

func checkWindows(t *testing.T, cases map[string]windowCase) {
	t.Helper()
	const layout = "2006-01-02T15:04-07:00"
	for reason, test := range cases {
		t.Run(reason, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, test.at)
			if err != nil {
				t.Fatal(err)
			}
			calendar := newCalendar(t, test.period, test.zone)
			window := calendar.WindowAt(at)
			got := window.Start.In(calendar.Location()).Format(layout) + "/" + window.End.In(calendar.Location()).Format(layout)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("window (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATotalWindowNeverEnds(t *testing.T) {
	calendar := newCalendar(t, budget.Total, "Europe/Berlin")
	want := budget.Window{Start: time.Unix(0, 0).UTC()}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(1_790_000_000, 0), time.Unix(1<<40, 0)} {
		if got := calendar.WindowAt(at); got != want {
			t.Errorf("%v is in %v, want %v", at, got, want)
		}
	}
}

func TestAWindowOfSecondsIsCountedFrom1970(t *testing.T) {
	calendar := newCalendar(t, budget.Every(90), "")
	for at, start := range map[int64]int64{0: 0, 89: 0, 90: 90, 1_790_000_009: 1_789_999_920, -1: -90, -90: -90, -91: -180} {
		want := budget.Window{Start: time.Unix(start, 0).UTC(), End: time.Unix(start+90, 0).UTC()}
		if got := calendar.WindowAt(time.Unix(at, 999)); got != want {
			t.Errorf("%d is in %v, want %v", at, got, want)
		}
	}
}

func TestCalendarsThatCannotBe(t *testing.T) {
	for reason, test := range map[string]struct {
		period budget.Period
		zone   string
	}{
		"no period":                             {"", "UTC"},
		"a period of another case":              {"month", "UTC"},
		"a period that is not offered":          {"Quarter", "UTC"},
		"a period of no seconds":                {budget.Every(0), "UTC"},
		"a period of less than no seconds":      {budget.Every(-60), "UTC"},
		"a period of more than a year":          {budget.Every(400 * 24 * 3600), "UTC"},
		"a period of seconds without a number":  {"s", "UTC"},
		"a zone that does not exist":            {budget.Day, "Mars/Phobos"},
		"a zone of another case":                {budget.Day, "europe/berlin"},
		"an abbreviation that IANA has not":     {budget.Day, "CEST"},
		"an offset":                             {budget.Day, "+02:00"},
		"the machine's own zone":                {budget.Day, "Local"},
		"the machine's own zone, by its file":   {budget.Day, "localtime"},
		"a zone that counts leap seconds":       {budget.Day, "right/Europe/Berlin"},
		"a path out of the database":            {budget.Day, "../../etc/localtime"},
		"an absolute path":                      {budget.Day, "/etc/localtime"},
		"a path that begins like a zone":        {budget.Day, "Europe/../../../etc/localtime"},
		"a zone of a Total budget is read, too": {budget.Total, "Mars/Phobos"},
		"a zone with a space":                   {budget.Day, " UTC"},
	} {
		t.Run(reason, func(t *testing.T) {
			_, err := budget.NewCalendar(test.period, test.zone)
			if err == nil {
				t.Fatal("is accepted")
			}
			if culprit := fmt.Sprintf("%q", test.zone); test.period == budget.Day && !strings.Contains(err.Error(), culprit) {
				t.Errorf("the error %q does not name %s", err, culprit)
			}
		})
	}
}
