package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// maxTeamName is the longest name of a team.
const maxTeamName = 50

// TeamName is the name of the team whose budgets these are.
func TeamName(team *v1alpha1.TeamBudget) string { return cmp.Or(team.Spec.Team, team.Name) }

// ValidateTeam returns what is wrong with a team's budgets. As with Validate, the API server has refused most of it already.
func ValidateTeam(team *v1alpha1.TeamBudget) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateBudgets(team.Spec.Budgets, spec.Child("budgets"))
	for i, budget := range team.Spec.Budgets {
		if budget.WhenExhausted.Upstream != "" {
			errs = append(errs, field.Forbidden(spec.Child("budgets").Index(i).Child("whenExhausted"),
				"names an upstream of one route, and a team's budget is over all routes: say it at a budget of the route"))
		}
	}
	if name := TeamName(team); len(name) > maxTeamName || len(validation.IsDNS1123Label(name)) > 0 {
		errs = append(errs, field.Invalid(spec.Child("team"), name,
			"must be at most 50 small letters, digits and hyphens, with a letter or digit at both ends"))
	}
	if _, err := metav1.LabelSelectorAsSelector(team.Spec.NamespaceSelector); err != nil {
		selector := metav1.FormatLabelSelector(team.Spec.NamespaceSelector)
		errs = append(errs, field.Invalid(spec.Child("namespaceSelector"), selector, err.Error()))
	}
	return errs
}

// WithoutBudgets stands for the TeamBudget of a team that has none. Consumers that name the team draw on it all the same, without a limit:
// so what they spend in its name is the team's when it gets budgets, or gets them back.
func WithoutBudgets(team string) *v1alpha1.TeamBudget {
	return &v1alpha1.TeamBudget{ObjectMeta: metav1.ObjectMeta{Name: team}, Spec: v1alpha1.TeamBudgetSpec{Team: team}}
}

// TeamInForce returns which of the TeamBudgets that name one team is in force: the oldest, and of several that are as old the first by
// name. It is nil if there is none.
func TeamInForce(all []v1alpha1.TeamBudget) *v1alpha1.TeamBudget {
	if len(all) == 0 {
		return nil
	}
	first := slices.MinFunc(all, func(a, b v1alpha1.TeamBudget) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return &first
}

// MaySpend reports whether what is in a namespace with these labels may spend in the team's name. A selector that cannot be read, or that
// is absent, selects nothing.
func MaySpend(team *v1alpha1.TeamBudget, namespace labels.Set) bool {
	selector, err := metav1.LabelSelectorAsSelector(team.Spec.NamespaceSelector)
	return err == nil && selector.Matches(namespace)
}

// RefusedTeam says to whoever reads a status why a consumer is not served.
func RefusedTeam(team *v1alpha1.TeamBudget, consumer, namespace string) string {
	return fmt.Sprintf("Consumer %s is not served: namespace %s may not spend in the name of team %s. Have the namespace selected by "+
		"namespaceSelector of TeamBudget %s, or name another team.", consumer, namespace, TeamName(team), team.Name)
}
