package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TeamBudget limits what one team spends, over all routes and namespaces together. It holds beside the budgets of routes, upstreams,
// consumers and keys: a request needs room in every one of them. Without a TeamBudget a team is a name by which spend is told.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=tbudget,categories=modelroute-dev
// +kubebuilder:printcolumn:name="Team",type=string,JSONPath=`.status.team`,description="The team whose budgets these are."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the ledger holds the team to these budgets."
// +kubebuilder:printcolumn:name="Spend",type=string,JSONPath=`.status.summary.spend`,description="USD spent in the window of the fullest budget."
// +kubebuilder:printcolumn:name="Budget",type=string,JSONPath=`.status.summary.budget`,description="USD that this budget allows."
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.summary.used`,description="How much of this budget is used."
// +kubebuilder:printcolumn:name="Resets",type=string,JSONPath=`.status.summary.resets`,description="When the window of this budget ends."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the budgets are, or are not, in force."
// +kubebuilder:validation:XValidation:rule="has(self.spec.team) || (self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",message="metadata.name is no name of a team (at most 50 small letters, digits and hyphens): name the team in spec.team"
type TeamBudget struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what the team may spend, and who may spend in its name.
	// +required
	Spec TeamBudgetSpec `json:"spec,omitzero"`

	// status says what is in force, and what was spent. Until the operator has seen the object, observedGeneration is -1, as
	// kstatus wants it.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status TeamBudgetStatus `json:"status,omitzero"`
}

// TeamBudgetList is a list of the budgets of teams.
//
// +kubebuilder:object:root=true
type TeamBudgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TeamBudget `json:"items"`
}

// TeamBudgetSpec is what one team may spend.
//
// +kubebuilder:validation:XValidation:rule="self.budgets.all(b, !has(b.whenExhausted))",message="whenExhausted names an upstream of one route, and a team's budget is over all routes: say it at a budget of the route",fieldPath=".budgets"
type TeamBudgetSpec struct {
	// team is the team's name, as consumers and keys have it in their team. What was spent belongs to this name. Absent: metadata.name. If
	// several TeamBudgets name one team, the oldest is in force.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Team string `json:"team,omitempty"`

	// namespaceSelector selects, by their labels, the namespaces whose routes and keys may spend in the team's name: a consumer's is that
	// of its route. {} selects all of them. A consumer elsewhere that names the team is not served, so that nobody can spend another team's
	// money.
	// +required
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// budgets limit what the team spends in all. Every one of them holds.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Budgets []Budget `json:"budgets,omitempty"`
}
