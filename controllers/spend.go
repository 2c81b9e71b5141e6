package controllers

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// spendInterval is how long the figures of a status stay as they are while nothing urgent happens. With the second between two looks at
// the ledger and the second to which a status rounds its times, they are never older than 30 seconds.
const spendInterval = 28 * time.Second

// defaultAlertPercents are those of a budget that names none.
var defaultAlertPercents = []int32{80}

// figures are the parts of a status that come from the ledger.
type figures struct {
	Spend   *v1alpha1.Spend
	Budgets []v1alpha1.BudgetStatus
	// Upstreams has the budgets of each upstream that has any.
	Upstreams map[string][]v1alpha1.BudgetStatus
	// Consumers has an entry for each consumer of the spec that the ledger knows.
	Consumers map[string]consumerFigures
}

type consumerFigures struct {
	Spent   string
	LastUse *metav1.Time
	Budgets []v1alpha1.BudgetStatus
}

// projectSpend decides which figures the status shows: those of usage, and then due is true, or still those that it has. They are due if
// they differ and spendInterval is over, and at once when there were none, a budget reaches an alert or is used up, a
// window rolls, or a budget is another one than before. A usage of nil has nothing to say: what the status has stays.
func projectSpend(route *v1alpha1.ModelRoute, usage *ledgerpb.RouteUsage, now time.Time) (shown figures, due bool) {
	shown = figuresShown(route.Status)
	if usage == nil {
		return shown, false
	}
	current := figuresOf(route.Spec, usage)
	noteAlerts(route.Spec, shown, current)
	for name, its := range current.Consumers {
		before := shown.Consumers[name]
		its.LastUse = lastUse(before.LastUse, before.Spent, its.Spent, now)
		current.Consumers[name] = its
	}
	return choose(shown, current, func(f figures) *v1alpha1.Spend { return f.Spend }, isUrgent(route.Spec, shown, current), now)
}

// choose returns the figures that a status shows, and whether they are the current ones, by the rules of projectSpend. The spend of current
// gets the time at which it is written.
func choose[F any](shown, current F, spendOf func(F) *v1alpha1.Spend, urgent bool, now time.Time) (F, bool) {
	next := spendOf(current)
	if before := spendOf(shown); before != nil {
		next.UpdateTime = before.UpdateTime
		isSoon := now.Sub(before.UpdateTime.Time) < spendInterval
		if equality.Semantic.DeepEqual(shown, current) || isSoon && !urgent {
			return shown, false
		}
	}
	next.UpdateTime = metav1.NewTime(now.Truncate(time.Second))
	return current, true
}

// lastUse is when something was last spent, by what a status shows and the ledger has: now if that is more, else what the status shows. Of
// what was spent before the status shows anything nobody knows when that was.
func lastUse(shown *metav1.Time, before, after string, now time.Time) *metav1.Time {
	earlier, err := money.ParseUSD(before)
	if err != nil {
		return shown
	}
	if later, err := money.ParseUSD(after); err != nil || later.Nano() <= earlier.Nano() {
		return shown
	}
	return new(metav1.NewTime(now.Truncate(time.Second)))
}

// isBudgetUrgent reports whether a milestone of one of the budgets lies between two of their statuses.
func isBudgetUrgent(specs []v1alpha1.Budget, shown, next []v1alpha1.BudgetStatus) bool {
	before, after := budgetMilestones(owned{specs: specs, statuses: shown}), budgetMilestones(owned{specs: specs, statuses: next})
	return !slices.EqualFunc(before, after, milestone.canWait)
}

// isUrgent reports whether a milestone lies between the figures that are shown and the next ones.
func isUrgent(spec v1alpha1.ModelRouteSpec, shown, next figures) bool {
	return !slices.EqualFunc(milestones(spec, shown), milestones(spec, next), milestone.canWait)
}

// figuresShown are the figures that a status has.
func figuresShown(status v1alpha1.ModelRouteStatus) figures {
	shown := figures{Spend: status.Spend.DeepCopy(), Budgets: status.Budgets, Consumers: map[string]consumerFigures{}}
	for _, upstream := range status.Upstreams {
		shown.setUpstream(upstream.Name, upstream.Budgets)
	}
	for _, consumer := range status.Consumers {
		if consumer.Spent != "" {
			shown.Consumers[consumer.Name] = consumerFigures{
				Spent: consumer.Spent, LastUse: consumer.LastUseTime, Budgets: consumer.Budgets,
			}
		}
	}
	return shown
}

func (f *figures) setUpstream(name string, budgets []v1alpha1.BudgetStatus) {
	if len(budgets) == 0 {
		return
	}
	if f.Upstreams == nil {
		f.Upstreams = map[string][]v1alpha1.BudgetStatus{}
	}
	f.Upstreams[name] = budgets
}

// figuresOf are the figures that the ledger has, of those budgets, upstreams and consumers that the spec has.
func figuresOf(spec v1alpha1.ModelRouteSpec, usage *ledgerpb.RouteUsage) figures {
	current := figures{
		Spend:     &v1alpha1.Spend{Total: spent(usage.GetSpend()).String(), Uncertain: uncertain(usage.GetSpend())},
		Budgets:   budgetStatuses(spec.Budgets, usage.GetBudgets()),
		Consumers: map[string]consumerFigures{},
	}
	for _, upstream := range spec.Upstreams {
		for _, its := range usage.GetUpstreams() {
			if its.GetName() == upstream.Name {
				current.setUpstream(upstream.Name, budgetStatuses(upstream.Budgets, its.GetBudgets()))
			}
		}
	}
	for _, consumer := range usage.GetConsumers() {
		i := slices.IndexFunc(spec.Consumers, func(c v1alpha1.Consumer) bool { return c.Name == consumer.GetName() })
		if i < 0 {
			continue
		}
		current.Consumers[consumer.GetName()] = consumerFigures{
			Spent:   spent(consumer.GetSpend()).String(),
			Budgets: budgetStatuses(spec.Consumers[i].Budgets, consumer.GetBudgets()),
		}
	}
	return current
}

// noteAlerts notes in the current figures the highest alert of each budget that was reached in its window, now or before.
func noteAlerts(spec v1alpha1.ModelRouteSpec, shown, current figures) {
	before := owners(spec, shown)
	for i, one := range owners(spec, current) {
		noteBudgetAlerts(one.specs, before[i].statuses, one.statuses)
	}
}

func noteBudgetAlerts(specs []v1alpha1.Budget, shown, current []v1alpha1.BudgetStatus) {
	for i := range current {
		status := &current[i]
		for _, percent := range alertPercents(specs, status.Name) {
			if ptr.Deref(status.PercentUsed, 0) >= percent {
				status.AlertedPercent = max(status.AlertedPercent, percent)
			}
		}
		if earlier := sameWindow(shown, status); earlier != nil {
			status.AlertedPercent = max(status.AlertedPercent, earlier.AlertedPercent)
		}
	}
}

// sameWindow returns the status of the same budget in the same window among the statuses; nil if there is none.
func sameWindow(statuses []v1alpha1.BudgetStatus, of *v1alpha1.BudgetStatus) *v1alpha1.BudgetStatus {
	for i := range statuses {
		if statuses[i].Name == of.Name && statuses[i].WindowStart.Equal(of.WindowStart) {
			return &statuses[i]
		}
	}
	return nil
}

// budgetStatuses are in the order of the spec. Rate limits are accounts of the ledger as well, and may have a budget's name; what they
// count is no money.
func budgetStatuses(specs []v1alpha1.Budget, usages []*ledgerpb.BudgetUsage) []v1alpha1.BudgetStatus {
	var statuses []v1alpha1.BudgetStatus
	for _, spec := range specs {
		for _, usage := range usages {
			ref := usage.GetBudget().GetRef()
			if ref.GetName() == spec.Name && ref.GetUnit() == ledgerpb.Unit_UNIT_UNSPECIFIED {
				statuses = append(statuses, budgetStatus(spec, usage))
			}
		}
	}
	return statuses
}

func budgetStatus(spec v1alpha1.Budget, usage *ledgerpb.BudgetUsage) v1alpha1.BudgetStatus {
	limit, spent := money.FromNano(usage.GetBudget().GetLimit()), spent(usage.GetSpend())
	held := money.FromNano(usage.GetSpend().GetHeldNanoUsd())
	status := v1alpha1.BudgetStatus{
		Name:        spec.Name,
		Limit:       limit.String(),
		Spent:       spent.String(),
		Uncertain:   uncertain(usage.GetSpend()),
		Held:        held.String(),
		Remaining:   limit.Sub(spent).Sub(held).String(),
		PercentUsed: new(spent.PercentOf(limit)),
		State:       v1alpha1.BudgetState(budget.StateOf(spent, limit, spec.AlertPercents)),
	}
	if usage.GetRefusing() {
		status.State = v1alpha1.BudgetState(budget.Exhausted) // what is left is too little for the requests that come
	}
	if usage.GetBudget().GetPeriod() != ledgerpb.Period_PERIOD_TOTAL {
		status.WindowStart, status.ResetTime = timeOf(usage.GetWindowStart()), timeOf(usage.GetWindowEnd())
	}
	return status
}

func timeOf(stamp *timestamppb.Timestamp) *metav1.Time {
	if stamp == nil {
		return nil
	}
	return new(metav1.NewTime(stamp.AsTime().Truncate(time.Second)))
}

// spent is what counts as spent: what is uncertain does, until it is known better.
func spent(spend *ledgerpb.Spend) money.Amount {
	return money.FromNano(spend.GetSettledNanoUsd()).Add(money.FromNano(spend.GetUncertainNanoUsd()))
}

func uncertain(spend *ledgerpb.Spend) string {
	if spend.GetUncertainNanoUsd() == 0 {
		return ""
	}
	return money.FromNano(spend.GetUncertainNanoUsd()).String()
}

// milestone is what, when it changes, is written to the status at once.
type milestone struct {
	owner
	budget, limit string
	windowStart   int64
	// alerts is how many of the budget's alert percentages are reached.
	alerts int
	state  v1alpha1.BudgetState
	// full is true if the whole limit is spent; without that, a budget is used up for requests of some sizes only.
	full bool
}

// canWait reports whether the step to the next milestone needs no status at once: if there is none, or if a budget that was used up for a
// large request had money for a smaller one. Otherwise requests of many sizes would have the status written at every turn.
func (m milestone) canWait(next milestone) bool {
	if m.state == v1alpha1.BudgetState(budget.Exhausted) && !m.full {
		m.state = next.state
	}
	return m == next
}

// milestones are sorted by owner, and as the budgets are in the figures.
func milestones(spec v1alpha1.ModelRouteSpec, of figures) []milestone {
	owned := owners(spec, of)
	all := make([]milestone, 0, len(owned))
	for _, one := range owned {
		all = append(all, budgetMilestones(one)...)
	}
	slices.SortStableFunc(all, func(a, b milestone) int {
		return cmp.Or(cmp.Compare(a.consumer, b.consumer), cmp.Compare(a.upstream, b.upstream))
	})
	return all
}

func budgetMilestones(of owned) []milestone {
	all := make([]milestone, 0, len(of.statuses))
	for _, status := range of.statuses {
		reached := milestone{owner: of.owner, budget: status.Name, limit: status.Limit, state: status.State}
		reached.full = ptr.Deref(status.PercentUsed, 0) >= 100
		if status.WindowStart != nil {
			reached.windowStart = status.WindowStart.Unix()
		}
		for _, percent := range alertPercents(of.specs, status.Name) {
			if ptr.Deref(status.PercentUsed, 0) >= percent {
				reached.alerts++
			}
		}
		all = append(all, reached)
	}
	return all
}

func alertPercents(specs []v1alpha1.Budget, name string) []int32 {
	for _, spec := range specs {
		if spec.Name == name && len(spec.AlertPercents) > 0 {
			return spec.AlertPercents
		}
	}
	return defaultAlertPercents
}
