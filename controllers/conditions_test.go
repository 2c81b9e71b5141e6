package controllers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// healthy is a pass in which all went well: two proxies are ready and serve.
func healthy() *scope {
	route := limitedRoute()
	s := newScope(route, noon)
	s.validated, s.resolved, s.applied, s.hash = true, true, true, "h"
	s.deployment = &appsv1.Deployment{
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)},
		Status: appsv1.DeploymentStatus{
			Replicas: 2, ReadyReplicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2,
		},
	}
	s.readyPods = []string{"a", "b"}
	usage := usageOf(1, 0, 0)
	usage.Proxies = []*ledgerpb.ProxyStatus{{Instance: "a", ConfigHash: "h"}, {Instance: "b", ConfigHash: "h"}}
	s.usage = snapshot{synced: true, fresh: true, asked: noon, usage: usage}
	return s
}

// failing is a pass that ended early with an error.
func failing(err error) *scope {
	s := healthy()
	s.err, s.applied, s.hash = err, false, ""
	return s
}

func TestConditionsSay(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", errors.New("quota"))
	cases := map[string]struct {
		scope func() *scope
		// want are the conditions as TYPE=STATUS/REASON, in order.
		want []string
	}{
		"Ready, when all is well": {healthy, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=True/Ready"}},
		"Ready, though the budget is used up": {func() *scope {
			s := healthy()
			s.usage.usage.Consumers[0].Budgets[0].Spend = &ledgerpb.Spend{SettledNanoUsd: 10_000_000_000}
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=False/BudgetExhausted", "Ready=True/Ready"}},
		"Suspended, and Ready as well, since that is as it was asked for": {func() *scope {
			s := healthy()
			s.route.Annotations = map[string]string{v1alpha1.AnnotationSuspended: "true"}
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=True/Ready", "Suspended=True/Suspended"}},
		"Stalled, when the spec is invalid, and that the last good one is served": {func() *scope {
			s := failing(invalidError{})
			s.invalid = field.ErrorList{field.Required(field.NewPath("spec", "x"), "say it")}
			return s
		}, []string{
			"Accepted=False/Invalid", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/ServingLastGood", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/Invalid", "Stalled=True/Invalid"}},
		"Pending, when the spec is invalid from the start": {func() *scope {
			s := failing(invalidError{})
			s.invalid = field.ErrorList{field.Required(field.NewPath("spec", "x"), "say it")}
			s.deployment, s.readyPods = nil, nil
			return s
		}, []string{
			"Accepted=False/Invalid", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/Pending", "Available=False/Unavailable",
			"WithinBudget=True/WithinBudget", "Ready=False/Invalid", "Stalled=True/Invalid"}},
		"Reconciling, while a Secret is missing": {func() *scope {
			s := failing(&unresolvedError{Reason: v1alpha1.ReasonSecretNotFound, Message: "create it"})
			s.unresolved = &unresolvedError{Reason: v1alpha1.ReasonSecretNotFound, Message: "create it"}
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=False/SecretNotFound", "Programmed=False/ServingLastGood", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/SecretNotFound", "Reconciling=True/SecretNotFound"}},
		"Stalled, when a name is taken": {func() *scope {
			return failing(&apply.NotOwnedError{Kind: "Secret", Name: "x"})
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/ChildNotOwned", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/ChildNotOwned", "Stalled=True/ChildNotOwned"}},
		"Reconciling, while an earlier route's children go": {func() *scope {
			return failing(&apply.NotOwnedError{Kind: "Secret", Name: "x", Leaving: true})
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/Pending", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/Pending", "Reconciling=True/Pending"}},
		"Unknown, when the ledger cannot be told the budgets": {func() *scope {
			s := failing(&ledgerError{errors.New("connection refused")})
			s.usage = snapshot{}
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=Unknown/LedgerUnavailable", "Available=True/Available",
			"WithinBudget=Unknown/LedgerUnavailable", "Ready=Unknown/LedgerUnavailable", "Reconciling=True/LedgerUnavailable"}},
		"Unknown, when the ledger was lost since": {func() *scope {
			s := healthy()
			s.usage.fresh = false
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=Unknown/LedgerUnavailable", "Available=True/Available",
			"WithinBudget=Unknown/LedgerUnavailable", "Ready=Unknown/LedgerUnavailable", "Reconciling=True/LedgerUnavailable"}},
		"Unknown, when the API server refuses a child": {func() *scope {
			return failing(&apply.WriteError{Kind: "Secret", Err: forbidden})
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=Unknown/InternalError", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=Unknown/InternalError", "Reconciling=True/InternalError"}},
		"Unknown, when nothing could be read": {func() *scope {
			s := failing(errors.New("the API server is gone"))
			s.validated, s.resolved = false, false
			return s
		}, []string{
			"Accepted=Unknown/InternalError", "ResolvedRefs=Unknown/InternalError", "Programmed=Unknown/InternalError",
			"Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=Unknown/InternalError", "Reconciling=True/InternalError"}},
		"Pending, while a proxy serves an earlier generation": {func() *scope {
			s := healthy()
			s.usage.usage.Proxies[1].ConfigHash = "earlier"
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/Pending", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/Pending", "Reconciling=True/Pending"}},
		"Pending, while pods of an earlier template run": {func() *scope {
			s := healthy()
			s.deployment.Status.UpdatedReplicas = 1
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/Pending", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=False/Pending", "Reconciling=True/Pending"}},
		"Unavailable, while a proxy is missing": {func() *scope {
			s := healthy()
			s.readyPods = s.readyPods[:1]
			s.deployment.Status.AvailableReplicas = 1
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=False/Unavailable",
			"WithinBudget=True/WithinBudget", "Ready=False/Unavailable", "Reconciling=True/Unavailable"}},
		"Ready, when no proxy is wanted": {func() *scope {
			s := healthy()
			s.deployment.Spec.Replicas, s.deployment.Status, s.readyPods = ptr.To[int32](0), appsv1.DeploymentStatus{}, nil
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=True/WithinBudget", "Ready=True/Ready"}},
		"NoBudget, when none denies": {func() *scope {
			s := healthy()
			s.route.Spec.Budgets, s.route.Spec.Consumers = nil, nil
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=True/NoBudget", "Ready=True/Ready"}},
		"Unknown, before the ledger has counted": {func() *scope {
			s := healthy()
			s.usage.usage.Budgets = nil
			return s
		}, []string{
			"Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Available=True/Available",
			"WithinBudget=Unknown/NotObserved", "Ready=True/Ready"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := test.scope()
			s.route.Status = computeStatus(s)
			var got []string
			for _, condition := range s.route.Status.Conditions {
				got = append(got, condition.Type+"="+string(condition.Status)+"/"+condition.Reason)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			checkStatus(t, s.route)
		})
	}
}

func TestConditionsKeepTheTimeOfTheirLastTransition(t *testing.T) {
	s := healthy()
	s.route.Status = computeStatus(s)

	later := healthy()
	later.route.Status, later.now = s.route.Status, noon.Add(time.Hour)
	later.deployment.Status.AvailableReplicas = 1
	status := computeStatus(later)

	if got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAccepted).LastTransitionTime; !got.Time.Equal(noon) {
		t.Errorf("Accepted did not change, and its time is %s", got)
	}
	if got := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).LastTransitionTime; !got.Time.Equal(noon.Add(time.Hour)) {
		t.Errorf("Ready has changed, and its time is %s", got)
	}
}

func TestMessagesSayWhatToDo(t *testing.T) {
	exhausted := healthy()
	exhausted.usage.usage.Consumers[0].Budgets[0].Spend = &ledgerpb.Spend{SettledNanoUsd: 10_000_000_000}
	exhausted.usage.usage.Budgets[0].Spend = &ledgerpb.Spend{SettledNanoUsd: 100_000_000_000}
	invalid := failing(invalidError{})
	invalid.invalid = field.ErrorList{field.Required(field.NewPath("spec", "z"), "last"), field.Required(field.NewPath("spec", "a"), "first")}

	cases := map[string]struct {
		scope           *scope
		condition, want string
	}{
		"OfABudget": {exhausted, v1alpha1.ConditionWithinBudget,
			"The budget monthly of 100.00 USD is used up: requests are denied until 2026-12-01 00:00 CET, or until its amount is raised. " +
				"Consumer search's budget all of 10.00 USD is used up: requests are denied until its amount is raised."},
		"OfAnInvalidSpec": {invalid, v1alpha1.ConditionAccepted, "spec.a: Required value: first; spec.z: Required value: last."},
		"OfATakenSecret": {failing(&apply.NotOwnedError{Kind: "Secret", Name: "x"}), v1alpha1.ConditionProgrammed,
			`Secret "x" belongs to somebody else and is left alone: delete it, or name another one in the consumer's secretName. ` + servingLastGood},
		"OfATakenService": {failing(&apply.NotOwnedError{Kind: "Service", Name: "x"}), v1alpha1.ConditionProgrammed,
			`Service "x" belongs to somebody else and is left alone: delete it, or give the route another name. ` + servingLastGood},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got := meta.FindStatusCondition(computeStatus(test.scope).Conditions, test.condition).Message
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMessageThatIsTooLongForTheAPIServerIsCut(t *testing.T) {
	s := failing(invalidError{})
	s.invalid = field.ErrorList{field.Invalid(field.NewPath("spec", "x"), strings.Repeat("ä", maxMessage), "is too long")}
	message := meta.FindStatusCondition(computeStatus(s).Conditions, v1alpha1.ConditionAccepted).Message
	if len(message) > maxMessage || !utf8.ValidString(message) || !strings.HasSuffix(message, "...") {
		t.Errorf("the message has %d bytes and ends with %q", len(message), message[len(message)-10:])
	}
	if got := clip("short", maxNote); got != "short" {
		t.Errorf("a short text is %q", got)
	}
}

func TestAPodIsReadyWhenItSaysSo(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}}}
	if isReady(pod) {
		t.Error("a pod that is not ready counts as ready")
	}
	pod.Status.Conditions[0].Status = corev1.ConditionTrue
	if !isReady(pod) {
		t.Error("a pod that is ready does not count as ready")
	}
}

func TestOfSeveralProcessesInOnePodTheLastOneCounts(t *testing.T) {
	usage := healthy().usage.usage
	usage.Proxies = []*ledgerpb.ProxyStatus{
		{Instance: "a", ProxyId: "new", ConfigHash: "new", LastHeartbeat: timestamppb.New(noon.Add(time.Second))},
		{Instance: "a", ProxyId: "old", ConfigHash: "old", LastHeartbeat: timestamppb.New(noon)},
	}
	if got := servedHashes(usage)["a"]; got != "new" {
		t.Errorf("the pod serves %q", got)
	}
}

func TestWhatTheLedgerHasLostIsPutAgain(t *testing.T) {
	put := &ledgerpb.PutRouteRequest{Budgets: []*ledgerpb.Budget{usageOf(0, 0, 0).Budgets[0].Budget, usageOf(0, 0, 0).Consumers[0].Budgets[0].Budget}}
	if !knowsAccounts(usageOf(1, 0, 0), put) {
		t.Error("the ledger knows all budgets, and that is not seen")
	}
	without := usageOf(1, 0, 0)
	without.Consumers = nil
	if knowsAccounts(without, put) {
		t.Error("a consumer's budget is lost, and that is not seen")
	}
	if knowsAccounts(nil, &ledgerpb.PutRouteRequest{}) {
		t.Error("the route is lost, and that is not seen")
	}
}

// checkStatus checks the rules of kstatus and those of our own conditions on a route as it ends.
func checkStatus(t *testing.T, route *v1alpha1.ModelRoute) {
	t.Helper()
	checkKstatus(t, route.Generation, route.Status.ObservedGeneration, route.Status.Conditions)
	all := true
	for _, name := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed, v1alpha1.ConditionAvailable} {
		if meta.FindStatusCondition(route.Status.Conditions, name) == nil {
			t.Errorf("%s is missing", name)
		}
		all = all && meta.IsStatusConditionTrue(route.Status.Conditions, name)
	}
	if ready := meta.IsStatusConditionTrue(route.Status.Conditions, v1alpha1.ConditionReady); ready != all {
		t.Errorf("Ready is %t, though it is %t that all it summarises is True", ready, all)
	}
}

// checkKstatus checks the rules that hold for the conditions of every kind.
func checkKstatus(t *testing.T, generation, observed int64, conditions []metav1.Condition) {
	t.Helper()
	if !slices.ContainsFunc(conditions, func(one metav1.Condition) bool { return one.Type == v1alpha1.ConditionWithinBudget }) {
		t.Error("WithinBudget is missing")
	}
	checkReadiness(t, generation, observed, conditions)
}

// checkReadiness is checkKstatus for an object that has no budgets.
func checkReadiness(t *testing.T, generation, observed int64, conditions []metav1.Condition) {
	t.Helper()
	status := map[string]metav1.ConditionStatus{}
	for _, condition := range conditions {
		status[condition.Type] = condition.Status
		if condition.Message == "" || condition.Reason == "" {
			t.Errorf("%s has no message or no reason", condition.Type)
		}
		if condition.ObservedGeneration != observed {
			t.Errorf("%s is of generation %d, the status of %d", condition.Type, condition.ObservedGeneration, observed)
		}
	}
	if observed > generation {
		t.Errorf("generation %d was observed, and there is only %d", observed, generation)
	}
	ready, reconciling, stalled := status[v1alpha1.ConditionReady], status[v1alpha1.ConditionReconciling], status[v1alpha1.ConditionStalled]
	switch {
	case ready == "":
		t.Error("Ready is missing")
	case reconciling != "" && reconciling != metav1.ConditionTrue, stalled != "" && stalled != metav1.ConditionTrue:
		t.Error("Reconciling and Stalled are there only while they are True")
	case ready == metav1.ConditionTrue && (reconciling != "" || stalled != ""):
		t.Error("the object is Ready and at the same time Reconciling or Stalled")
	case ready != metav1.ConditionTrue && (reconciling == "") == (stalled == ""):
		t.Error("an object that is not Ready is either Reconciling or Stalled")
	}
}
