package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelGatewayStatus is the observed state of a gateway. What its routes spend is in their own status.
type ModelGatewayStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Accepted, ResolvedRefs, Programmed, Available and Ready; and, only while they are True, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// summary has the columns of kubectl get, as text.
	// +optional
	Summary *GatewaySummary `json:"summary,omitempty"`

	// endpoint is the base URL for OpenAI clients within the cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// routes counts the routes of the gateway.
	// +optional
	Routes *GatewayRoutes `json:"routes,omitempty"`

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
}

// GatewayRoutes counts the routes of a gateway.
type GatewayRoutes struct {
	// named is how many routes name the gateway.
	// +optional
	Named *int64 `json:"named,omitempty"`

	// served is how many of them are in the configuration of the proxies. Why one is not, its own status says.
	// +optional
	Served *int64 `json:"served,omitempty"`
}

// GatewaySummary is what kubectl get shows.
type GatewaySummary struct {
	// routes is how many routes are served, of those that name the gateway, such as 3/4.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Routes string `json:"routes,omitempty"`

	// replicas is how many proxies are ready, of those that are wanted, such as 2/2.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Replicas string `json:"replicas,omitempty"`
}
