package usage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/ledger/history"
)

func TestDaysBeginWhereTheZoneSays(t *testing.T) {
	// It is the 30th in Berlin already.
	now := time.Date(2026, time.November, 29, 23, 30, 0, 0, time.UTC)
	for name, test := range map[string]struct{ since, zone, want string }{
		"today":                          {"1", "UTC", "2026-11-29T00:00:00Z"},
		"today in Berlin":                {"1", "Europe/Berlin", "2026-11-29T23:00:00Z"},
		"thirty days":                    {"30", "UTC", "2026-10-31T00:00:00Z"},
		"over the change of the clock":   {"60", "Europe/Berlin", "2026-10-01T22:00:00Z"},
		"a date":                         {"2026-11-01", "UTC", "2026-11-01T00:00:00Z"},
		"a date in Tokyo":                {"2026-11-01", "Asia/Tokyo", "2026-10-31T15:00:00Z"},
		"a date that begins at one":      {"2026-09-06", "America/Santiago", "2026-09-06T04:00:00Z"},
		"as far back as there were days": {"1970-01-01", "UTC", "1970-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			calendar, err := budget.NewCalendar(budget.Day, test.zone)
			if err != nil {
				t.Fatal(err)
			}
			got, err := beginning(test.since, calendar, now)
			if err != nil || got.Format(time.RFC3339) != test.want {
				t.Errorf("%s, error %v, want %s", got.Format(time.RFC3339), err, test.want)
			}
		})
	}
}

func TestWhatIsNoBeginningIsRefused(t *testing.T) {
	calendar, err := budget.NewCalendar(budget.Day, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, since := range []string{"", "0", "-3", "36501", "2026-13-01", "1969-12-31", "7d", "99999999999999999999"} {
		if got, err := beginning(since, calendar, time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "--since is") {
			t.Errorf("%q is %s, error %v", since, got, err)
		}
	}
}

func TestATerminalShowsBesideEachDayHowMuchItWas(t *testing.T) {
	var out strings.Builder
	days := &dayTable{shell: &shell.Shell{Out: &out, Watched: true}, nothing: "There is nothing."}
	day := time.Date(2026, time.November, 17, 0, 0, 0, 0, time.UTC)
	for _, one := range []history.Entry{ // Route by route, as the ledger tells them.
		{Start: day, Namespace: "ai", Route: "chat", Consumer: "search", Model: "mixtral", Upstream: "openrouter", Spent: usd(t, "2")},
		{Start: day.AddDate(0, 0, 1), Namespace: "ai", Route: "chat", Consumer: "search", Model: "mixtral", Spent: usd(t, "1")},
		{
			Start: day, Namespace: "ai", Route: "code", Consumer: "search", Model: "mixtral", Upstream: "vllm", Requests: 3,
			Spent: usd(t, "0.000000001"),
		},
		{Start: day, Namespace: "ai", Route: "free", Consumer: "search", Model: "mixtral", Upstream: "vllm"},
	} {
		if err := days.Write(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := days.End(); err != nil {
		t.Fatal(err)
	}
	want := `
DAY          ROUTE     CONSUMER   MODEL     UPSTREAM     REQUESTS   PROMPT   COMPLETION         SPENT   BAR
2026-11-17   ai/chat   search     mixtral   openrouter          0        0            0      2.000000   ██████████
             ai/code   search     mixtral   vllm                3        0            0   0.000000001   █░░░░░░░░░
             ai/free   search     mixtral   vllm                0        0            0      0.000000   ░░░░░░░░░░
2026-11-18   ai/chat   search     mixtral   -                   0        0            0      1.000000   █████░░░░░
`
	if diff := cmp.Diff(want, "\n"+out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
