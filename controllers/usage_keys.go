package controllers

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// keySpend is what one ModelKey has spent, by route.
type keySpend map[types.NamespacedName]*ledgerpb.ConsumerUsage

// keyUsage is what is known of one ModelKey's usage, as a snapshot is of a route's.
type keyUsage struct {
	fresh, waits bool
	spend        keySpend
	// shared is what was spent under its budgets; nil if it never had any.
	shared *ledgerpb.SharedUsage
}

// ofKey returns what the ledger said last of a ModelKey.
func (u *Usage) ofKey(name types.NamespacedName) keyUsage {
	u.mu.Lock()
	defer u.mu.Unlock()
	return keyUsage{
		fresh: u.routes != nil && !u.lost, spend: u.byKey[name],
		waits: u.waiting[keySubject(name)], shared: u.shared[string(budget.KeyOwner(name.Namespace, name.Name))],
	}
}

// spendByKey finds the ModelKeys among the consumers, by the slash in their names.
func spendByKey(routes map[types.NamespacedName]*ledgerpb.RouteUsage) map[types.NamespacedName]keySpend {
	byKey := map[types.NamespacedName]keySpend{}
	for route, usage := range routes {
		for _, consumer := range usage.GetConsumers() {
			namespace, name, isKey := strings.Cut(consumer.GetName(), "/")
			if !isKey {
				continue
			}
			key := types.NamespacedName{Namespace: namespace, Name: name}
			if byKey[key] == nil {
				byKey[key] = keySpend{}
			}
			byKey[key][route] = consumer
		}
	}
	return byKey
}

// keyTurns are the ModelKeys whose figures have to be written.
func (u *Usage) keyTurns(ctx context.Context) []turn {
	u.mu.Lock()
	byKey := u.byKey
	u.mu.Unlock()
	var turns []turn
	for name := range byKey {
		key := &v1alpha1.ModelKey{}
		if err := u.Routes.Get(ctx, name, key); err != nil {
			continue // one that is gone has no status
		}
		next, due := projectKeySpend(key, u.ofKey(name), u.Clock.Now())
		if !due {
			continue
		}
		turns = append(turns, turnFor(keySubject(name), key.Status.Spend,
			isBudgetUrgent(key.Spec.Budgets, key.Status.Budgets, next.Budgets)))
	}
	return turns
}

// keyFigures are the parts of a ModelKey's status that come from the ledger.
type keyFigures struct {
	Spend   *v1alpha1.Spend
	LastUse *metav1.Time
	Budgets []v1alpha1.BudgetStatus
	// Routes is what was spent at each of the routes that the spec names and the ledger knows.
	Routes map[types.NamespacedName]string
}

// projectKeySpend decides which figures the status of a ModelKey shows, by the rules of projectSpend.
func projectKeySpend(key *v1alpha1.ModelKey, usage keyUsage, now time.Time) (shown keyFigures, due bool) {
	shown = keyFiguresShown(key.Status)
	if len(usage.spend) == 0 {
		return shown, false
	}
	current := keyFiguresOf(key, usage)
	noteBudgetAlerts(key.Spec.Budgets, shown.Budgets, current.Budgets)
	if current.LastUse = shown.LastUse; shown.Spend != nil {
		current.LastUse = lastUse(shown.LastUse, shown.Spend.Total, current.Spend.Total, now)
	}
	urgent := isBudgetUrgent(key.Spec.Budgets, shown.Budgets, current.Budgets)
	return choose(shown, current, func(f keyFigures) *v1alpha1.Spend { return f.Spend }, urgent, now)
}

func keyFiguresShown(status v1alpha1.ModelKeyStatus) keyFigures {
	shown := keyFigures{
		Spend: status.Spend.DeepCopy(), LastUse: status.LastUseTime, Budgets: status.Budgets,
		Routes: map[types.NamespacedName]string{},
	}
	for _, route := range status.Routes {
		if route.Spent != "" {
			shown.Routes[types.NamespacedName{Namespace: route.Namespace, Name: route.Name}] = route.Spent
		}
	}
	return shown
}

func keyFiguresOf(key *v1alpha1.ModelKey, its keyUsage) keyFigures {
	var total, unsure money.Amount
	for _, usage := range its.spend {
		total = total.Add(spent(usage.GetSpend()))
		unsure = unsure.Add(money.FromNano(usage.GetSpend().GetUncertainNanoUsd()))
	}
	current := keyFigures{Spend: &v1alpha1.Spend{Total: total.String()}, Routes: map[types.NamespacedName]string{}}
	if unsure.Nano() != 0 {
		current.Spend.Uncertain = unsure.String()
	}
	for _, ref := range compile.RouteRefs(key) {
		route := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		if usage := its.spend[route]; usage != nil {
			current.Routes[route] = spent(usage.GetSpend()).String()
		}
	}
	current.Budgets = budgetStatuses(key.Spec.Budgets, its.shared.GetBudgets())
	return current
}
