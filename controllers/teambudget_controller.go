package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// +kubebuilder:rbac:groups=modelroute.dev,resources=teambudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups=modelroute.dev,resources=teambudgets/status,verbs=patch

// TeamBudgetReconciler tells the ledger the budgets of teams, and their status what was spent. It is called by the name of a team: several
// TeamBudgets may name one, and then one of them is in force.
type TeamBudgetReconciler struct {
	Client client.Client
	// Shared puts budgets, and Usage knows what was spent.
	Shared *SharedBudgets
	Usage  *Usage
	// Events records what happened to a TeamBudget.
	Events events.EventRecorder
	Clock  clock.PassiveClock
}

// SetupWithManager lets a manager call the reconciler whenever a team's budgets, or what it has spent, are others than before.
func (r *TeamBudgetReconciler) SetupWithManager(ctx context.Context, manager ctrl.Manager) error {
	if err := manager.GetFieldIndexer().IndexField(ctx, &v1alpha1.TeamBudget{}, teamIndex, indexTeam); err != nil {
		return fmt.Errorf("indexing TeamBudgets by their teams: %w", err)
	}
	return ctrl.NewControllerManagedBy(manager).
		Named("teambudget").
		Watches(&v1alpha1.TeamBudget{}, handler.EnqueueRequestsFromMapFunc(teamOf),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(&r.Usage.teams).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentReconciles}).
		Complete(r)
}

// Reconcile puts the budgets that are in force for a team, and writes the status of all TeamBudgets that name it.
func (r *TeamBudgetReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	team := request.Name
	all, err := teamBudgets(ctx, r.Client, team)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Clock.Now()
	inForce := compile.TeamInForce(all)
	if inForce == nil {
		if err := r.Shared.empty(ctx, compile.TeamOwner(team), now); err != nil {
			return reconcile.Result{RequeueAfter: retryInterval}, nil //nolint:nilerr // It is tried again, and nobody's status can say so.
		}
		return reconcile.Result{}, nil
	}
	s := &teamScope{now: now, inForce: inForce, invalid: compile.ValidateTeam(inForce)}
	if len(s.invalid) == 0 {
		s.err = r.put(ctx, s)
	}
	r.Usage.EnsureAsked(ctx)
	s.usage = r.Usage.ofTeam(team)
	var result reconcile.Result
	for i := range all {
		one, err := r.finish(ctx, s, &all[i])
		if err != nil {
			return reconcile.Result{}, err
		}
		if one.RequeueAfter > 0 && (result.RequeueAfter == 0 || one.RequeueAfter < result.RequeueAfter) {
			result = one
		}
	}
	return result, nil
}

func (r *TeamBudgetReconciler) put(ctx context.Context, s *teamScope) error {
	request, err := compile.TeamBudgets(s.inForce, s.now)
	if err != nil {
		return fmt.Errorf("compiling the budgets: %w", err)
	}
	return r.Shared.put(ctx, request, s.now)
}

// teamIndex is the index of TeamBudgets by their teams, and consumerTeamsIndex that of routes and ModelKeys by the teams of consumers.
const (
	teamIndex          = "team"
	consumerTeamsIndex = "teams"
)

func indexTeam(object client.Object) []string {
	team, isTeam := object.(*v1alpha1.TeamBudget)
	if !isTeam {
		return nil
	}
	return []string{compile.TeamName(team)}
}

// indexConsumerTeams are the teams that a route's consumers, or a ModelKey, name.
func indexConsumerTeams(object client.Object) []string {
	switch object := object.(type) {
	case *v1alpha1.ModelRoute:
		var teams []string
		for _, consumer := range object.Spec.Consumers {
			if consumer.Team != "" {
				teams = append(teams, consumer.Team)
			}
		}
		return teams
	case *v1alpha1.ModelKey:
		if object.Spec.Team != "" {
			return []string{object.Spec.Team}
		}
	}
	return nil
}

// teamOf calls the controller by the name of the team.
func teamOf(_ context.Context, object client.Object) []reconcile.Request {
	team, isTeam := object.(*v1alpha1.TeamBudget)
	if !isTeam {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: compile.TeamName(team)}}}
}

func teamBudgets(ctx context.Context, reader client.Reader, team string) ([]v1alpha1.TeamBudget, error) {
	var list v1alpha1.TeamBudgetList
	if err := reader.List(ctx, &list, client.MatchingFields{teamIndex: team}); err != nil {
		return nil, fmt.Errorf("listing the TeamBudgets of team %s: %w", team, err)
	}
	return list.Items, nil
}

// teamInForce is the TeamBudget that is in force for a team; nil if there is none.
func teamInForce(ctx context.Context, reader client.Reader, team string) (*v1alpha1.TeamBudget, error) {
	all, err := teamBudgets(ctx, reader, team)
	return compile.TeamInForce(all), err
}
