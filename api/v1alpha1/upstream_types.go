package v1alpha1

// CABundleReference names one key of a ConfigMap or a Secret in the same namespace, with certificates in PEM.
type CABundleReference struct {
	// kind is what has them: ConfigMap or Secret. Absent: ConfigMap.
	// +optional
	Kind CABundleKind `json:"kind,omitempty"`

	// name is the name of the ConfigMap or the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the key within its data. Absent: ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// CABundleKind is a kind of object that can have certificates.
//
// +kubebuilder:validation:Enum=ConfigMap;Secret
type CABundleKind string

const (
	// CABundleConfigMap is a ConfigMap.
	CABundleConfigMap CABundleKind = "ConfigMap"
	// CABundleSecret is a Secret.
	CABundleSecret CABundleKind = "Secret"
)

// Attribution is what OpenRouter is told of who asks.
//
// +kubebuilder:validation:MinProperties=1
type Attribution struct {
	// referer is the URL of the application, sent as HTTP-Referer. Absent: not sent.
	// +optional
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",message="referer must be an http or https URL, such as https://search.example"
	Referer string `json:"referer,omitempty"`

	// title is the name of the application, sent as X-OpenRouter-Title and X-Title: printable ASCII. Absent: not sent.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[!-~]([ -~]*[!-~])?$`
	Title string `json:"title,omitempty"`
}
