package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ModelGateway serves the routes of its namespace that name it in spec.gatewayRef by one Deployment at one base URL, so that one key and
// one URL reach several models. A route without a gateway has proxies of its own. What a route may spend, who may use it and what it does
// with requests stays the route's to say.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=mgateway,categories=modelroute-dev
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the proxies serve this generation of the gateway, and the routes that it can serve."
// +kubebuilder:printcolumn:name="Routes",type=string,JSONPath=`.status.summary.routes`,description="How many of the routes that name the gateway it serves."
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.status.summary.replicas`,description="How many of the proxies are ready."
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint`,description="The base URL for OpenAI clients."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why the gateway is, or is not, ready."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 50 characters that begins with a letter, because the Service GATEWAY-gateway is named after it"
type ModelGateway struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata. The name is a DNS label of at most 50 characters, because the Service GATEWAY-gateway is
	// named after it.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is wanted. {} is a gateway of two proxies.
	// +required
	Spec *ModelGatewaySpec `json:"spec,omitempty"`

	// status says what is there. Of a gateway that the operator has not seen yet, observedGeneration is -1, as kstatus wants it.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status ModelGatewayStatus `json:"status,omitzero"`
}

// ModelGatewayList is a list of gateways.
//
// +kubebuilder:object:root=true
type ModelGatewayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelGateway `json:"items"`
}

// ModelGatewaySpec is the wanted state of a gateway: how its proxies run.
type ModelGatewaySpec struct {
	ProxyPods `json:",inline"`
}

// GatewayReference names a ModelGateway of the same namespace.
type GatewayReference struct {
	// name is the name of the ModelGateway.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}
