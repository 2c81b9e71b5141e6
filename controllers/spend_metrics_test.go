package controllers

import (
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

func TestTheSpendAndTheBudgetsAreMetrics(t *testing.T) {
	budgetOf := func(limit, settled, uncertain int64) []*ledgerpb.BudgetUsage {
		return []*ledgerpb.BudgetUsage{
			{
				Budget: &ledgerpb.Budget{Ref: &ledgerpb.BudgetRef{Name: "daily"}, Limit: limit},
				Spend:  &ledgerpb.Spend{SettledNanoUsd: settled, UncertainNanoUsd: uncertain}, WindowEnd: timestamppb.New(noon),
			},
			{Budget: &ledgerpb.Budget{Ref: &ledgerpb.BudgetRef{Name: "requests", Unit: ledgerpb.Unit_UNIT_REQUESTS}, Limit: 5}}, // A rate limit.
		}
	}
	route := &ledgerpb.RouteUsage{
		Spend: &ledgerpb.Spend{SettledNanoUsd: 3 * usd, UncertainNanoUsd: usd / 2}, Budgets: budgetOf(10*usd, 3*usd, usd/2),
		Consumers: []*ledgerpb.ConsumerUsage{{Name: "search", Spend: &ledgerpb.Spend{SettledNanoUsd: 1}, Budgets: budgetOf(usd, 1, 0)}},
		Upstreams: []*ledgerpb.UpstreamUsage{{Name: "cheap", Budgets: budgetOf(2*usd, 0, 0)}},
	}
	usage := &Usage{
		routes: map[types.NamespacedName]*ledgerpb.RouteUsage{{Namespace: "ai", Name: "chat"}: route},
		shared: map[string]*ledgerpb.SharedUsage{
			"team/search": {Budgets: budgetOf(100*usd, 4*usd, 0), Routes: []*ledgerpb.RouteSpend{{
				Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Spend: &ledgerpb.Spend{SettledNanoUsd: 4 * usd},
			}}},
			"key/apps/bot": {Budgets: budgetOf(7*usd, 0, 0)},
		},
	}
	before := spendMetrics.of.Swap(usage)
	defer spendMetrics.of.Store(before)
	answer := httptest.NewRecorder()
	SpendHandler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", SpendPath, nil))
	for _, line := range []string{
		`modelroute_spend_usd_total{consumer="",namespace="ai",route="chat"} 3.5`,
		`modelroute_spend_usd_total{consumer="search",namespace="ai",route="chat"} 1e-09`,
		`modelroute_team_spend_usd_total{namespace="ai",route="chat",team="search"} 4`,
		`modelroute_budget_limit_usd{budget="daily",consumer="",key="",namespace="ai",route="chat",team="",upstream=""} 10`,
		`modelroute_budget_spent_usd{budget="daily",consumer="",key="",namespace="ai",route="chat",team="",upstream=""} 3.5`,
		`modelroute_budget_limit_usd{budget="daily",consumer="search",key="",namespace="ai",route="chat",team="",upstream=""} 1`,
		`modelroute_budget_limit_usd{budget="daily",consumer="",key="",namespace="ai",route="chat",team="",upstream="cheap"} 2`,
		`modelroute_budget_spent_usd{budget="daily",consumer="",key="",namespace="",route="",team="search",upstream=""} 4`,
		`modelroute_budget_limit_usd{budget="daily",consumer="",key="bot",namespace="apps",route="",team="",upstream=""} 7`,
		`modelroute_budget_window_end_timestamp_seconds{budget="daily",consumer="",key="bot",namespace="apps",route="",team="",upstream=""} `,
	} {
		if !strings.Contains(answer.Body.String(), "\n"+line) {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(answer.Body.String(), "requests") {
		t.Errorf("a rate limit is shown as a budget:\n%s", answer.Body)
	}
}
