package usage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/local"
	"github.com/modelroute/modelroute/internal/money"
)

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
	if err := writeRun(&out, found); err != nil {
		t.Fatal(err)
	}
	want := `
ROUTE    CONSUMER    BUDGET           SPENT   UNCERTAIN       HELD       REMAINING    LIMIT   USED   STATE          RESETS
a/chat   (all)       monthly   12.345678901    0.250000   0.031000   487.623321099   500.00     2%   WithinBudget   2026-12-01 00:00 CET
         (at vllm)   daily         1.000000    0.000000   0.000000        4.000000     5.00    20%   WithinBudget   2026-11-30 23:00 UTC
         search      -             3.000000           -          -               -        -      -   -              -
         trial       total         0.010000    0.000000   0.000000        0.000000     0.01   100%   Exhausted      never
b/gone   (all)       -             1.500000           -          -               -        -      -   -              -
`
	if diff := cmp.Diff(want, "\n"+out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAmountsThatAreAllNothingTakeNoColumn(t *testing.T) {
	var out strings.Builder
	if err := writeRun(&out, local.Usage{Routes: []local.RouteUsage{{Namespace: "a", Name: "b"}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "UNCERTAIN") {
		t.Errorf("there is nothing uncertain:\n%s", out.String())
	}
}

func TestTheSidesOfARunAreThoseOfACluster(t *testing.T) {
	resets := time.Date(2026, time.November, 30, 23, 0, 0, 0, time.UTC)
	budgets := []local.BudgetUsage{{
		Name: "monthly", Limit: usd(t, "4"), Spent: usd(t, "1"), Uncertain: usd(t, "0.5"), Held: usd(t, "0.25"), Remaining: usd(t, "2.75"),
		ResetTime: &resets, State: budget.WithinBudget, TimeZone: "Europe/Berlin",
	}}
	found := local.Usage{
		Routes: []local.RouteUsage{{
			Namespace: "a", Name: "chat", Spent: usd(t, "3"), Budgets: budgets,
			Consumers: []local.ConsumerUsage{{Name: "search", Spent: usd(t, "2")}, {Name: "trial", Spent: usd(t, "1"), Budgets: budgets}},
		}},
		Teams:     []local.SharedUsage{{Name: "research", Spent: usd(t, "2"), Budgets: budgets}},
		ModelKeys: []local.SharedUsage{{Name: "b/crawler", Spent: usd(t, "0.1")}},
	}
	shown := []accountBudget{{
		Name: "monthly", Limit: "4.00", Spent: "1.00", Uncertain: "0.50", Held: "0.25", Remaining: "2.75", PercentUsed: 25,
		ResetTime: &resets, State: "WithinBudget", timeZone: "Europe/Berlin",
	}}
	for by, want := range map[string][]account{
		byRoute: {{Namespace: "a", Name: "chat", Spent: "3.00", Budgets: shown}},
		byConsumer: {
			{Namespace: "a", Name: "chat", Consumer: "search", Spent: "2.00", Budgets: []accountBudget{}},
			{Namespace: "a", Name: "chat", Consumer: "trial", Spent: "1.00", Budgets: shown},
		},
		byTeam: {{Name: "research", Spent: "2.00", Budgets: shown}},
		byKey:  {{Namespace: "b", Name: "crawler", Spent: "0.10", Budgets: []accountBudget{}}},
	} {
		if diff := cmp.Diff(want, runAccounts(by, found), cmp.AllowUnexported(accountBudget{})); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", by, diff)
		}
	}
}
