package portal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// Team is a team that has budgets, as its page shows it.
type Team struct {
	Name string
	// State says whether the ledger holds the team to its budgets.
	State Availability
	// Spent is what was spent in its name in all, in USD; empty if that is not known.
	Spent   string
	Budgets []Budget
	// Fullest is the budget of which most is used; nil if there is none.
	Fullest    *Budget
	Routes     []TeamRoute
	Conditions []Condition
}

// TeamRoute is a route through which a team has spent.
type TeamRoute struct {
	Namespace, Name, Spent string
	// Visible says that the visitor may see the route.
	Visible bool
}

// NewTeam is the page of a team. It is made of the TeamBudget's spec and status alone.
func NewTeam(team *v1alpha1.TeamBudget, now time.Time) Team {
	shown := Team{
		Name: compile.TeamName(team), State: inForceState(team), Conditions: conditions(team.Status.Conditions),
		Budgets: budgets(team.Spec.Budgets, team.Status.Budgets, now),
	}
	shown.Fullest = fullest(shown.Budgets)
	if team.Status.Spend != nil {
		shown.Spent = dollars(team.Status.Spend.Total)
	}
	for _, route := range team.Status.Routes {
		shown.Routes = append(shown.Routes, TeamRoute{Namespace: route.Namespace, Name: route.Name, Spent: dollars(route.Spent)})
	}
	return shown
}

// inForceState says whether the budgets hold, and whether one of them is used up.
func inForceState(team *v1alpha1.TeamBudget) Availability {
	ready := meta.FindStatusCondition(team.Status.Conditions, v1alpha1.ConditionReady)
	within := meta.FindStatusCondition(team.Status.Conditions, v1alpha1.ConditionWithinBudget)
	switch {
	case ready == nil || ready.Status == metav1.ConditionUnknown:
		return Availability{Word: "Not known yet", Tone: Neutral}
	case ready.Status == metav1.ConditionFalse:
		return Availability{Word: "Not in force", Tone: Bad, Message: ready.Message}
	case within != nil && within.Status == metav1.ConditionFalse:
		return Availability{Word: "In force, a budget is used up", Tone: Warning, Message: within.Message}
	}
	return Availability{Word: "In force", Tone: Good}
}

// teamsInForce are the TeamBudgets that hold, one for each team, by the team's name.
func teamsInForce(all []v1alpha1.TeamBudget) []*v1alpha1.TeamBudget {
	byName := map[string][]v1alpha1.TeamBudget{}
	for _, one := range all {
		name := compile.TeamName(&one)
		byName[name] = append(byName[name], one)
	}
	teams := make([]*v1alpha1.TeamBudget, 0, len(byName))
	for _, its := range byName {
		teams = append(teams, compile.TeamInForce(its))
	}
	slices.SortFunc(teams, func(a, b *v1alpha1.TeamBudget) int { return strings.Compare(compile.TeamName(a), compile.TeamName(b)) })
	return teams
}

// teams serves the list of teams.
func (p *Portal) teams(w http.ResponseWriter, r *http.Request) {
	all, err := p.options.Source.Teams(r.Context(), p.visitorOf(r))
	if err != nil {
		p.fail(w, r, aboutTeams, err)
		return
	}
	shown := []Team{}
	for _, team := range teamsInForce(all) {
		shown = append(shown, NewTeam(team, p.options.Now()))
	}
	p.write(w, r, http.StatusOK, "teams.html", Page{Title: "Teams", Content: shown})
}

// team serves the page of a team.
func (p *Portal) team(w http.ResponseWriter, r *http.Request) {
	visitor := p.visitorOf(r)
	all, err := p.options.Source.Teams(r.Context(), visitor)
	if err != nil {
		p.fail(w, r, aboutTeams, err)
		return
	}
	teams := teamsInForce(all)
	i := slices.IndexFunc(teams, func(team *v1alpha1.TeamBudget) bool { return compile.TeamName(team) == r.PathValue("team") })
	if i < 0 {
		p.fail(w, r, aboutTeams, ErrNotFound)
		return
	}
	shown := NewTeam(teams[i], p.options.Now())
	if err := p.markVisible(r.Context(), visitor, shown.Routes); err != nil {
		p.fail(w, r, aboutTeams, err)
		return
	}
	p.write(w, r, http.StatusOK, "team.html", Page{Title: "Team " + shown.Name, Content: shown})
}

// markVisible finds out which of the routes the visitor may see. It asks once for each of their namespaces.
func (p *Portal) markVisible(ctx context.Context, visitor Visitor, routes []TeamRoute) error {
	visible := map[[2]string]bool{}
	asked := map[string]bool{}
	for _, one := range routes {
		if asked[one.Namespace] {
			continue
		}
		asked[one.Namespace] = true
		found, err := p.options.Source.List(ctx, visitor, one.Namespace)
		if err != nil && !errors.Is(err, ErrForbidden) {
			return err
		}
		for i := range found {
			visible[[2]string{found[i].Namespace, found[i].Name}] = err == nil
		}
	}
	for i := range routes {
		routes[i].Visible = visible[[2]string{routes[i].Namespace, routes[i].Name}]
	}
	return nil
}

// linkTeams marks the consumers whose teams have a page that the visitor may see.
func (p *Portal) linkTeams(ctx context.Context, visitor Visitor, consumers []Consumer) {
	if !slices.ContainsFunc(consumers, func(one Consumer) bool { return one.Team != "" }) {
		return
	}
	teams, err := p.options.Source.Teams(ctx, visitor)
	if err != nil {
		return // A route's page does not need them: who may not see teams sees their names here all the same.
	}
	for i := range consumers {
		consumers[i].TeamHasPage = slices.ContainsFunc(teams, func(team v1alpha1.TeamBudget) bool {
			return compile.TeamName(&team) == consumers[i].Team
		})
	}
}
