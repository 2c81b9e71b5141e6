package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// checkOfObjects is the check's name.
const checkOfObjects = "objects"

// object is what all our kinds say of themselves.
type object struct {
	kind, namespace, name string
	observed, generation  int64
	conditions            []metav1.Condition
}

func newObject(kind string, of metav1.Object, observed int64, conditions []metav1.Condition) object {
	return object{kind, of.GetNamespace(), of.GetName(), observed, of.GetGeneration(), conditions}
}

func (o object) String() string {
	if o.namespace == "" {
		return o.kind + " " + o.name
	}
	return o.kind + " " + o.namespace + "/" + o.name
}

// checkObjects looks for objects that are not ready, and for whether the ledger is reached.
func (o *options) checkObjects(ctx context.Context, in *cluster.Cluster) []finding {
	var all []object
	var findings []finding
	lists := []func(context.Context, *cluster.Cluster) ([]object, error){routes, gateways, modelKeys}
	if in.Namespace == "" {
		lists = append(lists, teams) // They are in no namespace: who names one means another.
	}
	for _, list := range lists {
		found, err := list(ctx, in)
		if apierrors.IsForbidden(err) && in.Namespace == "" {
			own := *in // Most people have a namespace, and not the cluster.
			own.Namespace = o.own
			found, err = list(ctx, &own)
		}
		if err != nil {
			findings = append(findings, unseen(checkOfObjects, "some of ModelRoute's objects", err))
			continue
		}
		all = append(all, found...)
	}
	return append(append([]finding{ofLedgerConnection(all)}, findings...), ofObjects(all)...)
}

func routes(ctx context.Context, in *cluster.Cluster) ([]object, error) {
	found, err := in.Routes(ctx)
	all := make([]object, 0, len(found))
	for _, one := range found {
		all = append(all, newObject("ModelRoute", &one, one.Status.ObservedGeneration, one.Status.Conditions))
	}
	return all, err
}

func gateways(ctx context.Context, in *cluster.Cluster) ([]object, error) {
	found, err := in.ModelGateways(ctx)
	all := make([]object, 0, len(found))
	for _, one := range found {
		all = append(all, newObject("ModelGateway", &one, one.Status.ObservedGeneration, one.Status.Conditions))
	}
	return all, err
}

func modelKeys(ctx context.Context, in *cluster.Cluster) ([]object, error) {
	found, err := in.ModelKeys(ctx)
	all := make([]object, 0, len(found))
	for _, one := range found {
		all = append(all, newObject("ModelKey", &one, one.Status.ObservedGeneration, one.Status.Conditions))
	}
	return all, err
}

func teams(ctx context.Context, in *cluster.Cluster) ([]object, error) {
	found, err := in.TeamBudgets(ctx)
	all := make([]object, 0, len(found))
	for _, one := range found {
		all = append(all, newObject("TeamBudget", &one, one.Status.ObservedGeneration, one.Status.Conditions))
	}
	return all, err
}

// ofLedgerConnection finds whether the manager reaches the ledger, by what it says of its objects.
func ofLedgerConnection(all []object) finding {
	for _, one := range all {
		for _, condition := range one.conditions {
			if condition.Reason == v1alpha1.ReasonLedgerUnavailable {
				return finding{
					Check: "ledger", State: problem, Says: fmt.Sprintf("The manager does not reach it: %s: %s", one, condition.Message),
					Mend: "See what is said of the ledger above; then the manager's log:\n" +
						"kubectl -n {system} logs deployment/modelroute-manager",
				}
			}
		}
	}
	inForce := func(one object) bool { return meta.IsStatusConditionTrue(one.conditions, v1alpha1.ConditionProgrammed) }
	if !slices.ContainsFunc(all, inForce) {
		return finding{Check: "ledger", State: notChecked, Says: "No object says whether the manager reaches the ledger: none is in force."}
	}
	return finding{Check: "ledger", State: good, Says: "The manager reaches it."}
}

func ofObjects(all []object) []finding {
	var findings []finding
	healthy := 0
	for _, one := range all {
		if found, isWrong := ofObject(one); isWrong {
			findings = append(findings, found)
		} else {
			healthy++
		}
	}
	if healthy > 0 {
		says := fmt.Sprintf("%d of %d are ready.", healthy, len(all))
		findings = append([]finding{{Check: checkOfObjects, State: good, Says: says}}, findings...)
	}
	if len(all) == 0 {
		findings = append(findings, finding{
			Check: checkOfObjects, State: good, Says: "There are none. Apply a ModelRoute: config/samples, README.md",
		})
	}
	return findings
}

// ofObject finds what is wrong with an object, by kstatus: one at which the operator is at work may yet become ready by itself.
func ofObject(one object) (found finding, isWrong bool) {
	ready := meta.FindStatusCondition(one.conditions, v1alpha1.ConditionReady)
	if one.observed != one.generation || ready == nil {
		return finding{
			Check: checkOfObjects, State: problem, Says: fmt.Sprintf("%s: the manager has not looked at its latest change.", one),
			Mend: "See what is said of the manager above. It may also not look into this namespace:\n" +
				"docs/security.md#the-manager-in-some-namespaces-only",
		}, true
	}
	suspended := meta.FindStatusCondition(one.conditions, v1alpha1.ConditionSuspended)
	switch {
	case ready.Status == metav1.ConditionTrue && suspended != nil && suspended.Status == metav1.ConditionTrue:
		return finding{
			Check: checkOfObjects, State: warning, Says: fmt.Sprintf("%s is suspended: %s", one, suspended.Message),
			Mend: fmt.Sprintf("kubectl -n %s annotate modelroute %s %s-", one.namespace, one.name, v1alpha1.AnnotationSuspended),
		}, true
	case ready.Status == metav1.ConditionTrue:
		return finding{}, false
	}
	found = finding{
		Check: checkOfObjects, State: problem, Mend: one.mend(ready.Reason),
		Says: fmt.Sprintf("%s is not ready: %s: %s", one, ready.Reason, ready.Message),
	}
	if meta.IsStatusConditionTrue(one.conditions, v1alpha1.ConditionReconciling) {
		found.State = warning
	}
	return found, true
}

// mends say what to do about a reason; {ns}, {name} and {kind} stand for the object's, {system} for the
// operator's namespace. docs/status.md has all reasons.
var mends = map[string]string{
	v1alpha1.ReasonInvalid:                "Change the field that is named: kubectl -n {ns} edit {kind} {name}, or in git",
	v1alpha1.ReasonSecretNotFound:         "Make the Secret: kubectl -n {ns} create secret generic SECRET --from-literal=KEY=VALUE",
	v1alpha1.ReasonSecretKeyMissing:       "Put the key into the Secret: kubectl -n {ns} edit secret SECRET",
	v1alpha1.ReasonConfigMapNotFound:      "Make the ConfigMap: kubectl -n {ns} create configmap CONFIGMAP --from-file=ca.crt",
	v1alpha1.ReasonRefNotPermitted:        "Give the manager its rights there: docs/security.md#the-manager-in-some-namespaces-only",
	v1alpha1.ReasonLedgerUnavailable:      "See what is said of the ledger above.",
	v1alpha1.ReasonUnavailable:            "Why: kubectl -n {ns} describe pods -l app.kubernetes.io/managed-by=modelroute",
	v1alpha1.ReasonLastGood:               "The last good spec is served. Mend this one: kubectl -n {ns} describe {kind} {name}",
	v1alpha1.ReasonChildNotOwned:          "Rename or delete the object that has the name: the operator leaves it alone.",
	v1alpha1.ReasonGatewayNotFound:        "Make the ModelGateway, or take spec.gatewayRef away: docs/gateways.md",
	v1alpha1.ReasonNotInGateway:           "What has to fit together: docs/gateways.md#what-has-to-fit-together",
	v1alpha1.ReasonTeamNotAllowed:         "Label the namespace as the TeamBudget selects: docs/team-budgets.md#who-may-spend",
	v1alpha1.ReasonNotAllowed:             "Have the route allow the namespace in spec.keys: docs/keys.md",
	v1alpha1.ReasonExpired:                "Set a later spec.expireTime for a new key, or delete it.",
	v1alpha1.ReasonRouteNotFound:          "Name a route that is there: kubectl modelroute models --all-namespaces",
	v1alpha1.ReasonPending:                "Wait. If it stays so, why: kubectl -n {ns} logs -l app.kubernetes.io/managed-by=modelroute",
	v1alpha1.ReasonInternalError:          "Why: kubectl -n {system} logs deployment/modelroute-manager",
	v1alpha1.ReasonIssuerUnavailable:      "docs/workload-identity.md#when-something-is-missing",
	v1alpha1.ReasonServiceAccountNotFound: "Make the ServiceAccount: kubectl -n {ns} create serviceaccount ACCOUNT",
}

// mend says what to do about the reason for which an object is not ready.
func (o object) mend(reason string) string {
	text, known := mends[reason]
	if !known {
		text = "kubectl -n {ns} describe {kind} {name}; docs/status.md"
	}
	if o.namespace == "" {
		text = strings.ReplaceAll(text, "-n {ns} ", "")
	}
	return strings.NewReplacer("{ns}", o.namespace, "{name}", o.name, "{kind}", strings.ToLower(o.kind)).Replace(text)
}
