package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/money"
)

// never is shown where a budget's window has no end.
const never = "never"

// summarise makes the columns of kubectl get: the spend in the window of the fullest budget of the route, one that denies before one that
// warns; or in all, where it has no budget.
func summarise(route *v1alpha1.ModelRoute, shown figures) *v1alpha1.Summary {
	summary := summariseBudgets(route.Spec.Budgets, shown.Budgets, shown.Spend)
	summary.Model = compile.ModelName(route)
	return summary
}

// summariseBudgets makes those of the columns that tell of budgets.
func summariseBudgets(specs []v1alpha1.Budget, statuses []v1alpha1.BudgetStatus, spend *v1alpha1.Spend) *v1alpha1.Summary {
	summary := &v1alpha1.Summary{}
	if spend == nil {
		return summary
	}
	spec, status := fullest(specs, statuses)
	if status == nil {
		summary.Spend = columnAmount(spend.Total)
		return summary
	}
	summary.Spend = columnAmount(status.Spent)
	summary.Budget = status.Limit
	summary.Used = fmt.Sprintf("%d%%", ptr.Deref(status.PercentUsed, 0))
	summary.Resets = resets(spec.Window, status)
	return summary
}

// fullest returns the budget that is nearest to its limit in percent, and of several the one with the least left; nil if there is none.
func fullest(specs []v1alpha1.Budget, statuses []v1alpha1.BudgetStatus) (v1alpha1.Budget, *v1alpha1.BudgetStatus) {
	type candidate struct {
		spec   v1alpha1.Budget
		status *v1alpha1.BudgetStatus
	}
	var candidates []candidate
	for i := range statuses {
		for _, spec := range specs {
			if spec.Name == statuses[i].Name {
				candidates = append(candidates, candidate{spec: spec, status: &statuses[i]})
			}
		}
	}
	if len(candidates) == 0 {
		return v1alpha1.Budget{}, nil
	}
	first := slices.MinFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			denyFirst(a.spec)-denyFirst(b.spec),
			cmp.Compare(ptr.Deref(b.status.PercentUsed, 0), ptr.Deref(a.status.PercentUsed, 0)),
			parseAmount(a.status.Remaining).Cmp(parseAmount(b.status.Remaining)),
		)
	})
	return first.spec, first.status
}

func denyFirst(spec v1alpha1.Budget) int {
	if spec.Enforcement == v1alpha1.EnforcementDeny {
		return 0
	}
	return 1
}

// resets is when the budget's window ends, on the clock of its time zone, such as "2026-12-01 00:00 CET".
func resets(window v1alpha1.Window, status *v1alpha1.BudgetStatus) string {
	if status.ResetTime == nil {
		return never
	}
	calendar, err := budget.NewCalendar(budget.Period(window.Period), window.TimeZone)
	if err != nil {
		return status.ResetTime.UTC().Format(time.RFC3339) // a zone that this spec no longer names rightly
	}
	return status.ResetTime.In(calendar.Location()).Format("2006-01-02 15:04 MST")
}

const (
	nanoPerCent      = money.NanoPerUSD / 100
	nanoPerMicro     = 1000
	columnWholeLimit = money.NanoPerUSD
)

// columnAmount shortens an amount of a status for a column, rounded up: from one dollar on to cents, below it to a millionth, so that the
// first small requests show.
func columnAmount(text string) string {
	amount := parseAmount(text)
	unit := int64(nanoPerMicro)
	if amount.Nano() >= columnWholeLimit {
		unit = nanoPerCent
	}
	if over := amount.Nano() % unit; over > 0 {
		amount = amount.Add(money.FromNano(unit - over))
	}
	return amount.String()
}

// parseAmount reads an amount that a status has; it may be negative. What cannot be read counts as nothing, since a status can be edited
// by anybody who may.
func parseAmount(text string) money.Amount {
	magnitude, negative := strings.CutPrefix(text, "-")
	amount, err := money.ParseUSD(magnitude)
	if err != nil {
		return money.Amount{}
	}
	if negative {
		return money.Amount{}.Sub(amount)
	}
	return amount
}
