package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Proxy is how the proxy of a route runs, and what it does for the route. Where the route names a ModelGateway, that says how proxies run.
type Proxy struct {
	ProxyPods `json:",inline"`

	// maxRequestBytes is how large the body of a request may be, in bytes, at most 268435456. Absent: 33554432.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=268435456
	MaxRequestBytes int64 `json:"maxRequestBytes,omitempty"`

	// maxAttempts is how often a request is sent to upstreams at the most, before any of an answer has come. Absent: once to each upstream,
	// and three times in all where there are fewer.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	MaxAttempts int32 `json:"maxAttempts,omitempty"`

	// costHeaders says whether answers tell clients what their request cost, in X-Modelroute-Cost, and what is left of the tightest budget,
	// in X-Modelroute-Budget-Remaining and X-Modelroute-Budget. Absent: Send.
	// +optional
	CostHeaders CostHeaders `json:"costHeaders,omitempty"`
}

// ProxyPods are how proxies run: those of one route, or those of a ModelGateway.
//
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || !has(self.replicas)",message="replicas and autoscaling both say how many proxies run: take one of them away",fieldPath=".replicas"
// +kubebuilder:validation:XValidation:rule="!has(self.autoscaling) || has(self.resources) && (has(self.resources.requests) && 'cpu' in self.resources.requests || has(self.resources.limits) && 'cpu' in self.resources.limits)",message="autoscaling counts CPU time in percent of resources.requests.cpu: say there what one proxy needs, such as 500m",fieldPath=".autoscaling"
type ProxyPods struct {
	// replicas is how many proxies run. Absent: 2, or as autoscaling says.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// autoscaling has a HorizontalPodAutoscaler say how many proxies run. Absent: replicas says it.
	// +optional
	Autoscaling Autoscaling `json:"autoscaling,omitzero"`

	// resources are the compute resources of one proxy. Absent: requests of 20m (thousandths) of a CPU and 48Mi of memory.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// tls has clients served over TLS alone, at https:// instead of http://. Absent: without TLS.
	// +optional
	TLS TLS `json:"tls,omitzero"`

	// networkPolicy restricts who can connect to the proxies as a client. Absent: whoever the cluster's own policies let. A key is needed
	// in either case.
	// +optional
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitzero"`

	// httpRoute has Gateways of the Gateway API publish the endpoint, by an HTTPRoute to its Service. It needs the Gateway API's CRDs, 1.2
	// or later; where they are missing the condition Published says so, and the route serves all the same. Absent: no HTTPRoute.
	// +optional
	HTTPRoute HTTPRoute `json:"httpRoute,omitzero"`

	// podMonitor has Prometheus read the proxies' metrics, by a PodMonitor of the Prometheus Operator. It needs that operator's CRDs; where
	// they are missing the condition Monitored says so. {} is a PodMonitor without labels. Absent: no PodMonitor.
	// +optional
	PodMonitor *PodMonitor `json:"podMonitor,omitempty"`

	// nodeSelector restricts the nodes on which proxies run.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations let proxies run on tainted nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// priorityClassName is the PriorityClass of the proxies' pods. Absent: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// imagePullSecrets are the Secrets, in the same namespace, with which the proxies' image is pulled from a private registry.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`

	// topologySpreadConstraints are how the proxies are spread over nodes. Absent: over nodes (kubernetes.io/hostname) and zones
	// (topology.kubernetes.io/zone) as evenly as can be.
	// +optional
	// +listType=map
	// +listMapKey=topologyKey
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	TopologySpreadConstraints []TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// podLabels are further labels of the proxies' pods, for example for a service mesh. Those under app.kubernetes.io/ and modelroute.dev/
	// are the operator's.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, !name.startsWith('app.kubernetes.io/') && !name.startsWith('modelroute.dev/'))",message="labels under app.kubernetes.io/ and modelroute.dev/ are the operator's, who finds the proxies by them: take them away"
	PodLabels map[string]string `json:"podLabels,omitempty"`

	// podAnnotations are annotations of the proxies' pods.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	PodAnnotations map[string]string `json:"podAnnotations,omitempty"`
}

// CostHeaders says whether answers tell what they cost.
// +kubebuilder:validation:Enum=Send;Omit
type CostHeaders string

const (
	// CostHeadersSend has answers tell what they cost.
	CostHeadersSend CostHeaders = "Send"
	// CostHeadersOmit keeps it from clients.
	CostHeadersOmit CostHeaders = "Omit"
)

// Resources are the compute resources of one proxy.
type Resources struct {
	// requests are what the scheduler sets aside for it, as quantities: cpu in CPUs, such as 100m, memory in bytes, such as 48Mi.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, type(self[name]) == int || isQuantity(self[name]))",message="each resource must be a quantity that Kubernetes can read, such as 100m for cpu or 128Mi for memory"
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// limits are the most that it may use, in the same units as requests.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, type(self[name]) == int || isQuantity(self[name]))",message="each resource must be a quantity that Kubernetes can read, such as 100m for cpu or 128Mi for memory"
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// Autoscaling is how many proxies run by how busy they are.
//
// +kubebuilder:validation:XValidation:rule="self.maxReplicas >= (has(self.minReplicas) ? self.minReplicas : 2)",message="maxReplicas is less than minReplicas (2 where it is absent)",fieldPath=".maxReplicas"
type Autoscaling struct {
	// minReplicas is how many proxies run at the least. Absent: 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// maxReplicas is how many proxies run at the most.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// targetCPUPercent is how much CPU time a proxy is to use, in percent of what its resources request. Absent: 70.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	TargetCPUPercent int32 `json:"targetCPUPercent,omitempty"`
}

// NetworkPolicy is who can connect to the proxies as a client. It holds where the cluster's network enforces NetworkPolicies. Health and
// metrics stay reachable, and nothing that the proxies themselves connect to is restricted.
type NetworkPolicy struct {
	// from are the clients, as in a Kubernetes NetworkPolicy: pods by namespaceSelector and podSelector, or addresses by ipBlock. Those
	// that match any of them can connect.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	From []networkingv1.NetworkPolicyPeer `json:"from,omitempty"`
}

// TLS is under which certificate clients are served. It is TLS 1.2 or later.
type TLS struct {
	// secretRef names the Secret, as cert-manager makes them: of type kubernetes.io/tls, with the certificate and those between it and its
	// authority as tls.crt and its private key as tls.key. The certificate is for the host of status.endpoint. When
	// the Secret changes, proxies serve the new certificate without a restart. If it has a ca.crt, consumers' Secrets have it as CA_CERT.
	// +required
	SecretRef SecretReference `json:"secretRef,omitzero"`
}

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// name is the name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}

// TopologySpreadConstraint spreads the proxies over the values of one label of nodes. It counts the proxies of one revision, so that a
// rollout ends as it should.
type TopologySpreadConstraint struct {
	// topologyKey is the label of nodes, for example topology.kubernetes.io/zone.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=316
	TopologyKey string `json:"topologyKey,omitempty"`

	// maxSkew is how many more proxies one value of the label may have than another one. Absent: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxSkew int32 `json:"maxSkew,omitempty"`

	// whenUnsatisfiable is what becomes of a proxy that has no place under this constraint: ScheduleAnyway gives it the best that there is,
	// DoNotSchedule has it wait. Absent: ScheduleAnyway.
	// +optional
	// +kubebuilder:validation:Enum=ScheduleAnyway;DoNotSchedule
	WhenUnsatisfiable corev1.UnsatisfiableConstraintAction `json:"whenUnsatisfiable,omitempty"`
}
