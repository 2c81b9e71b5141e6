package controllers

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// writePrice says what to do where no price is known.
const writePrice = "Write it in spec.upstreams[].pricing of the route."

// teamRules finds out in which teams' names somebody may spend.
type teamRules struct {
	Client client.Client
	Usage  *Usage
}

// check returns the TeamBudget that is in force for a team, nil if there is none, and why a consumer of the namespace may not spend in the
// team's name; empty if it may.
func (t teamRules) check(ctx context.Context, team, consumer, namespace string) (inForce *v1alpha1.TeamBudget, refusal string, err error) {
	if team == "" {
		return nil, "", nil
	}
	if inForce, err = teamInForce(ctx, t.Client, team); err != nil || inForce == nil {
		return nil, "", err
	}
	labels, err := namespaceLabels(ctx, t.Client, namespace)
	if err != nil {
		return nil, "", fmt.Errorf("reading the namespace: %w", err)
	}
	if !compile.MaySpend(inForce, labels) {
		return inForce, compile.RefusedTeam(inForce, consumer, namespace), nil
	}
	// Budgets that cannot be in force leave those that could last; where there were none, nobody may spend.
	if len(compile.ValidateTeam(inForce)) > 0 && len(t.Usage.ofTeam(team).usage.GetBudgets()) == 0 {
		return inForce, fmt.Sprintf("Consumer %s is not served: TeamBudget %s of its team is invalid, as its status says.",
			consumer, inForce.Name), nil
	}
	return inForce, "", nil
}

// admitTeams finds the budgets of the teams in whose names the route's consumers spend. A consumer that may not spend in its team's name is
// taken out of the route: for this pass it is as if the spec did not have it.
func (r *ModelRouteReconciler) admitTeams(ctx context.Context, s *scope) error {
	rules := teamRules{Client: r.Client, Usage: r.Usage}
	served := make([]v1alpha1.Consumer, 0, len(s.route.Spec.Consumers))
	for _, consumer := range s.route.Spec.Consumers {
		team, refusal, err := rules.check(ctx, consumer.Team, consumer.Name, s.route.Namespace)
		switch {
		case err != nil:
			return err
		case refusal != "":
			s.refused = append(s.refused, refusal)
			continue
		case team != nil && s.isUnpriced() && compile.DenyMoney(team.Spec.Budgets):
			s.refused = append(s.refused, fmt.Sprintf(
				"Consumer %s is not served: a budget of TeamBudget %s denies, and no price is known at one of the upstreams. %s",
				consumer.Name, team.Name, writePrice))
			continue
		}
		s.drawOn(consumer.Team, team)
		served = append(served, consumer)
	}
	if len(s.refused) > 0 {
		s.route = s.route.DeepCopy()
		s.route.Spec.Consumers, s.completed.Route.Spec.Consumers = served, served
	}
	return nil
}

// drawOn notes that a consumer spends in the name of a team; inForce is the TeamBudget that is in force for it, or nil.
func (s *scope) drawOn(team string, inForce *v1alpha1.TeamBudget) {
	switch {
	case inForce != nil:
		s.teams[team] = inForce
	case team != "" && s.teams[team] == nil:
		s.teams[team] = compile.WithoutBudgets(team)
	}
}

// routesOfTeam are those whose consumers, or whose ModelKeys, name the team of a TeamBudget.
func (r *ModelRouteReconciler) routesOfTeam(ctx context.Context, object client.Object) []reconcile.Request {
	team, isTeam := object.(*v1alpha1.TeamBudget)
	if !isTeam {
		return nil
	}
	named := client.MatchingFields{consumerTeamsIndex: compile.TeamName(team)}
	var routes v1alpha1.ModelRouteList
	if err := r.Client.List(ctx, &routes, named); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the routes of a team")
		return nil
	}
	var requests []reconcile.Request
	for i := range routes.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&routes.Items[i])})
	}
	for _, key := range modelKeysOfTeam(ctx, r.Client, named) {
		for _, request := range routesOfModelKey(ctx, &key) {
			if !slices.Contains(requests, request) {
				requests = append(requests, request)
			}
		}
	}
	return requests
}

func modelKeysOfTeam(ctx context.Context, reader client.Reader, named client.MatchingFields) []v1alpha1.ModelKey {
	var keys v1alpha1.ModelKeyList
	if err := reader.List(ctx, &keys, named); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the ModelKeys of a team")
	}
	return keys.Items
}

// routesWithTeams are the routes of a namespace, whose labels have changed, that name teams.
func (r *ModelRouteReconciler) routesWithTeams(ctx context.Context, namespace string) []reconcile.Request {
	var routes v1alpha1.ModelRouteList
	if err := r.Client.List(ctx, &routes, client.InNamespace(namespace)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the routes of a namespace")
	}
	var requests []reconcile.Request
	for i := range routes.Items {
		if len(indexConsumerTeams(&routes.Items[i])) > 0 {
			name := types.NamespacedName{Namespace: namespace, Name: routes.Items[i].Name}
			requests = append(requests, reconcile.Request{NamespacedName: name})
		}
	}
	return requests
}
