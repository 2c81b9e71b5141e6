package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelKeyStatus is the observed state of a ModelKey. Its figures of spend are as old as those of a route's status.
type ModelKeyStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, ResolvedRefs, WithinBudget and Ready; and, only while they are True, Reconciling and Stalled. WithinBudget
	// is not part of Ready: a budget that holds is a healthy system.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// summary has the columns of kubectl get, as text.
	// +optional
	Summary *ModelKeySummary `json:"summary,omitempty"`

	// secretName is the Secret with the key; absent until it is there.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// keyID names the key in status, logs and metrics. It is not the key.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KeyID string `json:"keyID,omitempty"`

	// previousKey is the key that was replaced by this one, while it is still accepted.
	// +optional
	PreviousKey *PreviousKey `json:"previousKey,omitempty"`

	// spend is what was spent with the ModelKey's keys in all, at all routes that it ever named.
	// +optional
	Spend *Spend `json:"spend,omitempty"`

	// lastUseTime is when spend.total was last seen to rise: as late after the use as these figures are old. What cost nothing is not seen.
	// Absent: not since the ModelKey has a status.
	// +optional
	LastUseTime *metav1.Time `json:"lastUseTime,omitempty"`

	// budgets are the ModelKey's budgets in their present windows.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Budgets []BudgetStatus `json:"budgets,omitempty"`

	// routes are the routes that the spec names, in its order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Routes []ModelKeyRouteStatus `json:"routes,omitempty"`
}

// ModelKeySummary is what kubectl get shows.
type ModelKeySummary struct {
	// routes is how many of the routes accept the key, such as 2/3.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Routes string `json:"routes,omitempty"`

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
}

// ModelKeyRouteStatus is what becomes of a ModelKey at one route.
type ModelKeyRouteStatus struct {
	// namespace is the namespace of the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is the name of the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name,omitempty"`

	// state is Accepted (every ready proxy of the route accepts the key), Pending (they do not yet), NotServed (the route has no proxy that
	// could), NotAllowed, NotFound, TooManyKeys, or
	// Refused (the ModelKey is expired or invalid), or ServiceAccountTaken (one of its ServiceAccounts is already somebody else's there).
	// +optional
	State KeyRouteState `json:"state,omitempty"`

	// message says why the route does not accept the key, and what to do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// endpoint is the base URL of the route for OpenAI clients, and model what they ask for there; absent while the route does not accept
	// the key.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// model is described with endpoint.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Model string `json:"model,omitempty"`

	// spent is what was spent at this route with the ModelKey's keys in all, in USD with up to nine decimals.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Spent string `json:"spent,omitempty"`
}

// KeyRouteState is what becomes of a ModelKey at one route.
//
// +kubebuilder:validation:Enum=Accepted;Pending;NotServed;NotAllowed;NotFound;TooManyKeys;ModelNameTaken;Refused;ServiceAccountTaken
type KeyRouteState string

const (
	// KeyAccepted means that every ready proxy of the route accepts the key.
	KeyAccepted KeyRouteState = "Accepted"
	// KeyPending means that they do not yet.
	KeyPending KeyRouteState = "Pending"
	// KeyNotServed means that the route has no proxy that could.
	KeyNotServed KeyRouteState = "NotServed"
	// KeyNotAllowed means that the route does not allow ModelKeys of this namespace.
	KeyNotAllowed KeyRouteState = "NotAllowed"
	// KeyRouteNotFound means that there is no such route.
	KeyRouteNotFound KeyRouteState = "NotFound"
	// KeyTooMany means that the route has as many ModelKeys as it can.
	KeyTooMany KeyRouteState = "TooManyKeys"
	// KeyModelNameTaken means that an older route that the ModelKey names has a model of the same name in the same ModelGateway.
	KeyModelNameTaken KeyRouteState = "ModelNameTaken"
	// KeyRefused means that the ModelKey is expired or invalid.
	KeyRefused KeyRouteState = "Refused"
	// KeyAccountTaken means that a ServiceAccount of the ModelKey already stands for another consumer of the route.
	KeyAccountTaken KeyRouteState = "ServiceAccountTaken"
)
