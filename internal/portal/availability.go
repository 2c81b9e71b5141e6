package portal

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// Availability says whether a route serves requests.
type Availability struct {
	Word string
	Tone Tone
	// Message says why it does not; empty if it does.
	Message string
}

// Condition is a condition of a route.
type Condition struct {
	Type, Status, Reason, Message string
	Tone                          Tone
}

// availability sums the conditions up. Ready is what counts, since it is made of all that serving needs; a budget that is used up is told,
// since requests are refused though all is well.
func availability(route *v1alpha1.ModelRoute) Availability {
	get := func(kind string) metav1.Condition {
		if found := meta.FindStatusCondition(route.Status.Conditions, kind); found != nil {
			return *found
		}
		return metav1.Condition{Status: metav1.ConditionUnknown}
	}
	ready, budgets := get(v1alpha1.ConditionReady), get(v1alpha1.ConditionWithinBudget)
	switch {
	case compile.IsSuspended(route):
		return Availability{Word: "Suspended", Tone: Warning, Message: "Somebody has asked for requests to be refused for now."}
	case ready.Status == metav1.ConditionFalse && get(v1alpha1.ConditionStalled).Status == metav1.ConditionTrue:
		return Availability{Word: "Broken", Tone: Bad, Message: ready.Message}
	case ready.Status == metav1.ConditionFalse:
		return Availability{Word: "Not ready", Tone: Warning, Message: ready.Message}
	case ready.Status != metav1.ConditionTrue:
		return Availability{Word: "Not known yet", Tone: Neutral}
	case budgets.Status == metav1.ConditionFalse:
		return Availability{Word: "Available, a budget is used up", Tone: Warning, Message: budgets.Message}
	}
	return Availability{Word: "Available", Tone: Good}
}

// badWhenTrue are the conditions that are there, and True, while something is not as it should be.
var badWhenTrue = []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling, v1alpha1.ConditionSuspended}

func conditions(all []metav1.Condition) []Condition {
	shown := make([]Condition, 0, len(all))
	for _, one := range all {
		tone := Neutral
		switch {
		case one.Status == metav1.ConditionUnknown:
		case slices.Contains(badWhenTrue, one.Type) == (one.Status == metav1.ConditionTrue):
			tone = Warning
		default:
			tone = Good
		}
		shown = append(shown, Condition{Type: one.Type, Status: string(one.Status), Reason: one.Reason, Message: one.Message, Tone: tone})
	}
	return shown
}
