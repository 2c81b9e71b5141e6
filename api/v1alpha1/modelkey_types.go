package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelKey is a team's claim, from its own namespace, to use one or more routes. The operator delivers an API key in a Secret beside it,
// which every route accepts that allows ModelKeys of this namespace. Deleting the ModelKey, or the Secret, revokes the key. A ModelKey that
// names ServiceAccounts has no key: their pods use their own tokens.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mkey,categories=modelroute-dev
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the key is delivered and every route accepts it."
// +kubebuilder:printcolumn:name="Routes",type=string,JSONPath=`.status.summary.routes`,description="How many of the routes accept the key."
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secretName`,description="The Secret that has the key."
// +kubebuilder:printcolumn:name="Spend",type=string,JSONPath=`.status.summary.spend`,description="USD spent in the window of the fullest budget, or in all."
// +kubebuilder:printcolumn:name="Budget",type=string,JSONPath=`.status.summary.budget`,description="USD that this budget allows."
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.summary.used`,description="How much of this budget is used."
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expireTime`,description="When the key is refused."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Last Use",type=date,priority=1,JSONPath=`.status.lastUseTime`,description="How long ago something was last spent with the key."
// +kubebuilder:printcolumn:name="Key",type=string,priority=1,JSONPath=`.status.keyID`,description="The name of the key in logs and metrics."
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the key is, or is not, ready."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 63 characters, because it is the value of a label of the Secret"
type ModelKey struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata. The name is a DNS label of at most 63 characters; what was spent belongs to the namespace
	// and the name.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is wanted.
	// +required
	Spec ModelKeySpec `json:"spec,omitzero"`

	// status says what is there, and what was spent. Until the operator has seen the object, observedGeneration is -1, as
	// kstatus wants it.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status ModelKeyStatus `json:"status,omitzero"`
}

// ModelKeyList is a list of ModelKeys.
//
// +kubebuilder:object:root=true
type ModelKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelKey `json:"items"`
}

// ModelKeySpec is the wanted state of a ModelKey.
//
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts) || !has(self.secretName)",message="a ModelKey with serviceAccounts has no key and no Secret: take secretName away",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts) || !has(self.rotation)",message="a ModelKey with serviceAccounts has no key to rotate, since the kubelet renews tokens: take rotation away",fieldPath=".rotation"
type ModelKeySpec struct {
	// routeRefs are the routes that the key is for. The Secret's OPENAI_BASE_URL and MODEL are those of the first, OPENAI_BASE_URL_2 and
	// MODEL_2 those of the second, and so on.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.name == a.name && has(b.__namespace__) == has(a.__namespace__) && (!has(a.__namespace__) || b.__namespace__ == a.__namespace__)))",message="routeRefs names a route twice: name each once"
	RouteRefs []RouteReference `json:"routeRefs,omitempty"`

	// team is the team that the key belongs to. What it spends from then on counts against the team's TeamBudget, if there is one and its
	// namespaceSelector selects the ModelKey's namespace, and is told by team as well, in the ledger's history.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Team string `json:"team,omitempty"`

	// secretName is the name of the Secret that is made beside the ModelKey, ready for envFrom. Absent: metadata.name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SecretName string `json:"secretName,omitempty"`

	// budgets limit what is spent with the key at all routes together, within the budgets of the routes, which hold as well: they can only
	// tighten.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(b, !has(b.whenExhausted))",message="a budget of a ModelKey has no whenExhausted: where requests go on is the route's to say"
	Budgets []Budget `json:"budgets,omitempty"`

	// rateLimits limit how many requests and tokens the key has at all routes together in a short time, within the rate limits of the
	// routes, which hold as well.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	RateLimits []RateLimit `json:"rateLimits,omitempty"`

	// rotation says when the key is replaced by a new one. Absent: only when the annotation modelroute.dev/rotate of the ModelKey is given
	// another value, with an overlap of 24 hours.
	// +optional
	Rotation Rotation `json:"rotation,omitzero"`

	// serviceAccounts are those of the ModelKey's namespace whose pods use the routes in its name, each with its own token for the audience
	// modelroute in the place of a key: no Secret is made, and a key that the ModelKey had is refused. Absent: the ModelKey has a key.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ServiceAccounts []LocalServiceAccountReference `json:"serviceAccounts,omitempty"`

	// expireTime is when the key is refused and its Secret deleted, or the tokens of serviceAccounts are refused, as in
	// 2026-12-01T00:00:00Z. Setting a later one gives a new key.
	// Absent: never.
	// +optional
	ExpireTime *metav1.Time `json:"expireTime,omitempty"`
}

// RouteReference names a route.
type RouteReference struct {
	// namespace is the namespace of the route. Absent: that of the object that names it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// name is the name of the route.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}
