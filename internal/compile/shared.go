package compile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// Teams are the TeamBudgets in force, by the names of their teams.
type Teams map[string]*v1alpha1.TeamBudget

// TeamOwner is what the ledger knows a team by.
func TeamOwner(team string) string { return string(budget.TeamOwner(team)) }

// KeyOwner is what the ledger knows a ModelKey by.
func KeyOwner(key *v1alpha1.ModelKey) string { return string(budget.KeyOwner(key.Namespace, key.Name)) }

// TeamBudgets is what the ledger is told of a team whose budgets ValidateTeam has found valid, with the credits that count now.
func TeamBudgets(team *v1alpha1.TeamBudget, now time.Time) (*ledgerpb.PutSharedRequest, error) {
	return shared(TeamOwner(TeamName(team)), team.Spec.Budgets, nil, now)
}

// KeyBudgets is what the ledger is told of a ModelKey that ValidateKey has found valid. Its budgets are over all routes that it names.
func KeyBudgets(key *v1alpha1.ModelKey, now time.Time) (*ledgerpb.PutSharedRequest, error) {
	return shared(KeyOwner(key), key.Spec.Budgets, key.Spec.RateLimits, now)
}

func shared(owner string, budgets []v1alpha1.Budget, limits []v1alpha1.RateLimit, now time.Time) (*ledgerpb.PutSharedRequest, error) {
	compiled, err := ledgerBudgets("spec.budgets", &ledgerpb.BudgetRef{Owner: owner}, budgets, now)
	if err != nil {
		return nil, err
	}
	for _, limit := range ledgerRateLimits("", limits) {
		limit.Ref.Owner = owner
		compiled = append(compiled, limit)
	}
	slices.SortFunc(compiled, func(a, b *ledgerpb.Budget) int { return compareRefs(a.GetRef(), b.GetRef()) })
	return &ledgerpb.PutSharedRequest{Owner: owner, Budgets: compiled}, nil
}

// Shared is what the ledger is to be told before it is told of the route: the budgets of the teams and the ModelKeys in whose names its
// consumers spend.
func Shared(route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey, teams Teams, now time.Time) ([]*ledgerpb.PutSharedRequest, error) {
	var requests []*ledgerpb.PutSharedRequest
	told := map[string]bool{}
	for _, consumer := range Consumers(route, modelKeys) {
		team := teams[consumer.Team]
		if team == nil || told[consumer.Team] {
			continue
		}
		told[consumer.Team] = true
		request, err := TeamBudgets(team, now)
		if err != nil {
			return nil, fmt.Errorf("TeamBudget %s: %w", team.Name, err)
		}
		requests = append(requests, request)
	}
	for _, key := range modelKeys {
		if !hasLimits(key) {
			continue
		}
		request, err := KeyBudgets(key, now)
		if err != nil {
			return nil, fmt.Errorf("ModelKey %s/%s: %w", key.Namespace, key.Name, err)
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// members say which consumers draw on which shared owners, sorted.
func members(route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey, teams Teams) []*ledgerpb.Member {
	var all []*ledgerpb.Member
	for _, consumer := range Consumers(route, modelKeys) {
		if teams[consumer.Team] != nil {
			all = append(all, &ledgerpb.Member{Consumer: consumer.Name, Owner: TeamOwner(consumer.Team)})
		}
	}
	for _, key := range modelKeys {
		if hasLimits(key) {
			all = append(all, &ledgerpb.Member{Consumer: KeyConsumerName(key.Namespace, key.Name), Owner: KeyOwner(key)})
		}
	}
	slices.SortFunc(all, func(a, b *ledgerpb.Member) int {
		return cmp.Or(cmp.Compare(a.GetConsumer(), b.GetConsumer()), cmp.Compare(a.GetOwner(), b.GetOwner()))
	})
	return all
}

func hasLimits(key *v1alpha1.ModelKey) bool {
	return len(key.Spec.Budgets)+len(key.Spec.RateLimits) > 0
}
