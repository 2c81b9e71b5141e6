package compile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// teamOf is a TeamBudget of team search that was made at a time and denies above 5 USD a month.
func teamOf(name string, made time.Time) v1alpha1.TeamBudget {
	return v1alpha1.TeamBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(made)},
		Spec: v1alpha1.TeamBudgetSpec{
			Team: "search", NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "search"}},
			Budgets: []v1alpha1.Budget{{
				Name: "monthly", Amount: "5", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
			}},
		},
	}
}

func TestTheOldestBudgetOfATeamIsInForce(t *testing.T) {
	late, early := teamOf("a", noon.Add(time.Hour)), teamOf("z", noon)
	if got := compile.TeamInForce([]v1alpha1.TeamBudget{late, early}); got.Name != "z" {
		t.Errorf("%s is in force, want the oldest", got.Name)
	}
	twin := teamOf("y", noon)
	if got := compile.TeamInForce([]v1alpha1.TeamBudget{early, late, twin}); got.Name != "y" {
		t.Errorf("%s is in force, want the first by name of the oldest", got.Name)
	}
	if got := compile.TeamInForce(nil); got != nil {
		t.Errorf("%s is in force, and there is none", got.Name)
	}
}

func TestOnlySelectedNamespacesSpendInATeamsName(t *testing.T) {
	team := teamOf("search", noon)
	unreadable := teamOf("search", noon)
	unreadable.Spec.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}
	everybody, nobody := teamOf("search", noon), teamOf("search", noon)
	everybody.Spec.NamespaceSelector, nobody.Spec.NamespaceSelector = &metav1.LabelSelector{}, nil
	cases := map[string]struct {
		team   v1alpha1.TeamBudget
		labels labels.Set
		want   bool
	}{
		"a namespace that is selected":      {team, labels.Set{"team": "search"}, true},
		"a namespace of another team":       {team, labels.Set{"team": "ads"}, false},
		"a namespace without labels":        {team, nil, false},
		"a selector that selects all":       {everybody, nil, true},
		"a selector that nobody can read":   {unreadable, labels.Set{"team": "search"}, false},
		"a TeamBudget without any selector": {nobody, labels.Set{"team": "search"}, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := compile.MaySpend(&test.team, test.labels); got != test.want {
				t.Errorf("may spend: %t, want %t", got, test.want)
			}
		})
	}
	if errs := compile.ValidateTeam(&unreadable); len(errs) != 1 || errs[0].Field != "spec.namespaceSelector" {
		t.Errorf("the errors are %v", errs)
	}
}

func TestAConsumerDrawsOnTheBudgetsOfItsTeam(t *testing.T) {
	team := teamOf("search", noon)
	team.Spec.Budgets[0].Credits = []v1alpha1.Credit{{Name: "fair", Amount: "1", Reason: "The fair.", ExpireTime: &metav1.Time{Time: noon.Add(time.Hour)}}}
	teams := compile.Teams{"search": &team}
	route := &v1alpha1.ModelRoute{Spec: v1alpha1.ModelRouteSpec{
		Consumers: []v1alpha1.Consumer{{Name: "web", Team: "search"}, {Name: "batch", Team: "ads"}, {Name: "mail"}},
	}}
	request, err := compile.Budgets(route, nil, teams, "server", noon)
	if err != nil {
		t.Fatal(err)
	}
	draws := []*ledgerpb.Member{{Consumer: "web", Owner: "team/search"}}
	if diff := cmp.Diff(draws, request.GetMembers(), protocmp.Transform()); diff != "" {
		t.Errorf("who draws on what (-want +got):\n%s", diff)
	}
	shared, err := compile.Shared(route, nil, teams, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(shared) != 1 || shared[0].GetOwner() != "team/search" || shared[0].GetBudgets()[0].GetLimit() != 6_000_000_000 {
		t.Errorf("the shared budgets are %v, want 6 USD of the team", shared)
	}
	if next := compile.NextExpiry(route, nil, teams, noon); !next.Equal(noon.Add(time.Hour)) {
		t.Errorf("the next expiry is at %s", next)
	}
}
