package portal_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/portal"
)

// searchTeam is the TeamBudget of team search in the middle of its month, which has spent through the sample route and another one.
func searchTeam() *v1alpha1.TeamBudget {
	start, end := metav1.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC), metav1.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
	percent := int32(26)
	return &v1alpha1.TeamBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "search"},
		Spec: v1alpha1.TeamBudgetSpec{NamespaceSelector: &metav1.LabelSelector{}, Budgets: []v1alpha1.Budget{{
			Name: "monthly", Amount: "1000.00", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
		}}},
		Status: v1alpha1.TeamBudgetStatus{
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "The ledger holds the team to it."},
			},
			Team: "search", Spend: &v1alpha1.Spend{Total: "512.34"},
			Budgets: []v1alpha1.BudgetStatus{{
				Name: "monthly", Limit: "1000.00", Spent: "265.00", Held: "0.00", Remaining: "735.00", PercentUsed: &percent,
				WindowStart: &start, ResetTime: &end, State: "WithinBudget",
			}},
			Routes: []v1alpha1.RouteSpend{
				{Namespace: "ai-platform", Name: "mixtral-8x22b-instruct", Spent: "500.00"}, {Namespace: "secret", Name: "project", Spent: "12.34"},
			},
		},
	}
}

func TestATeamsPageShowsItsBudgetsAndWhereItSpends(t *testing.T) {
	pages := newPortal(&source{routes: []v1alpha1.ModelRoute{*sample(t)}, teams: []v1alpha1.TeamBudget{*searchTeam()}})
	_, list := get(t, pages, "/teams")
	wantContains(t, list, "1 team has budgets", `<a href="/teams/search">search</a>`, ">In force<", "$265.00 of $1000.00", "$512.34")
	_, page := get(t, pages, "/teams/search")
	wantContains(t, page, "<h1>Team search</h1>", "<strong>$512.34</strong> spent in the team's name",
		"<strong>$265.00</strong> of $1000.00 (26 %)",
		"At this rate it is about $300.00 by the end.", `<a href="`+samplePath+`">ai-platform/mixtral-8x22b-instruct</a>`, "secret/project", "$12.34")
	if strings.Contains(page, `href="/routes/secret/project"`) {
		t.Errorf("a route that the visitor may not see is linked:\n%s", page)
	}
}

func TestOfSeveralBudgetsOfATeamTheOneInForceIsShown(t *testing.T) {
	late, early := searchTeam(), searchTeam()
	late.CreationTimestamp, early.CreationTimestamp = metav1.NewTime(now), metav1.NewTime(now.Add(-time.Hour))
	early.Name, early.Spec.Team, early.Spec.Budgets[0].Name = "of-the-platform", "search", "the-oldest"
	pages := newPortal(&source{teams: []v1alpha1.TeamBudget{*late, *early}})
	_, list := get(t, pages, "/teams")
	wantContains(t, list, "1 team has budgets")
	_, page := get(t, pages, "/teams/search")
	wantContains(t, page, "the-oldest")
}

func TestATeamSaysThatItsBudgetsDoNotHoldOrAreUsedUp(t *testing.T) {
	for word, conditions := range map[string][]metav1.Condition{
		">Not known yet<": nil,
		">Not in force<":  {{Type: "Ready", Status: "False", Message: "because"}},
		">In force, a budget is used up<": {
			{Type: "Ready", Status: "True", Message: "ready"}, {Type: "WithinBudget", Status: "False", Message: "because"},
		},
	} {
		team := searchTeam()
		team.Status.Conditions = conditions
		_, page := get(t, newPortal(&source{teams: []v1alpha1.TeamBudget{*team}}), "/teams/search")
		wantContains(t, page, word)
		if conditions != nil {
			wantContains(t, page, `<p class="note">because</p>`)
		}
	}
}

func TestATeamThatIsNotThereOrMayNotBeSeenHasNoPage(t *testing.T) {
	for path, test := range map[string]struct {
		source portal.Source
		status int
		want   string
	}{
		"/teams/none":   {&source{}, http.StatusNotFound, "There is no such team"},
		"/teams/search": {&source{err: fmt.Errorf("listing: %w", portal.ErrForbidden)}, http.StatusForbidden, "lets you list TeamBudgets"},
		"/teams":        {&source{err: context.DeadlineExceeded}, http.StatusBadGateway, "The teams cannot be read"},
	} {
		answer, page := get(t, newPortal(test.source), path)
		if answer.StatusCode != test.status {
			t.Errorf("%s: %s", path, answer.Status)
		}
		wantContains(t, page, test.want)
	}
	_, page := get(t, newPortal(&source{}), "/teams")
	wantContains(t, page, "No team has a budget of its own.")
}

// teamless is a source whose teams nobody may see.
type teamless struct{ source }

func (*teamless) Teams(context.Context, portal.Visitor) ([]v1alpha1.TeamBudget, error) {
	return nil, portal.ErrForbidden
}

func TestAConsumersTeamIsALinkWhereItHasAPage(t *testing.T) {
	route := sample(t)
	route.Spec.Consumers[0].Team = "search"
	routes := []v1alpha1.ModelRoute{*route}
	const link = `of team <a href="/teams/search">search</a>`
	_, page := get(t, newPortal(&source{routes: routes, teams: []v1alpha1.TeamBudget{*searchTeam()}}), samplePath)
	wantContains(t, page, link)
	for name, pages := range map[string]portal.Source{
		"a team without a TeamBudget": &source{routes: routes}, "teams that may not be seen": &teamless{source{routes: routes}},
	} {
		_, page := get(t, newPortal(pages), samplePath)
		if strings.Contains(page, link) || !strings.Contains(page, "of team search") {
			t.Errorf("%s:\n%s", name, page)
		}
	}
}

// partial is a source whose routes may be seen in one namespace alone.
type partial struct{ source }

func (p *partial) List(ctx context.Context, visitor portal.Visitor, namespace string) ([]v1alpha1.ModelRoute, error) {
	if namespace != "ai-platform" {
		return nil, portal.ErrForbidden
	}
	return p.source.List(ctx, visitor, namespace)
}

func TestOnATeamsPageThoseRoutesAreLinksThatTheVisitorMaySee(t *testing.T) {
	hidden := sample(t)
	hidden.Namespace, hidden.Name = "secret", "project"
	pages := newPortal(&partial{source{routes: []v1alpha1.ModelRoute{*sample(t), *hidden}, teams: []v1alpha1.TeamBudget{*searchTeam()}}})
	answer, page := get(t, pages, "/teams/search")
	if answer.StatusCode != http.StatusOK || strings.Contains(page, `href="/routes/secret/project"`) {
		t.Errorf("%s:\n%s", answer.Status, page)
	}
	wantContains(t, page, `<a href="`+samplePath+`">`)
}
