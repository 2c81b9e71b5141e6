package v1alpha1

// HTTPRoute is how Gateways of the Gateway API publish an endpoint. A Gateway is asked for no time limit of its own: how long a request may
// take is for the upstreams' timeoutSeconds to say.
type HTTPRoute struct {
	// parentRefs are the Gateways, or listeners of them, that take the requests.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a == b))",message="parentRefs name the same listener twice: take one of them away"
	ParentRefs []ListenerReference `json:"parentRefs,omitempty"`

	// hostnames are the hosts, of the requests' Host header, that are meant; the first label may be *, for any. Absent: those of the
	// listeners.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Hostnames []string `json:"hostnames,omitempty"`

	// pathPrefix is what the paths of requests begin with, by which routes under one hostname are told apart: with /mixtral, clients have
	// https://HOST/mixtral/v1 as their base URL. The Gateway takes it off, so that it has to be one that rewrites paths. Absent: every
	// path.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^(/[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])+$`
	PathPrefix string `json:"pathPrefix,omitempty"`
}

// ListenerReference names a Gateway, or a listener of it. The Gateway has to allow HTTPRoutes of this namespace.
type ListenerReference struct {
	// name is the name of the Gateway.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// namespace is the Gateway's. Absent: this one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// sectionName is the name of the listener. Absent: all that allow it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SectionName string `json:"sectionName,omitempty"`

	// port is that of the listener. Absent: any.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// PodMonitor is how Prometheus reads the metrics of the proxies.
type PodMonitor struct {
	// labels are further labels of the PodMonitor, by which a Prometheus selects it. Those under app.kubernetes.io/ and modelroute.dev/ are
	// the operator's.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, !name.startsWith('app.kubernetes.io/') && !name.startsWith('modelroute.dev/'))",message="labels under app.kubernetes.io/ and modelroute.dev/ are the operator's, who finds the PodMonitor by them: take them away"
	Labels map[string]string `json:"labels,omitempty"`

	// intervalSeconds is how often the metrics are read. Absent: as often as Prometheus does by itself.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
}
