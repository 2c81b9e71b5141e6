package local

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

var (
	november = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	december = time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
)

// account is a budget of 100 nano-USD in November, of which so much is settled, uncertain and held.
func account(name string, settled, uncertain, held int64) *ledgerpb.BudgetUsage {
	return &ledgerpb.BudgetUsage{
		Budget:      &ledgerpb.Budget{Ref: &ledgerpb.BudgetRef{Name: name}, Limit: 100, Period: ledgerpb.Period_PERIOD_MONTH},
		Spend:       &ledgerpb.Spend{SettledNanoUsd: settled, UncertainNanoUsd: uncertain, HeldNanoUsd: held},
		WindowStart: timestamppb.New(november), WindowEnd: timestamppb.New(december),
	}
}

func TestABudgetShowsWhatIsSpentUncertainHeldAndLeft(t *testing.T) {
	got := budgetUsage(account("monthly", 30, 20, 10), nil)
	nano := money.FromNano
	want := BudgetUsage{
		Name: "monthly", Limit: nano(100), Spent: nano(50), Uncertain: nano(20), Held: nano(10), Remaining: nano(40),
		WindowStart: &november, ResetTime: &december, State: budget.WithinBudget,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWindowThatNeverEndsHasNoTimes(t *testing.T) {
	total := account("total", 0, 0, 0)
	total.Budget.Period, total.WindowEnd = ledgerpb.Period_PERIOD_TOTAL, nil
	if got := budgetUsage(total, nil); got.WindowStart != nil || got.ResetTime != nil {
		t.Errorf("it is from %v to %v", got.WindowStart, got.ResetTime)
	}
}

func TestTheStateOfABudgetFollowsItsOwnAlerts(t *testing.T) {
	refusing := account("monthly", 30, 0, 0)
	refusing.Refusing = true
	cases := map[string]struct {
		usage  *ledgerpb.BudgetUsage
		alerts []int32
		want   budget.State
	}{
		"below the usual alert":      {account("monthly", 60, 0, 0), nil, budget.WithinBudget},
		"at the usual alert":         {account("monthly", 80, 0, 0), nil, budget.Warning},
		"at an alert of its own":     {account("monthly", 40, 10, 0), []int32{90, 50}, budget.Warning},
		"with nothing left":          {account("monthly", 100, 0, 0), nil, budget.Exhausted},
		"with too little for anyone": {refusing, nil, budget.Exhausted},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := budgetUsage(test.usage, test.alerts).State; got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRateLimitsAreNoBudgets(t *testing.T) {
	limit := account("per-minute", 3, 0, 0)
	limit.Budget.Ref.Unit = ledgerpb.Unit_UNIT_REQUESTS
	limit.Spend.LeasedNanoUsd = 7
	usage := &ledgerpb.RouteUsage{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Spend: &ledgerpb.Spend{SettledNanoUsd: 30},
		Budgets:   []*ledgerpb.BudgetUsage{account("monthly", 30, 0, 0), limit},
		Consumers: []*ledgerpb.ConsumerUsage{{Name: "search", Budgets: []*ledgerpb.BudgetUsage{limit}}},
	}
	got := routeUsage(usage, map[budgetName][]int32{})
	if len(got.Budgets) != 1 || got.Budgets[0].Name != "monthly" || len(got.Consumers) != 1 || len(got.Consumers[0].Budgets) != 0 {
		t.Errorf("got %+v", got)
	}
	if hasLeases(&ledgerpb.ListUsageResponse{Routes: []*ledgerpb.RouteUsage{usage}}) {
		t.Error("what is out of a rate limit is taken for money")
	}
}

func TestTheBudgetsOfAnUpstreamHaveTheirOwnAlerts(t *testing.T) {
	usage := &ledgerpb.RouteUsage{
		Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Budgets: []*ledgerpb.BudgetUsage{account("monthly", 30, 0, 0)},
		Upstreams: []*ledgerpb.UpstreamUsage{{Name: "cheap", Budgets: []*ledgerpb.BudgetUsage{account("monthly", 30, 0, 0)}}},
	}
	got := routeUsage(usage, map[budgetName][]int32{{namespace: "ai", route: "chat", upstream: "cheap", budget: "monthly"}: {10}})
	if len(got.Upstreams) != 1 || got.Upstreams[0].Name != "cheap" || got.Upstreams[0].Budgets[0].State != budget.Warning {
		t.Errorf("the upstreams are %+v", got.Upstreams)
	}
	if len(got.Budgets) != 1 || got.Budgets[0].State != budget.WithinBudget {
		t.Errorf("the route's budgets are %+v", got.Budgets)
	}
	usage.Upstreams[0].Budgets[0].Spend.LeasedNanoUsd = 7
	if !hasLeases(&ledgerpb.ListUsageResponse{Routes: []*ledgerpb.RouteUsage{usage}}) {
		t.Error("what is out of an upstream's budget is overlooked")
	}
}
