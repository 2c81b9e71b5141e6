package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TeamBudgetStatus is what is in force, and what was spent. Its figures are a projection of the ledger, as those of a ModelRoute are.
type TeamBudgetStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, Programmed, WithinBudget and Ready; and, only while they are True, Reconciling and Stalled. WithinBudget is
	// not part of Ready: a budget that holds is a healthy system.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// team is the team's name.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Team string `json:"team,omitempty"`

	// summary has the columns of kubectl get, as text.
	// +optional
	Summary *Summary `json:"summary,omitempty"`

	// spend is what was spent in the team's name in all, since a TeamBudget was first there for it.
	// +optional
	Spend *Spend `json:"spend,omitempty"`

	// budgets are the team's budgets in their present windows.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Budgets []BudgetStatus `json:"budgets,omitempty"`

	// routes are those through which the team has spent, the most expensive first; the 64 first of them where there are more.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Routes []RouteSpend `json:"routes,omitempty"`
}

// RouteSpend is what was spent through one route.
type RouteSpend struct {
	// namespace is the route's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is the route's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name,omitempty"`

	// spent is what was spent through it, in USD with up to nine decimals.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Spent string `json:"spent,omitempty"`
}
