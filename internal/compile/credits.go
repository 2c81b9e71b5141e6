package compile

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// maxLimit is the largest limit that the ledger takes, in nano-USD: the largest amount that a manifest can have.
const maxLimit = 1_000_000_000*money.NanoPerUSD - 1

// limitOf is how much a budget allows now: its amount and the credits that have not expired, but no more than the ledger can count.
func limitOf(budget v1alpha1.Budget, now time.Time) (money.Amount, error) {
	limit, err := money.ParseUSD(string(budget.Amount))
	if err != nil {
		return money.Amount{}, fmt.Errorf("amount: %w", err)
	}
	for i, credit := range budget.Credits {
		amount, err := money.ParseUSD(string(credit.Amount))
		if err != nil {
			return money.Amount{}, fmt.Errorf("credits[%d].amount: %w", i, err)
		}
		if credit.ExpireTime != nil && now.Before(credit.ExpireTime.Time) {
			limit = limit.Add(amount)
		}
	}
	return money.FromNano(min(limit.Nano(), maxLimit)), nil
}

// NextExpiry is when the next of the credits of a route, of its ModelKeys and of the teams of its consumers expires, or the next of these
// ModelKeys; zero if none will.
func NextExpiry(route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey, teams Teams, now time.Time) time.Time {
	next := earliest{now: now}
	next.noteCredits(allBudgets(route))
	for _, key := range modelKeys {
		next.noteCredits(key.Spec.Budgets)
		next.note(key.Spec.ExpireTime)
	}
	for _, team := range teams {
		next.noteCredits(team.Spec.Budgets)
	}
	return next.at
}

// NextTeamExpiry is when the next of a team's credits expires; zero if none will.
func NextTeamExpiry(team *v1alpha1.TeamBudget, now time.Time) time.Time {
	next := earliest{now: now}
	next.noteCredits(team.Spec.Budgets)
	return next.at
}

// earliest is the first of the times that are noted and not over.
type earliest struct{ now, at time.Time }

func (e *earliest) note(at *metav1.Time) {
	if at != nil && at.After(e.now) && (e.at.IsZero() || at.Time.Before(e.at)) {
		e.at = at.Time
	}
}

func (e *earliest) noteCredits(budgets []v1alpha1.Budget) {
	for _, budget := range budgets {
		for _, credit := range budget.Credits {
			e.note(credit.ExpireTime)
		}
	}
}

// allBudgets are those of the route, of its upstreams and of its consumers.
func allBudgets(route *v1alpha1.ModelRoute) []v1alpha1.Budget {
	all := append([]v1alpha1.Budget(nil), route.Spec.Budgets...)
	for _, upstream := range route.Spec.Upstreams {
		all = append(all, upstream.Budgets...)
	}
	for _, consumer := range route.Spec.Consumers {
		all = append(all, consumer.Budgets...)
	}
	return all
}
