package inspect

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// pageSize is how many windows are looked at at a time.
const pageSize = 500

// never is later than every time in the books.
const never = int64(1) << 62

// window is a row of windows with what it is about.
type window struct {
	account, start int64
	booked         store.Spend
	about          string
	active         bool
	scope          int64
	budget         store.Budget
	// ends is what its calendar says of the window that begins at start.
	ends budget.Window
	// history is what was spent in it; out and silent what is out with proxies that are heard and with those that are silent.
	history     store.Spend
	out, silent money.Amount
}

// windows expects every window's row to be what it would be if it were summed now.
func (p *prover) windows() error {
	account, start := int64(math.MinInt64), int64(math.MinInt64)
	for {
		page, err := p.pageAfter(account, start)
		if err != nil || len(page) == 0 {
			return err
		}
		sound := make([]*window, 0, len(page))
		p.verdict.Windows += int64(len(page))
		for _, w := range page {
			if p.begins(w) {
				sound = append(sound, w)
			}
		}
		if err := p.sum(sound); err != nil {
			return err
		}
		for _, w := range sound {
			p.window(w)
		}
		last := page[len(page)-1]
		account, start = last.account, last.start
	}
}

// pageAfter reads the windows that follow one.
func (p *prover) pageAfter(account, start int64) ([]*window, error) {
	var page []*window
	err := p.Rows(`SELECT account_id, start, windows.settled, windows.uncertain, leased, scope_id, namespace, routes.name, consumer,
		accounts.name, unit, accounts.active, ceiling, period, time_zone, enforcement, upstream, except_upstream
		FROM windows JOIN accounts ON accounts.id = account_id JOIN scopes ON scopes.id = scope_id JOIN routes ON routes.id = route_id
		WHERE (account_id, start) > ($1, $2) ORDER BY account_id, start LIMIT $3`,
		func(scan Scan) error {
			w := &window{}
			var settled, uncertain, leased, limit int64
			var key store.RouteKey
			err := scan(&w.account, &w.start, &settled, &uncertain, &leased, &w.scope, &key.Namespace, &key.Name, &w.budget.Consumer,
				&w.budget.Name, &w.budget.Unit, &w.active, &limit, &w.budget.Period, &w.budget.TimeZone, &w.budget.Enforcement,
				&w.budget.Upstream, &w.budget.Except)
			w.booked = store.Spend{
				Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased),
			}
			w.budget.Limit = money.FromNano(limit)
			w.about = accountName(&w.budget, key) + " in the window from " + instant(w.start)
			page = append(page, w)
			return err
		}, account, start, pageSize)
	return page, err
}

// begins expects a window to be one of its budget's.
func (p *prover) begins(w *window) bool {
	if !w.active {
		p.found(w.about, "the window is there though the budget was taken away")
		return false
	}
	calendar, err := p.calendar(w.budget.Period, w.budget.TimeZone)
	if err != nil {
		p.found(w.about, "the budget's calendar is none: %v", err)
		return false
	}
	w.ends = calendar.WindowAt(time.UnixMilli(w.start))
	if w.ends.Start.UnixMilli() != w.start {
		p.found(w.about, "no %s begins then in the time zone %q", w.budget.Period, w.budget.TimeZone)
		return false
	}
	return true
}

// calendarKey names a calendar. Calendars are shared, since each holds the history of its time zone.
type calendarKey struct {
	period   budget.Period
	timeZone string
}

func (p *prover) calendar(period budget.Period, timeZone string) (budget.Calendar, error) {
	key := calendarKey{period: period, timeZone: timeZone}
	if known, ok := p.calendars[key]; ok {
		return known, nil
	}
	made, err := budget.NewCalendar(period, timeZone)
	if err == nil {
		p.calendars[key] = made
	}
	return made, err
}

// The windows of a page come first in each query, so that a database looks up for each what belongs to it, and does not read its whole
// table for every page. SQLite does so because of CROSS JOIN.
const (
	sumHistory = ` SELECT n, CAST(sum(settled >> 30) AS BIGINT), CAST(sum(settled & 1073741823) AS BIGINT),
		CAST(sum(uncertain >> 30) AS BIGINT), CAST(sum(uncertain & 1073741823) AS BIGINT)
		FROM wanted CROSS JOIN accounts CROSS JOIN history
		WHERE accounts.id = account AND history.scope_id = scope AND history.bucket >= wanted.bucket AND history.bucket < until
		AND (accounts.upstream = '' OR history.upstream = accounts.upstream)
		AND (except_upstream = '' OR history.upstream <> except_upstream) GROUP BY n`

	sumLeases = ` SELECT n, silent, CAST(sum((granted - taken) >> 30) AS BIGINT), CAST(sum((granted - taken) & 1073741823) AS BIGINT)
		FROM wanted CROSS JOIN leases JOIN proxies ON proxies.id = leases.proxy_id
		WHERE account_id = account AND granted_at >= since AND granted_at < until GROUP BY n, silent`
)

// sum adds up what belongs to each window of a page: the history since it began, and the leases that were last added to in it.
func (p *prover) sum(page []*window) error {
	if len(page) == 0 {
		return nil
	}
	wanted := wantedOf(page)
	err := p.Rows(wanted+sumHistory, func(scan Scan) error {
		var n int64
		var settled, uncertain parts
		if err := scan(&n, &settled.high, &settled.low, &uncertain.high, &uncertain.low); err != nil {
			return err
		}
		page[n].history = store.Spend{Settled: settled.amount(), Uncertain: uncertain.amount()}
		return nil
	})
	if err != nil {
		return err
	}
	return p.Rows(wanted+sumLeases, func(scan Scan) error {
		var n int64
		var silent bool
		var out parts
		if err := scan(&n, &silent, &out.high, &out.low); err != nil {
			return err
		}
		if silent {
			page[n].silent = out.amount()
		} else {
			page[n].out = out.amount()
		}
		return nil
	})
}

// wantedOf is a page as a table with its number in the page, and what to look for. All of it are numbers.
func wantedOf(page []*window) string {
	var text strings.Builder
	text.WriteString("WITH wanted (n, scope, account, bucket, since, until) AS (VALUES ")
	for n, w := range page {
		if n > 0 {
			text.WriteString(", ")
		}
		until := never
		if !w.ends.End.IsZero() {
			until = w.ends.End.UnixMilli()
		}
		fmt.Fprintf(&text, "(%d, %d, %d, %d, %d, %d)", n, w.scope, w.account, w.start-w.start%store.Bucket.Milliseconds(), w.start, until)
	}
	text.WriteString(")")
	return text.String()
}

// window compares a window's row with what it is the sum of.
func (p *prover) window(w *window) {
	unit, history := w.budget.Unit, w.history
	if unit != budget.USD {
		history = store.Spend{Settled: w.booked.Settled} // Of requests and tokens there is no history to sum.
	}
	uncertain := saturated(history.Uncertain.Add(w.silent))
	p.differ(w.about, "settled", unit, w.booked.Settled, history.Settled, "the sum of the history")
	p.differ(w.about, "uncertain", unit, w.booked.Uncertain, uncertain, "the sum of the history and of what is out with silent proxies")
	p.differ(w.about, "leased", unit, w.booked.Leased, w.out, "the sum of what is out with proxies that are not silent")
	p.noteDebt(w)
}

// noteDebt notes a budget that denies and of whose current window more is spent or out than its limit.
func (p *prover) noteDebt(w *window) {
	over := w.booked.Settled.Add(w.booked.Uncertain).Add(w.booked.Leased).Sub(w.budget.Limit)
	isCurrent := !p.now.Before(w.ends.Start) && (w.ends.End.IsZero() || p.now.Before(w.ends.End))
	if w.budget.Enforcement != budget.Deny || !isCurrent || over.IsNegative() || over.IsZero() {
		return
	}
	in := w.budget.Unit.Format
	p.verdict.Debts = append(p.verdict.Debts, store.Finding{About: w.about, Problem: fmt.Sprintf(
		"%s over the limit of %s: %s settled, %s uncertain, %s out with proxies",
		in(over), in(w.budget.Limit), in(w.booked.Settled), in(w.booked.Uncertain), in(w.booked.Leased))})
}
