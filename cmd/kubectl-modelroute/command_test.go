package main

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/money"
)

// commanded runs a command in this process.
func commanded(t *testing.T, words ...string) (status int, output, diagnostics string) {
	t.Helper()
	var out, told strings.Builder
	environment := map[string]string{"KEY": "sk-or-key", "EMPTY": " "}
	status = execute(t.Context(), words, command{
		out: &out, diagnostics: &told, clock: clock.RealClock{},
		lookupEnv: func(name string) (string, bool) { value, found := environment[name]; return value, found },
	})
	return status, out.String(), told.String()
}

func TestCallsThatMakeNoSenseAreRefused(t *testing.T) {
	cases := map[string]struct {
		words []string
		want  string
	}{
		"no command":                         {nil, "kubectl-modelroute help COMMAND"},
		"an unknown command":                 {[]string{"serve"}, `there is no command "serve", only help, run, usage, version`},
		"help for an unknown command":        {[]string{"help", "serve"}, `there is no command "serve"`},
		"no file":                            {[]string{"run"}, "name a file with manifests, with -f FILE"},
		"an unknown flag":                    {[]string{"run", "--surprise"}, "surprise"},
		"an argument":                        {[]string{"run", "-f", "a.yaml", "b.yaml"}, `unexpected argument "b.yaml"`},
		"no data directory":                  {[]string{"run", "-f", "a.yaml", "--data-dir="}, "--data-dir must not be empty"},
		"a secret without a name":            {[]string{"run", "-f", "a.yaml", "--secret=apiKey=env:KEY"}, "--secret must be NAMESPACE/NAME/KEY=env:VARIABLE"},
		"a secret in the arguments":          {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=sk-or-key"}, "for ai/openrouter/apiKey it names no variable"},
		"a secret in no variable":            {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=env:NONE"}, "the environment has nothing in NONE"},
		"a secret in an empty variable":      {[]string{"run", "-f", "a.yaml", "--secret=ai/openrouter/apiKey=env:EMPTY"}, "the environment has nothing in EMPTY"},
		"a file that is not there":           {[]string{"run", "-f", "missing.yaml"}, "missing.yaml: cannot be read: no such file"},
		"usage in an unknown form":           {[]string{"usage", "-o", "yaml"}, `-o is "yaml", must be table or json`},
		"usage with an argument":             {[]string{"usage", "everything"}, `unexpected argument "everything"`},
		"usage of no directory":              {[]string{"usage", "--data-dir="}, "--data-dir must not be empty"},
		"a word behind the version":          {[]string{"version", "please"}, `unexpected argument "please"`},
		"a misuse tells where the manual is": {[]string{"usage", "-o", "yaml"}, "How it is used: kubectl-modelroute usage --help"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			status, output, diagnostics := commanded(t, test.words...)
			wantEqual(t, exitUsage, status)
			wantContains(t, diagnostics, test.want)
			if strings.Contains(output+diagnostics, "sk-or-key") {
				t.Errorf("it tells the key: %s", diagnostics)
			}
		})
	}
}

func TestUsageOfADirectoryWithoutBooksSaysWhatToDo(t *testing.T) {
	status, _, diagnostics := commanded(t, "usage", "--data-dir", t.TempDir())
	wantEqual(t, exitFailed, status)
	wantContains(t, diagnostics, "there are no books in", "--data-dir", "start one with run")
}

func TestHelpExplainsEveryCommandAndEveryFlag(t *testing.T) {
	cases := map[string][]string{
		"":        {"run ", "usage ", "version ", "kubectl modelroute"},
		"run":     {"-f FILE", "--listen", "--admin-listen", "--data-dir", "--secret"},
		"usage":   {"--data-dir", "-o FORMAT"},
		"version": {"print the version"},
	}
	for name, parts := range cases {
		calls := [][]string{{"help", name}, {name, "--help"}, {name, "-h"}}
		if name == "" {
			calls = [][]string{{"help"}, {"--help"}, {"-h"}, {"help", "help"}}
		}
		for _, words := range calls {
			status, output, _ := commanded(t, words...)
			wantEqual(t, exitOK, status)
			wantContains(t, output, parts...)
		}
	}
}

func TestTheVersionIsTold(t *testing.T) {
	for _, words := range [][]string{{"version"}, {"--version"}} {
		status, output, _ := commanded(t, words...)
		wantEqual(t, exitOK, status)
		wantEqual(t, "kubectl-modelroute unknown\n", output)
	}
}

func usd(t *testing.T, text string) money.Amount {
	t.Helper()
	amount, err := money.ParseUSD(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

func TestTheTableLinesUpAmountsAndTellsTimesInTheBudgetsZone(t *testing.T) {
	resets := time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)
	found := local.Usage{Routes: []local.RouteUsage{
		{
			Namespace: "a", Name: "chat", Spent: usd(t, "12.345678901"),
			Budgets: []local.BudgetUsage{{
				Name: "monthly", Limit: usd(t, "500"), Spent: usd(t, "12.345678901"), Uncertain: usd(t, "0.25"), Held: usd(t, "0.031"),
				Remaining: usd(t, "487.623321099"), ResetTime: &resets, State: budget.WithinBudget, TimeZone: "Europe/Berlin",
			}},
			Upstreams: []local.UpstreamUsage{{Name: "vllm", Budgets: []local.BudgetUsage{{
				Name: "daily", Limit: usd(t, "5"), Spent: usd(t, "1"), Remaining: usd(t, "4"), ResetTime: &resets,
				State: budget.WithinBudget,
			}}}},
			Consumers: []local.ConsumerUsage{{Name: "search", Spent: usd(t, "3")}, {
				Name: "trial", Budgets: []local.BudgetUsage{{
					Name: "total", Limit: usd(t, "0.01"), Spent: usd(t, "0.01"), State: budget.Exhausted,
				}},
			}},
		},
		{Namespace: "b", Name: "gone", Spent: usd(t, "1.5")},
	}}
	var out strings.Builder
	if err := writeTable(&out, found); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, `
ROUTE    CONSUMER    BUDGET           SPENT   UNCERTAIN       HELD       REMAINING    LIMIT   USED   STATE          RESETS
a/chat   (all)       monthly   12.345678901    0.250000   0.031000   487.623321099   500.00     2%   WithinBudget   2026-12-01 00:00 CET
         (at vllm)   daily         1.000000    0.000000   0.000000        4.000000     5.00    20%   WithinBudget   2026-11-30 23:00 UTC
         search      -             3.000000           -          -               -        -      -   -              -
         trial       total         0.010000    0.000000   0.000000        0.000000     0.01   100%   Exhausted      never
b/gone   (all)       -             1.500000           -          -               -        -      -   -              -
`, "\n"+out.String())
}

func TestAmountsThatAreAllNothingTakeNoColumn(t *testing.T) {
	var out strings.Builder
	if err := writeTable(&out, local.Usage{Routes: []local.RouteUsage{{Namespace: "a", Name: "b"}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "UNCERTAIN") {
		t.Errorf("there is nothing uncertain:\n%s", out.String())
	}
}
