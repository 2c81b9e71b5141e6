package portal_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/portal"
)

// today is when the day of now begins in the time zone of the sample's budget.
var today = time.Date(2026, time.November, 26, 23, 0, 0, 0, time.UTC)

// books are a history that says what it is told to, fails, or never answers.
type books struct {
	spent  []portal.Spent
	err    error
	silent bool
	// asked says what was asked for last.
	asked []string
	from  time.Time
}

func (b *books) Daily(ctx context.Context, namespace, route string, from time.Time, timeZone string) ([]portal.Spent, error) {
	b.asked, b.from = []string{namespace, route, timeZone}, from
	if b.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.spent, b.err
}

// someSpend is what search spends on each day, and trial once.
func someSpend() []portal.Spent {
	all := []portal.Spent{{Day: today, Consumer: "trial", Amount: money.FromNano(10_000_000)}}
	for day := range 5 {
		all = append(all, portal.Spent{Day: today.AddDate(0, 0, -day), Consumer: "search", Amount: money.FromNano(int64(5-day) * 400_000_000)})
	}
	return all
}

// withHistory is a portal of the sample route, and its log.
func withHistory(t *testing.T, history portal.History) (*portal.Portal, *bytes.Buffer) {
	var log bytes.Buffer
	return portal.New(portal.Options{
		Source: &source{routes: []v1alpha1.ModelRoute{*sample(t)}}, History: history,
		Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}), &log
}

func TestARoutesPageShowsWhatWasSpentEachDayAndByWhom(t *testing.T) {
	history := &books{spent: someSpend()}
	pages, _ := withHistory(t, history)
	_, body := get(t, pages, samplePath)
	wantContains(t, body, "<strong>$6.01</strong> in the last 30 days", "(days of Europe/Berlin)", `aria-hidden="true"`, `<rect class="series-1"`,
		`<rect class="series-2"`, "<title>2026-11-27: $2.01</title>", "search <span class=\"muted\">$6.00</span>",
		`<th scope="row" class="whole">2026-11-27</th><td class="number">$2.00</td><td class="number">$0.01</td><td class="number">$2.01</td>`,
		`<th scope="row" class="whole">2026-11-23</th><td class="number">$0.40</td><td class="number"></td><td class="number">$0.40</td>`)
	if want := today.AddDate(0, 0, -29); !history.from.Equal(want) {
		t.Errorf("the history is asked for since %s, want %s", history.from, want)
	}
	wantContains(t, history.asked[0]+" "+history.asked[1]+" "+history.asked[2], "ai-platform mixtral-8x22b-instruct Europe/Berlin")
}

func TestTheHistoryIsNotAskedForWhatAVisitorMayNotSee(t *testing.T) {
	history := &books{}
	pages := portal.New(portal.Options{
		Source: &source{routes: []v1alpha1.ModelRoute{*sample(t)}, err: portal.ErrForbidden}, History: history,
		Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	if answer, _ := get(t, pages, samplePath); answer.StatusCode != http.StatusForbidden || history.asked != nil {
		t.Errorf("%s, and the history is asked for %v", answer.Status, history.asked)
	}
}

func TestAPageIsThereWithoutItsHistory(t *testing.T) {
	for name, test := range map[string]struct {
		history portal.History
		want    string
	}{
		"no ledger":                 {nil, "is not shown: these pages have not been told where the ledger is"},
		"a ledger that fails":       {&books{err: errors.New("the secret reason")}, "cannot be read from the ledger at the moment"},
		"a ledger that is silent":   {&books{silent: true}, "cannot be read from the ledger at the moment"},
		"a route that spends never": {&books{}, "Nothing was spent in the last 30 days."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pages, log := withHistory(t, test.history)
			answer, body := get(t, pages, samplePath)
			if answer.StatusCode != http.StatusOK || bytes.Contains([]byte(body), []byte("secret reason")) {
				t.Errorf("%s:\n%s", answer.Status, body)
			}
			wantContains(t, body, test.want, "<h1>Mixtral 8x22B Instruct</h1>")
			if failed := name == "a ledger that fails" || name == "a ledger that is silent"; failed != bytes.Contains(log.Bytes(), []byte("cannot be read")) {
				t.Errorf("the log is %s", log)
			}
		})
	}
}

func TestDaysAreThoseOfUTCWhereARouteNamesNoTimeZone(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ModelRouteSpec){
		"no budget":          func(spec *v1alpha1.ModelRouteSpec) { spec.Budgets = nil },
		"no time zone":       func(spec *v1alpha1.ModelRouteSpec) { spec.Budgets[0].Window.TimeZone = "" },
		"a zone that is not": func(spec *v1alpha1.ModelRouteSpec) { spec.Budgets[0].Window.TimeZone = "Mars/Olympus" },
	} {
		t.Run(name, func(t *testing.T) {
			route, history := sample(t), &books{}
			change(&route.Spec)
			pages := portal.New(portal.Options{
				Source: &source{routes: []v1alpha1.ModelRoute{*route}}, History: history,
				Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
			})
			get(t, pages, samplePath)
			if want := time.Date(2026, time.October, 29, 0, 0, 0, 0, time.UTC); history.asked[2] != "" || !history.from.Equal(want) {
				t.Errorf("the history is asked for since %s in zone %q", history.from, history.asked[2])
			}
		})
	}
}
