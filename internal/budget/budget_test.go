package budget_test

import (
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

func TestScopesNameTheirAccount(t *testing.T) {
	for want, got := range map[budget.Scope]budget.Scope{
		"route/ai-platform/mixtral":           budget.RouteScope("ai-platform", "mixtral"),
		"upstream/ai-platform/mixtral/vllm":   budget.UpstreamScope("ai-platform", "mixtral", "vllm"),
		"consumer/ai-platform/mixtral/search": budget.ConsumerScope("ai-platform", "mixtral", "search"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTwoAccountsNeverShareAScope(t *testing.T) {
	label := rapid.StringMatching(`[ab]|[ab][ab-]?[ab]`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOfN(label, 3, 3).Draw(t, "a"), rapid.SliceOfN(label, 3, 3).Draw(t, "b")
		same := budget.ConsumerScope(a[0], a[1], a[2]) == budget.ConsumerScope(b[0], b[1], b[2])
		if same != slices.Equal(a, b) {
			t.Errorf("consumers %v and %v: one scope is %v", a, b, same)
		}
		same = budget.RouteScope(a[0], a[1]) == budget.RouteScope(b[0], b[1])
		if same != slices.Equal(a[:2], b[:2]) {
			t.Errorf("routes %v and %v: one scope is %v", a[:2], b[:2], same)
		}
	})
}

func TestStateOf(t *testing.T) {
	const usd = 1_000_000_000
	for reason, test := range map[string]struct {
		spent, limit int64
		alerts       []int32
		want         budget.State
	}{
		"nothing is spent":                             {0, 500 * usd, nil, budget.WithinBudget},
		"without alerts, just below 80 %":              {400*usd - 1, 500 * usd, nil, budget.WithinBudget},
		"without alerts, at 80 %":                      {400 * usd, 500 * usd, nil, budget.Warning},
		"an empty list is no list":                     {400 * usd, 500 * usd, []int32{}, budget.Warning},
		"just below the lowest alert":                  {250*usd - 1, 500 * usd, []int32{50, 80, 100}, budget.WithinBudget},
		"at the lowest alert":                          {250 * usd, 500 * usd, []int32{50, 80, 100}, budget.Warning},
		"the lowest alert need not come first":         {250 * usd, 500 * usd, []int32{100, 50, 80}, budget.Warning},
		"a nano-USD below the limit":                   {500*usd - 1, 500 * usd, nil, budget.Warning},
		"a nano-USD below it, when 100 % is the alert": {500*usd - 1, 500 * usd, []int32{100}, budget.WithinBudget},
		"at the limit":                                 {500 * usd, 500 * usd, nil, budget.Exhausted},
		"above the limit":                              {501 * usd, 500 * usd, nil, budget.Exhausted},
		"at the limit, whatever the alerts":            {500 * usd, 500 * usd, []int32{120}, budget.Exhausted},
		"a limit of nothing":                           {0, 0, nil, budget.Exhausted},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := budget.StateOf(money.FromNano(test.spent), money.FromNano(test.limit), test.alerts); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestStateOfComparesExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spent, limit := rapid.Int64Min(0).Draw(t, "spent"), rapid.Int64Min(1).Draw(t, "limit")
		alerts := rapid.SliceOfN(rapid.Int32Range(1, 100), 1, 5).Draw(t, "alerts")
		want := budget.WithinBudget
		switch {
		case spent >= limit:
			want = budget.Exhausted
		case slices.ContainsFunc(alerts, func(percent int32) bool { return reaches(spent, limit, percent) }):
			want = budget.Warning
		}
		if got := budget.StateOf(money.FromNano(spent), money.FromNano(limit), alerts); got != want {
			t.Errorf("%d of %d, alerts %v: got %s, want %s", spent, limit, alerts, got, want)
		}
	})
}

// reaches reports whether spent ≥ percent % of limit.
func reaches(spent, limit int64, percent int32) bool {
	hundredfold := new(big.Int).Mul(big.NewInt(spent), big.NewInt(100))
	return hundredfold.Cmp(new(big.Int).Mul(big.NewInt(limit), big.NewInt(int64(percent)))) >= 0
}

func TestABudgetCovers(t *testing.T) {
	for reason, test := range map[string]struct {
		coverage budget.Coverage
		want     [3]bool
	}{
		"everything":           {budget.Coverage{}, [3]bool{true, true, true}},
		"one upstream":         {budget.Coverage{Upstream: "main"}, [3]bool{true, false, false}},
		"all but its reserve":  {budget.Coverage{Except: "spare"}, [3]bool{true, false, true}},
		"all, without a place": {budget.Coverage{Except: "main"}, [3]bool{false, true, true}},
	} {
		t.Run(reason, func(t *testing.T) {
			got := [3]bool{test.coverage.Covers("main"), test.coverage.Covers("spare"), test.coverage.Covers("")}
			if got != test.want {
				t.Errorf("main, spare and none: %v, want %v", got, test.want)
			}
		})
	}
}
