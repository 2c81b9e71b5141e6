package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/internal/compile"
)

// resolveTeams checks the budgets of teams for what the schema cannot check, and gives them to the routes that are spent on in their names.
// Here namespaces have no labels: whatever the namespaceSelector, all of them may spend.
func (o *objects) resolveTeams(routes []Route) {
	teams, places := compile.Teams{}, map[string]place{}
	for _, one := range o.teams {
		o.addAll(one.place, compile.ValidateTeam(one.team))
		name := compile.TeamName(one.team)
		if other, taken := places[name]; taken {
			o.addAll(one.place, field.ErrorList{field.Invalid(field.NewPath("spec", "team"), name,
				"has a TeamBudget in "+other.String()+" as well: put all budgets of the team into one of them")})
		}
		teams[name], places[name] = one.team, one.place
	}
	for i := range routes {
		route := &routes[i]
		route.Teams = compile.Teams{}
		for _, consumer := range compile.Consumers(route.ModelRoute, route.ModelKeys) {
			switch team := teams[consumer.Team]; {
			case team != nil:
				route.Teams[consumer.Team] = team
			case consumer.Team != "":
				route.Teams[consumer.Team] = compile.WithoutBudgets(consumer.Team)
			}
		}
		for name, team := range route.Teams {
			if compile.DenyMoney(team.Spec.Budgets) && compile.IsUnpriced(route.ModelRoute) {
				o.addAll(places[name], field.ErrorList{field.Forbidden(field.NewPath("spec", "budgets"),
					fmt.Sprintf(unpriced, "of the team", route.Namespace+"/"+route.Name))})
			}
		}
	}
}
