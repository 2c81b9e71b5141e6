package controllers

import (
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
)

// keyConditions are all conditions of a pass. As those of a route, Ready does not depend on WithinBudget.
func keyConditions(s *keyScope, shown keyFigures) []metav1.Condition {
	accepted, resolved := keyAccepted(s), keyResolvedRefs(s)
	ready := keyReady(s)
	for _, each := range []verdict{resolved, accepted} {
		if each.status != metav1.ConditionTrue {
			ready = each
		}
	}
	written := []metav1.Condition{
		s.condition(v1alpha1.ConditionAccepted, accepted),
		s.condition(v1alpha1.ConditionResolvedRefs, resolved),
		s.condition(v1alpha1.ConditionWithinBudget, keyWithinBudget(s, shown)),
		s.condition(v1alpha1.ConditionReady, ready),
	}
	var notOwned *apply.NotOwnedError
	isStalled := accepted.status == metav1.ConditionFalse || errors.As(s.err, &notOwned) && !notOwned.Leaving
	switch {
	case ready.status == metav1.ConditionTrue:
	case isStalled:
		written = append(written, s.condition(v1alpha1.ConditionStalled, yes(ready.reason, ready.message)))
	default:
		written = append(written, s.condition(v1alpha1.ConditionReconciling, yes(ready.reason, ready.message)))
	}
	return written
}

func (s *keyScope) condition(name string, v verdict) metav1.Condition {
	return makeCondition(s.key.Status.Conditions, s.key.Generation, s.now, name, v)
}

// keyAccepted says whether the spec is valid, in time, and allowed by every route that there is.
func keyAccepted(s *keyScope) verdict {
	switch {
	case !s.resolved:
		return notObserved()
	case len(s.invalid) > 0:
		problems := make([]string, 0, len(s.invalid))
		for _, problem := range s.invalid {
			problems = append(problems, problem.Error())
		}
		slices.Sort(problems)
		return no(v1alpha1.ReasonInvalid, listed(problems, "; ")+".")
	case compile.IsExpired(s.key, s.now):
		return no(v1alpha1.ReasonExpired, expired)
	}
	if s.teamRefusal != "" {
		return no(v1alpha1.ReasonTeamNotAllowed, s.teamRefusal)
	}
	if messages := s.refusals(v1alpha1.KeyNotAllowed); len(messages) > 0 {
		return no(v1alpha1.ReasonNotAllowed, listed(messages, " "))
	}
	if messages := s.refusals(v1alpha1.KeyAccountTaken); len(messages) > 0 {
		return no(v1alpha1.ReasonServiceAccountTaken, listed(messages, " "))
	}
	if messages := s.refusals(v1alpha1.KeyTooMany); len(messages) > 0 {
		return no(v1alpha1.ReasonTooManyKeys, listed(messages, " "))
	}
	if messages := s.refusals(v1alpha1.KeyModelNameTaken); len(messages) > 0 {
		return no(v1alpha1.ReasonModelNameTaken, listed(messages, " "))
	}
	return yes(v1alpha1.ReasonAccepted, "Every route that there is allows this ModelKey.")
}

func keyResolvedRefs(s *keyScope) verdict {
	if !s.resolved {
		return notObserved()
	}
	if messages := s.refusals(v1alpha1.KeyRouteNotFound); len(messages) > 0 {
		return no(v1alpha1.ReasonRouteNotFound, listed(messages, " ")+" Create it, or take it from spec.routeRefs.")
	}
	for _, one := range s.routes { // They all look for the same ServiceAccounts.
		report := one.report.keys[s.name()]
		if len(report.absent) > 0 {
			return no(v1alpha1.ReasonServiceAccountNotFound, listed(report.absent, " "))
		}
		if report.issuer != "" {
			return no(v1alpha1.ReasonIssuerUnavailable, report.issuer)
		}
	}
	return yes(v1alpha1.ReasonResolvedRefs, "All that the spec names is there.")
}

// refusals are the messages of the routes that refuse the ModelKey in one way.
func (s *keyScope) refusals(state v1alpha1.KeyRouteState) []string {
	var messages []string
	for _, one := range s.routes {
		if one.refusal.state == state {
			messages = append(messages, one.refusal.message)
		}
	}
	return messages
}

// keyReady says whether the key is delivered and every route accepts it.
func keyReady(s *keyScope) verdict {
	var notOwned *apply.NotOwnedError
	switch {
	case errors.As(s.err, &notOwned) && notOwned.Leaving:
		return no(v1alpha1.ReasonPending, "Secret "+notOwned.Name+" of an earlier ModelKey is still being deleted.")
	case errors.As(s.err, &notOwned):
		return no(v1alpha1.ReasonChildNotOwned, "Secret "+notOwned.Name+
			" belongs to somebody else and is left alone: delete it, or name another one in spec.secretName.")
	case s.err != nil:
		return unknown(v1alpha1.ReasonInternalError, "Something failed and is tried again; the manager's log has the details.")
	case !s.usage.fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	}
	var messages []string
	for _, one := range s.routes {
		if its := one.outcome(s); its.state != v1alpha1.KeyAccepted {
			messages = append(messages, its.message)
		}
	}
	if len(messages) > 0 {
		return no(v1alpha1.ReasonPending, listed(messages, " "))
	}
	if !compile.KeyHasKey(s.key) {
		return yes(v1alpha1.ReasonReady, "Every route accepts the tokens, for the audience "+v1alpha1.TokenAudience+
			", of ServiceAccount "+strings.Join(accountNames(s.key), ", ")+".")
	}
	return yes(v1alpha1.ReasonReady, "Secret "+compile.KeySecretName(s.key)+" has the key, and every route accepts it.")
}

func accountNames(key *v1alpha1.ModelKey) []string {
	names := make([]string, 0, len(key.Spec.ServiceAccounts))
	for _, account := range key.Spec.ServiceAccounts {
		names = append(names, account.Name)
	}
	return names
}

func keyWithinBudget(s *keyScope, shown keyFigures) verdict {
	its := owned{specs: s.key.Spec.Budgets, statuses: shown.Budgets}
	return withinBudgetOf(its, s.usage.fresh, "No budget of the ModelKey denies; those of the routes hold as well.")
}
