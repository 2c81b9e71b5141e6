package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// teamScope is one pass over the TeamBudgets of one team.
type teamScope struct {
	now time.Time
	// inForce is the one that counts, and invalid what is wrong with it.
	inForce *v1alpha1.TeamBudget
	invalid field.ErrorList
	usage   sharedSnapshot
	// err is why the ledger could not be told.
	err error
}

// finish writes the status of one TeamBudget if it has changed, tells of what happened, and says when to look again.
func (r *TeamBudgetReconciler) finish(ctx context.Context, s *teamScope, team *v1alpha1.TeamBudget) (reconcile.Result, error) {
	changed := team.DeepCopy()
	changed.Status = computeTeamStatus(s, team)
	if !equality.Semantic.DeepEqual(team.Status, changed.Status) {
		err := r.Client.Status().Patch(ctx, changed, client.MergeFromWithOptions(team, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: conflictInterval}, nil
		case client.IgnoreNotFound(err) != nil:
			return reconcile.Result{}, fmt.Errorf("writing the status: %w", err)
		}
		r.tell(team, changed.Status)
	}
	if s.err != nil && refusedBudgets(s.err) == "" {
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	if next := compile.NextTeamExpiry(team, s.now); !next.IsZero() {
		return reconcile.Result{RequeueAfter: max(next.Sub(s.now), time.Millisecond)}, nil
	}
	return reconcile.Result{}, nil
}

// computeTeamStatus is the status that a pass leads to. It is pure.
func computeTeamStatus(s *teamScope, team *v1alpha1.TeamBudget) v1alpha1.TeamBudgetStatus {
	status := v1alpha1.TeamBudgetStatus{ObservedGeneration: team.Generation, Team: compile.TeamName(team)}
	var shown teamFigures
	if team.Name == s.inForce.Name {
		shown = teamFiguresShown(team.Status)
		if !s.usage.waits {
			shown, _ = projectTeamSpend(team, s.usage.usage, s.now)
		}
	}
	status.Conditions = teamConditions(s, team, shown)
	status.Spend, status.Budgets, status.Routes = shown.Spend, shown.Budgets, shown.Routes
	status.Summary = summariseBudgets(team.Spec.Budgets, shown.Budgets, shown.Spend)
	return status
}

// teamConditions are all conditions of one TeamBudget. As those of a route, Ready does not depend on WithinBudget.
func teamConditions(s *teamScope, team *v1alpha1.TeamBudget, shown teamFigures) []metav1.Condition {
	accepted, programmed := teamAccepted(s, team), teamProgrammed(s, team)
	ready := yes(v1alpha1.ReasonReady, "The ledger holds team "+compile.TeamName(team)+" to these budgets.")
	for _, each := range []verdict{programmed, accepted} {
		if each.status != metav1.ConditionTrue {
			ready = each
		}
	}
	conditions := []metav1.Condition{
		s.condition(team, v1alpha1.ConditionAccepted, accepted),
		s.condition(team, v1alpha1.ConditionProgrammed, programmed),
		s.condition(team, v1alpha1.ConditionWithinBudget, teamWithinBudget(s, team, shown)),
		s.condition(team, v1alpha1.ConditionReady, ready),
	}
	switch {
	case ready.status == metav1.ConditionTrue:
	case accepted.status == metav1.ConditionFalse:
		conditions = append(conditions, s.condition(team, v1alpha1.ConditionStalled, yes(ready.reason, ready.message)))
	default:
		conditions = append(conditions, s.condition(team, v1alpha1.ConditionReconciling, yes(ready.reason, ready.message)))
	}
	return conditions
}

func (s *teamScope) condition(team *v1alpha1.TeamBudget, name string, v verdict) metav1.Condition {
	return makeCondition(team.Status.Conditions, team.Generation, s.now, name, v)
}

func teamAccepted(s *teamScope, team *v1alpha1.TeamBudget) verdict {
	if team.Name != s.inForce.Name {
		return no(v1alpha1.ReasonSuperseded, fmt.Sprintf(
			"TeamBudget %s names team %s too, and is older: put all budgets of the team into one of them, and delete the other.",
			s.inForce.Name, compile.TeamName(team)))
	}
	problems := make([]string, 0, len(s.invalid))
	for _, problem := range s.invalid {
		problems = append(problems, problem.Error())
	}
	if refused := refusedBudgets(s.err); refused != "" {
		problems = append(problems, "the ledger refuses the budgets: "+refused)
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return no(v1alpha1.ReasonInvalid, listed(problems, "; ")+".")
	}
	return yes(v1alpha1.ReasonAccepted, "The spec is valid.")
}

func teamProgrammed(s *teamScope, team *v1alpha1.TeamBudget) verdict {
	switch {
	case team.Name != s.inForce.Name:
		return no(v1alpha1.ReasonSuperseded, "TeamBudget "+s.inForce.Name+" is in force for the team.")
	case len(s.invalid) > 0 || refusedBudgets(s.err) != "":
		return no(v1alpha1.ReasonLastGood, "These budgets cannot be in force; those that could last are.")
	case s.err != nil:
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	}
	return yes(v1alpha1.ReasonProgrammed, "The ledger has these budgets: no request is served beyond them.")
}

func teamWithinBudget(s *teamScope, team *v1alpha1.TeamBudget, shown teamFigures) verdict {
	its := owned{owner: owner{team: compile.TeamName(team)}, specs: team.Spec.Budgets, statuses: shown.Budgets}
	return withinBudgetOf(its, s.usage.fresh, "No budget of the team denies.")
}

// tell records what the new status says and the one before did not.
func (r *TeamBudgetReconciler) tell(before *v1alpha1.TeamBudget, after v1alpha1.TeamBudgetStatus) {
	its := owned{owner: owner{team: compile.TeamName(before)}, specs: before.Spec.Budgets, statuses: after.Budgets}
	tellOfBudgets(r.Events, before, its, before.Status.Budgets)
	stalled := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionStalled)
	if stalled != nil && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionStalled) {
		r.Events.Eventf(before, nil, corev1.EventTypeWarning, stalled.Reason, actionReconcile, "%s", clip(stalled.Message, maxNote))
	}
}
