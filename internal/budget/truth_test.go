package budget_test

import (
	"time"
	_ "time/tzdata" // The truth is the same on every machine.

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
)

// The truth that windows are tested against is a clock on the wall, read every minute. It knows nothing of offsets or of
// changes; it only compares what it reads with what it has read before.

// zones have had, since 1975, what a clock can do: changes at night and at midnight, in either direction and by half an
// hour, zones that are not whole hours off UTC, days that were skipped, and none of this.
var zones = []string{
	"", "UTC", "Europe/Berlin", "Europe/London", "Europe/Lisbon", "America/New_York", "America/Sao_Paulo", "America/Havana",
	"America/St_Johns", "America/Asuncion", "America/Caracas", "America/Santo_Domingo", "Africa/Cairo", "Africa/Casablanca",
	"Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Pyongyang", "Asia/Tehran",
	"Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Kwajalein", "Antarctica/Troll",
}

// reading is what a clock on the wall shows, comparable in the order in which a clock should show it.
type reading struct{ year, month, day, hour, minute int }

func read(at time.Time, location *time.Location) reading {
	local := at.In(location)
	return reading{local.Year(), int(local.Month()), local.Day(), local.Hour(), local.Minute()}
}

func (r reading) before(other reading) bool {
	a := [...]int{r.year, r.month, r.day, r.hour, r.minute}
	b := [...]int{other.year, other.month, other.day, other.hour, other.minute}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// periodOf names the calendar period that a reading belongs to. Two readings are of one period if the names are equal.
func periodOf(r reading, period budget.Period) [3]int {
	switch period {
	case budget.Year:
		return [3]int{r.year}
	case budget.Month:
		return [3]int{r.year, r.month}
	case budget.Week:
		year, week := time.Date(r.year, time.Month(r.month), r.day, 0, 0, 0, 0, time.UTC).ISOWeek()
		return [3]int{year, week}
	default:
		return [3]int{r.year, r.month, r.day}
	}
}

// boundaries returns the minutes in [from, to) at which a window begins.
//
// A Day or a longer period begins when the clock shows it for the first time; that an earlier period is then shown once
// more, because the clock was turned back, ends nothing. So it is the latest reading so far that counts. An Hour begins
// whenever the minute hand shows 0, or anything else than one minute more than a minute ago.
func boundaries(period budget.Period, location *time.Location, from, to time.Time) map[time.Time]bool {
	const turnedBackAtMost = 26 * time.Hour
	begins := map[time.Time]bool{}
	minuteAgo := read(from.Add(-turnedBackAtMost), location)
	latest := minuteAgo
	for at := from.Add(time.Minute - turnedBackAtMost); at.Before(to); at = at.Add(time.Minute) {
		now, before := read(at, location), latest
		if latest.before(now) {
			latest = now
		}
		begin := periodOf(latest, period) != periodOf(before, period)
		if period == budget.Hour {
			begin = now.minute == 0 || now.minute != minuteAgo.minute+1
		}
		if begin && !at.Before(from) {
			begins[at] = true
		}
		minuteAgo = now
	}
	return begins
}

// eventful draws a minute that is a few hours before a change of the clock, if the zone has one after a drawn instant.
func eventful(location *time.Location) *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		const year1975, year2045 = 157_766_400, 2_366_841_600
		at := time.Unix(rapid.Int64Range(year1975, year2045).Draw(t, "unix"), 0)
		if _, change := at.In(location).ZoneBounds(); !change.IsZero() {
			at = change
		}
		early := rapid.Int64Range(0, 60*8).Draw(t, "minutes before")
		return at.UTC().Truncate(time.Minute).Add(-time.Duration(early) * time.Minute)
	})
}
