package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/compile"
)

// verdict is the outcome of one condition. Its message is the same for as long as nothing happens, and says what to do where something
// can be done.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

func yes(reason, message string) verdict { return verdict{metav1.ConditionTrue, reason, message} }
func no(reason, message string) verdict  { return verdict{metav1.ConditionFalse, reason, message} }
func unknown(reason, message string) verdict {
	return verdict{metav1.ConditionUnknown, reason, message}
}

// notObserved is the verdict on what a phase did not get to.
func notObserved() verdict {
	return unknown(v1alpha1.ReasonNotObserved, "This was not looked at, since something earlier failed.")
}

// conditions are all conditions of a pass. Ready summarises the first four; WithinBudget is none of them, since a budget that holds is a
// healthy system.
func conditions(s *scope, shown figures) []metav1.Condition {
	summarised := []struct {
		name string
		verdict
	}{
		{v1alpha1.ConditionAccepted, accepted(s)},
		{v1alpha1.ConditionResolvedRefs, resolvedRefs(s)},
		{v1alpha1.ConditionProgrammed, programmed(s)},
		{v1alpha1.ConditionAvailable, available(s)},
	}
	verdicts := make([]verdict, 0, len(summarised))
	written := make([]metav1.Condition, 0, len(summarised))
	for _, each := range summarised {
		verdicts = append(verdicts, each.verdict)
		written = append(written, s.condition(each.name, each.verdict))
	}
	ready := summary(s.servedAt(), verdicts...)
	written = append(written,
		s.condition(v1alpha1.ConditionWithinBudget, withinBudget(s, shown)),
		s.condition(v1alpha1.ConditionReady, ready))
	if prices, isThere := pricesCurrent(s); isThere {
		written = append(written, s.condition(v1alpha1.ConditionPricesCurrent, prices))
	}
	if keys, isThere := upstreamKeysProvisioned(s); isThere {
		written = append(written, s.condition(v1alpha1.ConditionUpstreamKeysProvisioned, keys))
	}
	if proxy := s.route.Spec.Proxy; proxy != nil {
		written = append(written, s.extensions.conditions(proxy.ProxyPods, s.route.Namespace, failed(s.err), s.condition)...)
	}
	if compile.IsSuspended(s.route) {
		written = append(written, s.condition(v1alpha1.ConditionSuspended, yes(v1alpha1.ReasonSuspended, suspended)))
	}
	switch {
	case ready.status == metav1.ConditionTrue:
	case isStalled(s):
		written = append(written, s.condition(v1alpha1.ConditionStalled, yes(ready.reason, ready.message)))
	default:
		written = append(written, s.condition(v1alpha1.ConditionReconciling, yes(ready.reason, ready.message)))
	}
	return written
}

// summary is Ready: what it says if all verdicts are true, and else the first that is false, which explains best why not; without one, the
// first that is unknown.
func summary(message string, verdicts ...verdict) verdict {
	ready := yes(v1alpha1.ReasonReady, message)
	for _, each := range verdicts {
		if each.status == metav1.ConditionTrue || ready.status == metav1.ConditionFalse {
			continue
		}
		if each.status == metav1.ConditionFalse || ready.status == metav1.ConditionTrue {
			ready = each
		}
	}
	return ready
}

// condition makes a condition of a verdict. The time of its last transition stays while its status does.
func (s *scope) condition(name string, v verdict) metav1.Condition {
	return makeCondition(s.route.Status.Conditions, s.route.Generation, s.now, name, v)
}

// makeCondition is scope.condition for any object that has these conditions and this generation.
func makeCondition(before []metav1.Condition, generation int64, now time.Time, name string, v verdict) metav1.Condition {
	transition := metav1.NewTime(now)
	if before := meta.FindStatusCondition(before, name); before != nil && before.Status == v.status {
		transition = before.LastTransitionTime
	}
	return metav1.Condition{
		Type: name, Status: v.status, Reason: v.reason, Message: clip(v.message, maxMessage),
		ObservedGeneration: generation, LastTransitionTime: transition,
	}
}

// isStalled reports whether only a change by a person can help.
func isStalled(s *scope) bool {
	var notOwned *apply.NotOwnedError
	return len(s.invalid) > 0 || errors.As(s.err, &notOwned) && !notOwned.Leaving
}

func accepted(s *scope) verdict {
	switch {
	case !s.validated:
		return failed(s.err)
	case len(s.invalid) > 0:
		problems := make([]string, 0, len(s.invalid))
		for _, problem := range s.invalid {
			problems = append(problems, problem.Error())
		}
		slices.Sort(problems)
		return no(v1alpha1.ReasonInvalid, listed(problems, "; ")+".")
	}
	return yes(v1alpha1.ReasonAccepted, "The spec is valid.")
}

func resolvedRefs(s *scope) verdict {
	if len(s.refused) > 0 && s.unresolved == nil {
		return no(v1alpha1.ReasonTeamNotAllowed, listed(s.refused, " "))
	}
	switch {
	case s.unresolved != nil:
		return no(s.unresolved.Reason, s.unresolved.Message)
	case !s.resolved:
		return failed(s.err)
	}
	if problem := unresolvedAccounts(s); problem != nil {
		return no(problem.Reason, problem.Message)
	}
	return yes(v1alpha1.ReasonResolvedRefs, "All that the spec names is there.")
}

const (
	servingLastGood   = "The proxies go on serving the last generation that could be served."
	suspended         = "Requests are refused until the annotation " + v1alpha1.AnnotationSuspended + " is taken away."
	routeReplicas     = "spec.proxy.replicas"
	ledgerUnavailable = "The ledger cannot be reached, so that it is not known which proxies serve this generation. " +
		"See the pods of modelroute-ledger in the operator's namespace."
)

func programmed(s *scope) verdict {
	switch {
	case s.err != nil:
		return notProgrammed(s.err, s.isServed(), "route")
	case s.gateway != nil:
		return programmedByGateway(s)
	}
	return s.programmed(s.acknowledged(), s.usage.fresh, v1alpha1.LabelRoute, s.route.Name, routeReplicas)
}

// notProgrammed is the verdict where a phase failed, so that the children were left as they are. Serving is whether proxies run that go on,
// and kind what the owner of the children is called.
func notProgrammed(err error, serving bool, kind string) verdict {
	var (
		notOwned   *apply.NotOwnedError
		unresolved *unresolvedError
		pending    *pendingListError
		ledger     *ledgerError
		write      *apply.WriteError
	)
	switch {
	case errors.As(err, &write) && write.NamespaceLeaves():
		return no(v1alpha1.ReasonPending,
			fmt.Sprintf("The namespace is being deleted, and the %s with it: nothing is made there any more.", kind))
	case errors.Is(err, invalidError{}), errors.As(err, &unresolved), errors.As(err, &pending):
		if serving {
			return no(v1alpha1.ReasonLastGood, servingLastGood)
		}
		return no(v1alpha1.ReasonPending, "Nothing is served until the spec is valid and all that it refers to is there.")
	case errors.As(err, &notOwned) && notOwned.Leaving:
		return no(v1alpha1.ReasonPending, fmt.Sprintf("%s %q of an earlier %s is still being deleted.", notOwned.Kind, notOwned.Name, kind))
	case errors.As(err, &notOwned):
		message := childNotOwned(notOwned, kind)
		if serving {
			message += " " + servingLastGood
		}
		return no(v1alpha1.ReasonChildNotOwned, message)
	case errors.As(err, &ledger):
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	}
	return failed(err)
}

func childNotOwned(problem *apply.NotOwnedError, kind string) string {
	remedy := "delete it, or give the " + kind + " another name"
	if problem.Kind == "Secret" && kind == "route" {
		remedy = "delete it, or name another one in the consumer's secretName"
	}
	return fmt.Sprintf("%s %q belongs to somebody else and is left alone: %s.", problem.Kind, problem.Name, remedy)
}

// failed is the verdict on what could not be found out because of an error.
func failed(err error) verdict {
	var (
		write   *apply.WriteError
		pending *pendingListError
	)
	switch {
	case err == nil:
		return notObserved()
	case errors.As(err, &pending):
		return unknown(v1alpha1.ReasonListPending, pending.Error())
	case errors.As(err, &write) && write.Reason() != metav1.StatusReasonUnknown:
		return unknown(v1alpha1.ReasonInternalError, fmt.Sprintf(
			"The API server refuses to write the %s (%s). This is tried again; the manager's log has the details.",
			write.Kind, write.Reason()))
	}
	return unknown(v1alpha1.ReasonInternalError, "Something failed and is tried again; the manager's log has the details.")
}

func available(s *scope) verdict {
	if s.gateway != nil {
		return availableInGateway(s)
	}
	return s.available(s.err, v1alpha1.LabelRoute, s.route.Name, routeReplicas)
}

func withinBudget(s *scope, shown figures) verdict {
	exhausted := exhaustedBudgets(s.route, shown)
	switch {
	case !isLimited(s.route):
		return yes(v1alpha1.ReasonNoBudget, "No budget denies: spend is counted and not limited.")
	case !s.usage.fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, "The ledger cannot be reached, so that the spend is not known.")
	case !denialsKnown(s.route, shown):
		return unknown(v1alpha1.ReasonNotObserved, "The ledger has not said yet what was spent.")
	case len(exhausted) == 0:
		return yes(v1alpha1.ReasonWithinBudget, "No budget is used up.")
	}
	problems := make([]string, 0, len(exhausted))
	for _, budget := range exhausted {
		problems = append(problems, budget.describe())
	}
	return no(v1alpha1.ReasonBudgetExhausted, listed(problems, " "))
}

// withinBudgetOf is withinBudget for an object whose budgets all have one owner. It is told what to say where none of them denies.
func withinBudgetOf(its owned, fresh bool, noBudget string) verdict {
	exhausted := exhaustedOf(its)
	switch {
	case !slices.ContainsFunc(its.specs, denies):
		return yes(v1alpha1.ReasonNoBudget, noBudget)
	case !fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, "The ledger cannot be reached, so that the spend is not known.")
	case !denyingAreIn(its.specs, its.statuses):
		return unknown(v1alpha1.ReasonNotObserved, "The ledger has not said yet what was spent.")
	case len(exhausted) == 0:
		return yes(v1alpha1.ReasonWithinBudget, "No budget is used up.")
	}
	problems := make([]string, 0, len(exhausted))
	for _, budget := range exhausted {
		problems = append(problems, budget.describe())
	}
	return no(v1alpha1.ReasonBudgetExhausted, listed(problems, " "))
}

const (
	// maxMessage is how many bytes the API server takes as the message of a condition. It would refuse the whole status for one that is
	// longer.
	maxMessage = 32 << 10
	// maxListed is how many problems one message names: a route can have hundreds of budgets.
	maxListed = 10
)

// listed joins what a message names, and counts what it leaves out.
func listed(problems []string, separator string) string {
	if more := len(problems) - maxListed; more > 0 {
		problems = append(slices.Clone(problems[:maxListed]), fmt.Sprintf("(%d more)", more))
	}
	return strings.Join(problems, separator)
}

// clip shortens a text that is too long to so many bytes.
func clip(text string, limit int) string {
	const ellipsis = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(ellipsis)], "") + ellipsis
}

// isLimited reports whether any budget of the route or of a consumer denies.
func isLimited(route *v1alpha1.ModelRoute) bool {
	return slices.ContainsFunc(owners(route.Spec, figures{}), func(one owned) bool { return slices.ContainsFunc(one.specs, denies) })
}

// denialsKnown reports whether the figures have every budget that denies.
func denialsKnown(route *v1alpha1.ModelRoute, shown figures) bool {
	return !slices.ContainsFunc(owners(route.Spec, shown), func(one owned) bool { return !denyingAreIn(one.specs, one.statuses) })
}

func denyingAreIn(specs []v1alpha1.Budget, statuses []v1alpha1.BudgetStatus) bool {
	for _, spec := range specs {
		isIn := slices.ContainsFunc(statuses, func(status v1alpha1.BudgetStatus) bool { return status.Name == spec.Name })
		if denies(spec) && !isIn {
			return false
		}
	}
	return true
}

func denies(budget v1alpha1.Budget) bool { return budget.Enforcement == v1alpha1.EnforcementDeny }
