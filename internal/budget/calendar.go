package budget

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Period is how long a window of a budget lasts on the calendar.
type Period string

const (
	// Hour is an hour of real time, from minute 0 to minute 0 of the zone's clock.
	Hour Period = "Hour"
	// Day begins at midnight. It has 23 or 25 hours when the clock is changed.
	Day Period = "Day"
	// Week begins on Monday.
	Week Period = "Week"
	// Month begins on the 1st.
	Month Period = "Month"
	// Year begins on January 1st.
	Year Period = "Year"
	// Total is one window that never ends.
	Total Period = "Total"
)

// Every is the period of a rate limit: so many seconds, counted from 1970 in UTC, whatever the calendar says.
func Every(seconds int64) Period { return Period(strconv.FormatInt(seconds, 10) + "s") }

// Seconds returns how long a period of seconds is; false for one of the calendar.
func (p Period) Seconds() (seconds int64, is bool) {
	digits, is := strings.CutSuffix(string(p), "s")
	if !is {
		return 0, false
	}
	seconds, err := strconv.ParseInt(digits, 10, 64)
	return seconds, err == nil && seconds > 0 && seconds <= maxSeconds
}

// maxSeconds is the longest period of seconds: a year, far from where a time overflows.
const maxSeconds = 366 * 24 * 60 * 60

// Window is the half-open span [Start, End) of a budget. Both are instants in UTC. The End of a Total window is zero.
type Window struct {
	Start, End time.Time
}

// Calendar cuts time into the windows of one period in one time zone. Every instant is in exactly one of them, and each
// ends where the next begins. Make it with NewCalendar.
//
// Where the zone's clock is changed, these rules decide:
//
//   - A Day, Week, Month or Year begins at the first instant at which the clock shows its first midnight or anything
//     later. Where that midnight is skipped, the window begins with the change; where it is shown twice, at the first.
//   - A day that the zone skips altogether, such as 2011-12-30 in Pacific/Apia, has no window.
//   - An Hour that the clock shows twice is two windows. A change by part of an hour, as in Australia/Lord_Howe, ends the
//     Hour, and what the new clock leaves of the hour then shown is a window of its own, shorter than an hour.
type Calendar struct {
	period   Period
	location *time.Location
	// seconds is how long a window is that is not of the calendar; otherwise 0.
	seconds int64
}

// NewCalendar makes the calendar of a period in a time zone, which is an IANA name such as "Europe/Berlin"; "" is UTC.
// A zone that depends on the machine, such as "Local", is an error, because two machines would disagree on a window.
func NewCalendar(period Period, timeZone string) (Calendar, error) {
	seconds, ofSeconds := period.Seconds()
	switch period {
	case Hour, Day, Week, Month, Year, Total:
	default:
		if !ofSeconds {
			return Calendar{}, fmt.Errorf("period %q is not known", period)
		}
	}
	// Every IANA name begins with a capital. What does not is some other file beside the time zone database: "localtime",
	// "posixrules", or a copy of it that counts leap seconds, below "right/".
	if timeZone == "Local" || timeZone != "" && (timeZone[0] < 'A' || timeZone[0] > 'Z') {
		return Calendar{}, fmt.Errorf("time zone %q is no IANA name", timeZone)
	}
	location, err := time.LoadLocation(timeZone)
	if err != nil {
		return Calendar{}, fmt.Errorf("time zone %q: %w", timeZone, err)
	}
	return Calendar{period: period, location: location, seconds: seconds}, nil
}

// Location returns the time zone, for showing when a window ends.
func (c Calendar) Location() *time.Location { return c.location }

// WindowAt returns the window that t is in. The Total window begins at the Unix epoch, and every instant is in it.
func (c Calendar) WindowAt(t time.Time) Window {
	switch c.period {
	case Total:
		return Window{Start: time.Unix(0, 0).UTC()}
	case Hour:
		return c.hourAt(t)
	default: // The others begin at midnight.
	}
	if c.seconds > 0 {
		start := t.Unix() - (t.Unix()%c.seconds+c.seconds)%c.seconds
		return Window{Start: time.Unix(start, 0).UTC(), End: time.Unix(start+c.seconds, 0).UTC()}
	}
	first := c.firstMidnight(c.clock(t))
	window := Window{Start: c.whenReached(first)}
	for {
		first = c.nextMidnight(first)
		window.End = c.whenReached(first)
		if window.End.After(t) {
			return window
		}
		// The clock has shown this window's end before t and was turned back over it since.
		window.Start = window.End
	}
}

// clock returns what a clock in the zone shows at t. As everywhere below, what a clock shows is written as a time in UTC.
func (c Calendar) clock(t time.Time) time.Time {
	return t.UTC().Add(c.offset(t))
}

// offset is how far the zone's clock is ahead of UTC at t.
func (c Calendar) offset(t time.Time) time.Duration {
	_, seconds := t.In(c.location).Zone()
	return time.Duration(seconds) * time.Second
}

// firstMidnight returns the midnight with which the period begins that a clock is in.
func (c Calendar) firstMidnight(clock time.Time) time.Time {
	year, month, day := clock.Date()
	switch c.period {
	case Week:
		sinceMonday := (int(clock.Weekday()) + 6) % 7
		return date(year, month, day-sinceMonday)
	case Month:
		return date(year, month, 1)
	case Year:
		return date(year, time.January, 1)
	default:
		return date(year, month, day)
	}
}

// nextMidnight returns the midnight with which the period ends that begins with first.
func (c Calendar) nextMidnight(first time.Time) time.Time {
	switch c.period {
	case Week:
		return first.AddDate(0, 0, 7)
	case Month:
		return first.AddDate(0, 1, 0)
	case Year:
		return first.AddDate(1, 0, 0)
	default:
		return first.AddDate(0, 0, 1)
	}
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// whenReached returns the first instant at which the zone's clock shows the given time or a later one. time.Date would
// not do: it may answer with either side of a change of the clock. Nor would Time.ZoneBounds, whose end can lie before its
// time (https://go.dev/issue/81583); the offset at an instant is all that is asked of the zone.
func (c Calendar) whenReached(clock time.Time) time.Time {
	// No clock is a whole day off UTC, and none is changed twice within two days.
	before, after := clock.AddDate(0, 0, -1), clock.AddDate(0, 0, 1)
	old := c.offset(before)
	change := firstSecond(before, after, func(t time.Time) bool { return c.offset(t) != old })
	if reached := clock.Add(-old); reached.Before(change) {
		return reached
	}
	if reached := clock.Add(-c.offset(change)); reached.After(change) {
		return reached
	}
	return change // It skipped the time.
}

// hourAt returns the Hour window that t is in. Only a change that moves the minute hand can cut it short: one by whole
// hours does not, and is no reason to cut an hour of real time short.
func (c Calendar) hourAt(t time.Time) Window {
	t = t.UTC().Truncate(time.Second)
	hand := c.minuteHand(t)
	start := t.Add(hand).Truncate(time.Hour).Add(-hand)
	return Window{
		Start: firstSecond(start, t, func(t time.Time) bool { return c.minuteHand(t) == hand }),
		End:   firstSecond(t, start.Add(time.Hour), func(t time.Time) bool { return c.minuteHand(t) != hand }),
	}
}

// minuteHand is how far the minute hand of the zone's clock is ahead of that of UTC or, west of it, behind.
func (c Calendar) minuteHand(t time.Time) time.Duration {
	return c.offset(t) % time.Hour
}

// firstSecond returns the first second from from on at which a condition holds that, once it holds, does until to; to if
// it does not hold before.
func firstSecond(from, to time.Time, holds func(time.Time) bool) time.Time {
	seconds := sort.Search(int(to.Sub(from)/time.Second), func(n int) bool {
		return holds(from.Add(time.Duration(n) * time.Second))
	})
	return from.Add(time.Duration(seconds) * time.Second)
}
