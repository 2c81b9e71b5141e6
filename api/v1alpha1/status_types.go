package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelRouteStatus is the observed state of a route. Its figures of spend are a projection of the ledger: at most 30 seconds old, and
// written at once when a budget reaches one of its alert percentages or is used up.
type ModelRouteStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, ResolvedRefs, Programmed, Available, WithinBudget and Ready; where an upstream's list of models is read,
	// PricesCurrent; where keys are made at an upstream, UpstreamKeysProvisioned; and, only while they are True, Reconciling and Stalled.
	// WithinBudget, PricesCurrent and UpstreamKeysProvisioned are not part of Ready: a budget that holds is a healthy system.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// summary has the columns of kubectl get, as text.
	// +optional
	Summary *Summary `json:"summary,omitempty"`

	// model is what is in force of the model: what the route says, and what it leaves out and is known of the model. Absent: nothing was
	// found out yet.
	// +optional
	Model *ModelStatus `json:"model,omitempty"`

	// endpoint is the base URL for OpenAI clients within the cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// spend is what the route has spent in all.
	// +optional
	Spend *Spend `json:"spend,omitempty"`

	// budgets are the route's budgets in their present windows.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Budgets []BudgetStatus `json:"budgets,omitempty"`

	// consumers are the route's consumers with their Secrets, keys and spend.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Consumers []ConsumerStatus `json:"consumers,omitempty"`

	// replicas is how many proxies there are.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// readyReplicas is how many proxies are ready.
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`

	// selector finds the pods of the proxies by their labels, for what scales them by way of the scale subresource.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Selector string `json:"selector,omitempty"`

	// upstreams are the route's upstreams with the prices that are in force and their budgets. They compare the books of those that tell
	// what they billed with what was spent here.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Upstreams []UpstreamStatus `json:"upstreams,omitempty"`
}

// ModelStatus is what is in force of a model.
type ModelStatus struct {
	// contextLength is how many tokens prompt and completion may have together.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ContextLength int64 `json:"contextLength,omitempty"`

	// maxCompletionTokens is how many tokens the model can produce in one answer; absent where only contextLength bounds it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxCompletionTokens int64 `json:"maxCompletionTokens,omitempty"`

	// inputModalities are what the model reads.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	InputModalities []Modality `json:"inputModalities,omitempty"`

	// outputModalities are what the model produces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	OutputModalities []OutputModality `json:"outputModalities,omitempty"`

	// supportedParameters are the request parameters that the model understands; absent if that is not known.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	SupportedParameters []string `json:"supportedParameters,omitempty"`
}

// Summary is what kubectl get shows.
type Summary struct {
	// model is the model that clients ask for.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Model string `json:"model,omitempty"`

	// spend is what was spent in the window of the fullest budget, or in all where there is none, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Spend string `json:"spend,omitempty"`

	// budget is the amount of the fullest budget, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Budget string `json:"budget,omitempty"`

	// used is how much of it is used, in percent, such as 2%.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Used string `json:"used,omitempty"`

	// resets is when its window ends, in its time zone.
	// +optional
	// +kubebuilder:validation:MaxLength=48
	Resets string `json:"resets,omitempty"`
}

// Spend is what was spent since the route was first made, also across its deletion.
type Spend struct {
	// total is what was spent, in USD with up to nine decimals.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Total string `json:"total,omitempty"`

	// uncertain is the part of total that is not known exactly yet, in USD; absent when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Uncertain string `json:"uncertain,omitempty"`

	// updateTime is when these figures were last written.
	// +optional
	UpdateTime metav1.Time `json:"updateTime,omitzero"`
}

// BudgetStatus is a budget in its present window. All amounts are in USD with up to nine decimals.
type BudgetStatus struct {
	// name is the budget's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name,omitempty"`

	// limit is how much may be spent in this window, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Limit string `json:"limit,omitempty"`

	// spent is what was spent in this window, in USD, what is uncertain included.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Spent string `json:"spent,omitempty"`

	// uncertain is the part of spent that is not known exactly yet, in USD; absent when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Uncertain string `json:"uncertain,omitempty"`

	// held is the worst case of the requests in flight, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Held string `json:"held,omitempty"`

	// remaining is limit less spent less held, in USD; negative if more was spent than the limit now allows.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Remaining string `json:"remaining,omitempty"`

	// percentUsed is spent in percent of limit, rounded down.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PercentUsed *int32 `json:"percentUsed,omitempty"`

	// alertedPercent is the highest of the alert percentages that was reached in this window, and announced by an event; absent before the
	// first. It stays when the amount is raised, so that each is announced once in a window.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	AlertedPercent int32 `json:"alertedPercent,omitempty"`

	// windowStart is when the window began; absent for the period Total.
	// +optional
	WindowStart *metav1.Time `json:"windowStart,omitempty"`

	// resetTime is when the window ends and spent starts again at nothing; absent for the period Total.
	// +optional
	ResetTime *metav1.Time `json:"resetTime,omitempty"`

	// state is WithinBudget, Warning (an alert percentage is reached) or Exhausted (what is left is too little for the requests that come).
	// +optional
	State BudgetState `json:"state,omitempty"`
}

// BudgetState is how full a budget is.
//
// +kubebuilder:validation:Enum=WithinBudget;Warning;Exhausted
type BudgetState string

// ConsumerStatus is a consumer of a route.
type ConsumerStatus struct {
	// name is the consumer's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name,omitempty"`

	// secretName is the Secret with the consumer's key; absent until it is there, and where the consumer has serviceAccounts.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// serviceAccounts are those of the consumer's whose tokens the proxies are told to accept, as NAMESPACE/NAME; the condition
	// ResolvedRefs says why another one is missing. Absent: none, or the consumer has a key.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=320
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`

	// keyID names the consumer's key in status, logs and metrics. It is not the key.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KeyID string `json:"keyID,omitempty"`

	// previousKey is the key that was replaced by this one, while it is still accepted.
	// +optional
	PreviousKey *PreviousKey `json:"previousKey,omitempty"`

	// spent is what the consumer has spent in all, in USD with up to nine decimals.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Spent string `json:"spent,omitempty"`

	// lastUseTime is when spent was last seen to rise: as late after the use as these figures are old. What cost nothing is not seen.
	// Absent: not since the consumer is in this status.
	// +optional
	LastUseTime *metav1.Time `json:"lastUseTime,omitempty"`

	// budgets are the consumer's budgets in their present windows.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Budgets []BudgetStatus `json:"budgets,omitempty"`
}

// PreviousKey is a key that was replaced and is still accepted.
type PreviousKey struct {
	// keyID names the key in status, logs and metrics. It is not the key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	KeyID string `json:"keyID,omitempty"`

	// endTime is when it is refused.
	// +optional
	EndTime metav1.Time `json:"endTime,omitzero"`
}
