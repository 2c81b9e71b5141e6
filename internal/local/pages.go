package local

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/local/manifest"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/portal"
)

// pages is where the pages for people have the routes from: those that are served, with what the ledger says of them now. Whoever reaches
// the listener sees them, as there is nobody here who could say who may.
type pages struct {
	ledger  usageReader
	history portal.History
	baseURL string
	now     func() time.Time
	// shown is what was last taken up; nil before anything is served.
	shown atomic.Pointer[applied]
}

// usageReader tells what was spent.
type usageReader interface {
	Usage(ctx context.Context) (*ledgerpb.ListUsageResponse, error)
}

// show takes up what is served from now on.
func (p *pages) show(made *applied) { p.shown.Store(made) }

// portal makes the pages, with a playground that asks the API beside them.
func (p *pages) portal(logger *slog.Logger) *portal.Portal {
	return portal.New(portal.Options{Source: p, History: p.history, Accept: byAddress, APIPath: apiPath, Now: p.now, Logger: logger})
}

// byAddress refuses those who come by a name that is not this machine's own. A page of another site could have its name stand for this
// machine (DNS rebinding), and a browser would let it read along.
func byAddress(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "localhost" {
		return nil
	}
	return fmt.Errorf("%w: these pages are served to those who come by an address, such as 127.0.0.1, or by localhost", portal.ErrForbidden)
}

// List returns the routes that are served.
func (p *pages) List(ctx context.Context, _ portal.Visitor, namespace string) ([]v1alpha1.ModelRoute, error) {
	shown := p.shown.Load()
	if shown == nil {
		return nil, nil
	}
	usage, err := p.usage(ctx, shown)
	if err != nil {
		return nil, err
	}
	var routes []v1alpha1.ModelRoute
	for _, route := range shown.routes {
		if namespace == "" || route.Namespace == namespace {
			routes = append(routes, *observed(route, usage, p.baseURL))
		}
	}
	return routes, nil
}

// usage is what the ledger says now of what is served.
func (p *pages) usage(ctx context.Context, shown *applied) (Usage, error) {
	known, err := p.ledger.Usage(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("asking the ledger for what was spent: %w", err)
	}
	return usageOf(known, rememberedOf(shown.routes).alerts()), nil
}

// Teams returns the TeamBudgets in whose names routes are spent on, with the status that an operator would give them.
func (p *pages) Teams(ctx context.Context, _ portal.Visitor) ([]v1alpha1.TeamBudget, error) {
	shown := p.shown.Load()
	if shown == nil {
		return nil, nil
	}
	usage, err := p.usage(ctx, shown)
	if err != nil {
		return nil, err
	}
	byName := compile.Teams{}
	for _, route := range shown.routes {
		maps.Copy(byName, route.Teams)
	}
	var teams []v1alpha1.TeamBudget
	for name, team := range byName {
		if len(team.Spec.Budgets) > 0 {
			teams = append(teams, *observedTeam(name, team, usage))
		}
	}
	return teams, nil
}

// Get returns a route that is served.
func (p *pages) Get(ctx context.Context, visitor portal.Visitor, namespace, name string) (*v1alpha1.ModelRoute, error) {
	routes, err := p.List(ctx, visitor, namespace)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(routes, func(route v1alpha1.ModelRoute) bool { return route.Name == name }); i >= 0 {
		return &routes[i], nil
	}
	return nil, portal.ErrNotFound
}

// observed is a route with the status that an operator would give it: it is served.
func observed(of manifest.Route, usage Usage, baseURL string) *v1alpha1.ModelRoute {
	route := of.DeepCopy()
	route.Status.Endpoint = baseURL
	for _, its := range usage.Routes {
		if its.Namespace == route.Namespace && its.Name == route.Name {
			fill(&route.Status, its, compile.Consumers(of.ModelRoute, of.ModelKeys))
		}
	}
	route.Status.Conditions = []metav1.Condition{
		{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady,
			Message: "It is served on this machine.",
		},
		withinBudget(route),
	}
	return route
}

// fill writes into a status what was spent. Of consumers only those are told that there are now: the ledger forgets none.
func fill(status *v1alpha1.ModelRouteStatus, usage RouteUsage, consumers []compile.Consumer) {
	status.Spend = &v1alpha1.Spend{Total: usage.Spent.String()}
	status.Budgets = budgetStatuses(usage.Budgets)
	for _, one := range usage.Consumers {
		if slices.ContainsFunc(consumers, func(consumer compile.Consumer) bool { return consumer.Name == one.Name }) {
			status.Consumers = append(status.Consumers, v1alpha1.ConsumerStatus{
				Name: one.Name, Spent: one.Spent.String(), Budgets: budgetStatuses(one.Budgets),
			})
		}
	}
	for _, one := range usage.Upstreams {
		for i := range status.Upstreams {
			if status.Upstreams[i].Name == one.Name {
				status.Upstreams[i].Budgets = budgetStatuses(one.Budgets)
			}
		}
	}
}

// observedTeam is a TeamBudget with its status.
func observedTeam(name string, of *v1alpha1.TeamBudget, usage Usage) *v1alpha1.TeamBudget {
	team := of.DeepCopy()
	for _, its := range usage.Teams {
		if its.Name == name {
			team.Status.Spend, team.Status.Budgets = &v1alpha1.Spend{Total: its.Spent.String()}, budgetStatuses(its.Budgets)
			team.Status.Routes = its.Routes
		}
	}
	var used usedUp
	used.note("the team's budget", team.Spec.Budgets, team.Status.Budgets)
	team.Status.Conditions = []metav1.Condition{
		{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady,
			Message: "The ledger holds the team to these budgets.",
		},
		used.condition(),
	}
	return team
}

func budgetStatuses(usages []BudgetUsage) []v1alpha1.BudgetStatus {
	statuses := make([]v1alpha1.BudgetStatus, 0, len(usages))
	for _, one := range usages {
		statuses = append(statuses, v1alpha1.BudgetStatus{
			Name: one.Name, Limit: one.Limit.String(), Spent: one.Spent.String(), Uncertain: orNothing(one.Uncertain),
			Held: one.Held.String(), Remaining: one.Remaining.String(), PercentUsed: new(one.Spent.PercentOf(one.Limit)),
			WindowStart: statusTime(one.WindowStart), ResetTime: statusTime(one.ResetTime), State: v1alpha1.BudgetState(one.State),
		})
	}
	return statuses
}

func orNothing(amount money.Amount) string {
	if amount.IsZero() {
		return ""
	}
	return amount.String()
}

func statusTime(at *time.Time) *metav1.Time {
	if at == nil {
		return nil
	}
	return new(metav1.NewTime(*at))
}

// withinBudget says whether a budget of the route or of a consumer is used up that refuses requests.
func withinBudget(route *v1alpha1.ModelRoute) metav1.Condition {
	var used usedUp
	used.note("the route's budget", route.Spec.Budgets, route.Status.Budgets)
	for _, spec := range route.Spec.Consumers {
		for _, status := range route.Status.Consumers {
			if status.Name == spec.Name {
				used.note("consumer "+spec.Name+"'s budget", spec.Budgets, status.Budgets)
			}
		}
	}
	return used.condition()
}

// usedUp names the budgets that are used up and refuse requests.
type usedUp []string

// note adds those of somebody's.
func (u *usedUp) note(whose string, specs []v1alpha1.Budget, statuses []v1alpha1.BudgetStatus) {
	for _, status := range statuses {
		denies := func(spec v1alpha1.Budget) bool {
			return spec.Name == status.Name && spec.Enforcement == v1alpha1.EnforcementDeny
		}
		if budget.State(status.State) == budget.Exhausted && slices.ContainsFunc(specs, denies) {
			*u = append(*u, fmt.Sprintf("%s %s", whose, status.Name))
		}
	}
}

func (u usedUp) condition() metav1.Condition {
	condition := metav1.Condition{
		Type: v1alpha1.ConditionWithinBudget, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWithinBudget,
		Message: "No budget is used up.",
	}
	if len(u) > 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, v1alpha1.ReasonBudgetExhausted
		condition.Message = "Used up: " + strings.Join(u, ", ") + "."
	}
	return condition
}
