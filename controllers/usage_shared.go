package controllers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// maxTeamRoutes is how many routes the status of a TeamBudget shows.
const maxTeamRoutes = 64

// sharedSnapshot is what is known of the usage of one shared owner, as a snapshot is of a route's.
type sharedSnapshot struct {
	synced, fresh, waits bool
	asked                time.Time
	// usage is nil if the ledger does not know the owner.
	usage *ledgerpb.SharedUsage
}

// ofOwner returns what the ledger said last of a shared owner.
func (u *Usage) ofOwner(owner string) sharedSnapshot {
	u.mu.Lock()
	defer u.mu.Unlock()
	return sharedSnapshot{
		synced: u.routes != nil, fresh: u.routes != nil && !u.lost, asked: u.asked, usage: u.shared[owner],
	}
}

// ofTeam is ofOwner for a team, whose status may have to wait for its turn.
func (u *Usage) ofTeam(team string) sharedSnapshot {
	said := u.ofOwner(compile.TeamOwner(team))
	u.mu.Lock()
	defer u.mu.Unlock()
	said.waits = u.waiting[teamSubject(team)]
	return said
}

// teamTurns are the teams whose figures have to be written. A team is called by its name, since several TeamBudgets may name it.
func (u *Usage) teamTurns(ctx context.Context) []turn {
	u.mu.Lock()
	shared := u.shared
	u.mu.Unlock()
	var turns []turn
	for owner, usage := range shared {
		name, isTeam := budget.Owner(owner).Team()
		if !isTeam {
			continue
		}
		team, err := teamInForce(ctx, u.Routes, name)
		if err != nil || team == nil {
			continue // one that is gone has no status
		}
		next, due := projectTeamSpend(team, usage, u.Clock.Now())
		if !due {
			continue
		}
		turns = append(turns, turnFor(teamSubject(name), team.Status.Spend,
			isBudgetUrgent(team.Spec.Budgets, team.Status.Budgets, next.Budgets)))
	}
	return turns
}

// teamFigures are the parts of a TeamBudget's status that come from the ledger.
type teamFigures struct {
	Spend   *v1alpha1.Spend
	Budgets []v1alpha1.BudgetStatus
	Routes  []v1alpha1.RouteSpend
}

// projectTeamSpend decides which figures the status of a TeamBudget shows, by the rules of projectSpend.
func projectTeamSpend(team *v1alpha1.TeamBudget, usage *ledgerpb.SharedUsage, now time.Time) (shown teamFigures, due bool) {
	shown = teamFiguresShown(team.Status)
	if usage == nil {
		return shown, false
	}
	current := teamFiguresOf(team, usage)
	noteBudgetAlerts(team.Spec.Budgets, shown.Budgets, current.Budgets)
	urgent := isBudgetUrgent(team.Spec.Budgets, shown.Budgets, current.Budgets)
	return choose(shown, current, func(f teamFigures) *v1alpha1.Spend { return f.Spend }, urgent, now)
}

func teamFiguresShown(status v1alpha1.TeamBudgetStatus) teamFigures {
	return teamFigures{Spend: status.Spend.DeepCopy(), Budgets: status.Budgets, Routes: status.Routes}
}

func teamFiguresOf(team *v1alpha1.TeamBudget, usage *ledgerpb.SharedUsage) teamFigures {
	current := teamFigures{
		Spend:   &v1alpha1.Spend{Total: spent(usage.GetSpend()).String(), Uncertain: uncertain(usage.GetSpend())},
		Budgets: budgetStatuses(team.Spec.Budgets, usage.GetBudgets()),
	}
	routes := slices.SortedFunc(slices.Values(usage.GetRoutes()), func(a, b *ledgerpb.RouteSpend) int {
		return cmp.Or(
			spent(b.GetSpend()).Cmp(spent(a.GetSpend())),
			cmp.Compare(a.GetRoute().GetNamespace(), b.GetRoute().GetNamespace()),
			cmp.Compare(a.GetRoute().GetName(), b.GetRoute().GetName()),
		)
	})
	for _, route := range routes[:min(len(routes), maxTeamRoutes)] {
		current.Routes = append(current.Routes, v1alpha1.RouteSpend{
			Namespace: route.GetRoute().GetNamespace(), Name: route.GetRoute().GetName(), Spent: spent(route.GetSpend()).String(),
		})
	}
	return current
}
