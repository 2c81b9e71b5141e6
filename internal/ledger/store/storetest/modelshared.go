package storetest

import (
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

var (
	modelTeams  = []string{"", "blue", "red"}
	modelOwners = []budget.Owner{budget.KeyOwner("ai", "bot"), budget.TeamOwner("blue"), budget.TeamOwner("red")}
)

// someRoute has any budgets, and consumers that draw on any owners, but on one team at most.
func (m *model) someRoute(rt *rapid.T) store.Route {
	route := store.Route{Namespace: "ai", Name: "chat", Server: server, Consumers: modelConsumers, Budgets: someBudgets(rt)}
	for _, consumer := range modelConsumers {
		if team := rapid.SampledFrom(modelTeams).Draw(rt, "team"); team != "" {
			route.Members = append(route.Members, store.Member{Consumer: consumer, Owner: budget.TeamOwner(team)})
		}
		if rapid.Bool().Draw(rt, "key") {
			route.Members = append(route.Members, store.Member{Consumer: consumer, Owner: budget.KeyOwner("ai", "bot")})
		}
	}
	return route
}

// share puts other budgets of a shared owner, the same again, or none.
func (m *model) share(rt *rapid.T) {
	owner := rapid.SampledFrom(modelOwners).Draw(rt, "owner")
	budgets := m.shared[owner]
	switch rapid.IntRange(0, 4).Draw(rt, "share") {
	case 0:
		budgets = nil
	case 1: // Nothing changes.
	default:
		budgets = someBudgetsOf(rt, accountKey{owner: owner})
	}
	m.putShared(rt, owner, budgets)
}

func (m *model) putShared(rt *rapid.T, owner budget.Owner, budgets []store.Budget) {
	if err := m.store.PutShared(m.t.Context(), store.Shared{Owner: owner, Budgets: budgets}); err != nil {
		rt.Fatalf("PutShared: %v", err)
	}
	if !cmp.Equal(m.shared[owner], budgets, amounts) {
		m.forgetContention(owner)
		if slices.ContainsFunc(m.route.Members, func(one store.Member) bool { return one.Owner == owner }) {
			m.version++
		}
	}
	m.shared[owner] = budgets
}

// forgetContention is for an edit of an owner's budgets, or of the route's if there is none.
func (m *model) forgetContention(owner budget.Owner) {
	for account := range m.contended {
		if account.owner == owner {
			delete(m.contended, account)
		}
	}
}

// allBudgets are those of the route and of the owners.
func (m *model) allBudgets() []store.Budget {
	all := slices.Clone(m.route.Budgets)
	for _, owner := range modelOwners {
		all = append(all, m.shared[owner]...)
	}
	return all
}

// isMember reports whether a consumer draws on an owner.
func (m *model) isMember(consumer string, owner budget.Owner) bool {
	return slices.Contains(m.route.Members, store.Member{Consumer: consumer, Owner: owner})
}

// compareTeam expects an answer to say in whose name the consumer spends, and in whose it did.
func (m *model) compareTeam(rt *rapid.T, consumer string, answer store.Answer) {
	var team string
	var former []string
	for _, name := range modelTeams[1:] {
		owner := budget.TeamOwner(name)
		switch {
		case m.isMember(consumer, owner):
			team = name
		case m.ever[store.Member{Consumer: consumer, Owner: owner}]:
			former = append(former, name)
		}
	}
	if answer.Team != team || !slices.Equal(answer.Former, former) {
		rt.Fatalf("the answer for %s has team %q, former %q, want %q and %q", consumer, answer.Team, answer.Former, team, former)
	}
}

// compareShared compares everything that the store shows of shared owners with the model.
func (m *model) compareShared(rt *rapid.T, got []store.SharedUsage) {
	want := make([]store.SharedUsage, 0, len(modelOwners))
	for _, owner := range modelOwners {
		_, sum := m.sums(rt, store.Budget{Owner: owner, Name: "none", Period: budget.Total})
		one := store.SharedUsage{Owner: owner, Spend: sum}
		for _, b := range m.shared[owner] {
			window, sum := m.sums(rt, b)
			one.Budgets = append(one.Budgets, store.BudgetUsage{Budget: b, Window: window, Spend: sum})
		}
		for member := range m.ever {
			if member.Owner == owner {
				one.Routes = []store.RouteSpend{{Route: chat, Spend: sum}}
			}
		}
		want = append(want, one)
	}
	if diff := cmp.Diff(want, got, amounts, cmpopts.IgnoreFields(store.BudgetUsage{}, "Refusing")); diff != "" {
		rt.Fatalf("shared owners at %s (-want +got):\n%s", m.clock.now(), diff)
	}
}
