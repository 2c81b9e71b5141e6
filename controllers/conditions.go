package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

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
	ready := yes(v1alpha1.ReasonReady, "The route is served at "+compile.Endpoint(s.route)+".")
	if wantedReplicas(s) == 0 {
		ready.message = noReplicas
	}
	var written []metav1.Condition
	for _, each := range summarised {
		written = append(written, s.condition(each.name, each.verdict))
		if each.status == metav1.ConditionTrue || ready.status == metav1.ConditionFalse {
			continue
		}
		// The first that is false explains best why the route is not ready; without one, the first that is unknown.
		if each.status == metav1.ConditionFalse || ready.status == metav1.ConditionTrue {
			ready = each.verdict
		}
	}
	written = append(written,
		s.condition(v1alpha1.ConditionWithinBudget, withinBudget(s, shown)),
		s.condition(v1alpha1.ConditionReady, ready))
	if prices, isThere := pricesCurrent(s); isThere {
		written = append(written, s.condition(v1alpha1.ConditionPricesCurrent, prices))
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
		return failed(s)
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
		return failed(s)
	}
	return yes(v1alpha1.ReasonResolvedRefs, "All Secrets that the spec names are there.")
}

const (
	servingLastGood   = "The proxies go on serving the last generation that could be served."
	suspended         = "Requests are refused until the annotation " + v1alpha1.AnnotationSuspended + " is taken away."
	noReplicas        = "No proxy runs, since spec.proxy.replicas is 0: nobody is served."
	ledgerUnavailable = "The ledger cannot be reached, so that it is not known which proxies serve this generation. " +
		"See the pods of modelroute-ledger in the operator's namespace."
)

func programmed(s *scope) verdict {
	if s.err != nil {
		return notProgrammed(s)
	}
	ready := len(s.readyPods)
	switch {
	case wantedReplicas(s) == 0 && ready == 0:
		return yes(v1alpha1.ReasonProgrammed, noReplicas)
	case !s.usage.fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	case ready == 0:
		return no(v1alpha1.ReasonPending, "No proxy is ready yet. See the pods with the label "+v1alpha1.LabelRoute+"="+s.route.Name+".")
	case s.acknowledged() < ready:
		return no(v1alpha1.ReasonPending, fmt.Sprintf("%d of %d ready proxies serve this generation.", s.acknowledged(), ready))
	case isRollingOut(s):
		return no(v1alpha1.ReasonPending, "The proxies are being replaced.")
	}
	return yes(v1alpha1.ReasonProgrammed, "Every ready proxy serves this generation.")
}

// notProgrammed is the verdict where a phase failed, so that the children were left as they are.
func notProgrammed(s *scope) verdict {
	var (
		notOwned   *apply.NotOwnedError
		unresolved *unresolvedError
		pending    *pendingListError
		ledger     *ledgerError
	)
	switch {
	case errors.Is(s.err, invalidError{}), errors.As(s.err, &unresolved), errors.As(s.err, &pending):
		if s.deployment != nil {
			return no(v1alpha1.ReasonLastGood, servingLastGood)
		}
		return no(v1alpha1.ReasonPending, "Nothing is served until the spec is valid and all that it refers to is there.")
	case errors.As(s.err, &notOwned) && notOwned.Leaving:
		return no(v1alpha1.ReasonPending, fmt.Sprintf("%s %q of an earlier route is still being deleted.", notOwned.Kind, notOwned.Name))
	case errors.As(s.err, &notOwned):
		message := childNotOwned(notOwned)
		if s.deployment != nil {
			message += " " + servingLastGood
		}
		return no(v1alpha1.ReasonChildNotOwned, message)
	case errors.As(s.err, &ledger):
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	}
	return failed(s)
}

func childNotOwned(problem *apply.NotOwnedError) string {
	remedy := "delete it, or give the route another name"
	if problem.Kind == "Secret" {
		remedy = "delete it, or name another one in the consumer's secretName"
	}
	return fmt.Sprintf("%s %q belongs to somebody else and is left alone: %s.", problem.Kind, problem.Name, remedy)
}

// failed is the verdict on what could not be found out because of an error.
func failed(s *scope) verdict {
	var (
		write   *apply.WriteError
		pending *pendingListError
	)
	switch {
	case s.err == nil:
		return notObserved()
	case errors.As(s.err, &pending):
		return unknown(v1alpha1.ReasonListPending, pending.Error())
	case errors.As(s.err, &write) && write.Reason() != metav1.StatusReasonUnknown:
		return unknown(v1alpha1.ReasonInternalError, fmt.Sprintf(
			"The API server refuses to write the %s (%s). This is tried again; the manager's log has the details.",
			write.Kind, write.Reason()))
	}
	return unknown(v1alpha1.ReasonInternalError, "Something failed and is tried again; the manager's log has the details.")
}

func available(s *scope) verdict {
	switch {
	case s.deployment == nil && s.err != nil:
		return no(v1alpha1.ReasonUnavailable, "No proxy runs.")
	case s.deployment == nil:
		return no(v1alpha1.ReasonUnavailable, "The proxies are being started.")
	case wantedReplicas(s) == 0:
		return yes(v1alpha1.ReasonAvailable, noReplicas)
	case s.deployment.Status.AvailableReplicas < wantedReplicas(s):
		if refusal := podRefusal(s.deployment); refusal != "" {
			return no(v1alpha1.ReasonUnavailable, "The API server refuses the proxies' pods: "+refusal+".")
		}
		return no(v1alpha1.ReasonUnavailable, fmt.Sprintf("%d of %d proxies are available. See the pods with the label %s=%s.",
			s.deployment.Status.AvailableReplicas, wantedReplicas(s), v1alpha1.LabelRoute, s.route.Name))
	}
	return yes(v1alpha1.ReasonAvailable, "All proxies are available.")
}

// podRefusal is why the Deployment's pods cannot be made, such as a quota or a PriorityClass that is missing; empty if they can.
func podRefusal(deployment *appsv1.Deployment) string {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return strings.TrimSuffix(condition.Message, ".")
		}
	}
	return ""
}

// wantedReplicas is how many proxies the Deployment wants; 1 if there is none, since then it is not 0 that keeps it from serving.
func wantedReplicas(s *scope) int32 {
	if s.deployment == nil {
		return 1
	}
	return ptr.Deref(s.deployment.Spec.Replicas, 1)
}

// isRollingOut reports whether pods of an earlier template still run, or the Deployment has not been looked at.
func isRollingOut(s *scope) bool {
	if s.deployment == nil {
		return true // it was deleted, and its pods are still there
	}
	status := s.deployment.Status
	return status.ObservedGeneration < s.deployment.Generation || status.UpdatedReplicas < status.Replicas
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
