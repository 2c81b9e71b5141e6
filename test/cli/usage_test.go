package cli

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// masked has a name of the same length in the place of the namespace's, which is another one each time.
func (w *caller) masked(text string) string {
	return strings.ReplaceAll(text, w.namespace, "cli-12345")
}

func TestUsageOfRoutesIsWhatTheirStatusSays(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	table := w.call("usage").wants(t, 0)
	wantEqual(t, `
ROUTE                   TOTAL   BUDGET           SPENT       HELD       REMAINING    LIMIT   USED   STATE          RESETS
cli-12345/chat   12.345678901   monthly   12.345678901   0.000000   487.654321099   500.00     2%   WithinBudget   2026-12-01 00:00 CET
`, "\n"+w.masked(table.out))
}

func TestUsageIsToldBySide(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.modelKey("crawler", "chat")
	team := &v1alpha1.TeamBudget{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec:       v1alpha1.TeamBudgetSpec{NamespaceSelector: &metav1.LabelSelector{}, Budgets: monthly("900.00")},
	}
	makeWithStatus(w, team, func(team *v1alpha1.TeamBudget) {
		team.Status = v1alpha1.TeamBudgetStatus{
			Team: w.namespace, Spend: &v1alpha1.Spend{Total: "70.00"}, Budgets: stands("900.00", "70.00", "830.00", 7, "WithinBudget"),
		}
	})
	t.Cleanup(func() { _ = w.Delete(t.Context(), team) })
	w.call("usage", "--by", "consumer").wants(t, 0, "CONSUMER", "search", "12.335678901", "trial", "Exhausted").lacks(t, "crawler")
	w.call("usage", "--by", "key").wants(t, 0, "MODELKEY", w.namespace+"/crawler", "17.000000", "85%", "Warning").lacks(t, "trial")
	w.call("usage", "--by", "team").wants(t, 0, "TEAM", "70.000000", "900.00", "7%")
	w.call("usage", "--by", "hour").wants(t, 2, `--by is "hour", must be route, consumer, team, key or day`)
}

func TestProgramsReadUsageAsJSONAndSpreadsheetsAsCSV(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	var found struct {
		By       string
		Accounts []struct {
			Name, Consumer, Spent string
			Budgets               []struct {
				Limit, Remaining, State string
				PercentUsed             int
				ResetTime               metav1.Time
			}
		}
	}
	w.must(json.Unmarshal([]byte(w.call("usage", "--by", "consumer", "-o", "json").wants(t, 0).out), &found))
	trial := found.Accounts[1]
	if found.By != "consumer" || trial.Consumer != "trial" || trial.Spent != "0.01" || trial.Budgets[0].PercentUsed != 100 ||
		!trial.Budgets[0].ResetTime.Equal(&resets) {
		t.Errorf("programs are told %+v", found)
	}
	records, err := csv.NewReader(strings.NewReader(w.call("usage", "--by", "consumer", "-o", "csv").wants(t, 0).out)).ReadAll()
	w.must(err)
	wantEqual(t, [][]string{
		{"namespace", "name", "consumer", "total", "budget", "limit", "spent", "uncertain", "held", "remaining", "percent_used", "window_start", "reset_time", "state"},
		{w.namespace, "chat", "search", "12.335678901", "", "", "", "", "", "", "", "", "", ""},
		{w.namespace, "chat", "trial", "0.01", "monthly", "0.01", "0.01", "", "0.00", "0.00", "100", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z", "Exhausted"},
	}, records)
}

func TestATerminalShowsBarsAndColours(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.modelKey("crawler", "chat")
	w.call("usage", "--by", "key").wants(t, 0).lacks(t, "█", "\x1b")
	w.interactive = true
	w.call("usage", "--by", "key").wants(t, 0, "████████░░   Warning").lacks(t, "\x1b")
	w.call("usage").wants(t, 0, "█░░░░░░░░░   WithinBudget") // What is not nothing shows.
	w.colours = true
	w.call("usage", "--by", "key").wants(t, 0, "\x1b[33m████████░░\x1b[0m   \x1b[33mWarning\x1b[0m")
}

func TestARunOnThisMachineAndAClusterAreNotMixedUp(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.call("usage", "--data-dir", t.TempDir()).wants(t, 2, "leave out one or the other")
	w.callWithout("usage", "--data-dir", t.TempDir()).wants(t, 1, "there are no books in", "start one with run")
	w.callWithout("usage", "--data-dir", t.TempDir(), "--by", "team").wants(t, 1, "there are no books in")
}
