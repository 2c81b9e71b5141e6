package v1alpha1

// TokenAudience is the audience that a ServiceAccount's token must name to be taken in the place of a key.
const TokenAudience = "modelroute"

// ServiceAccountReference names a ServiceAccount whose pods use their own tokens in the place of a key.
type ServiceAccountReference struct {
	// namespace is the namespace of the ServiceAccount. Absent: that of the object that names it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// name is the name of the ServiceAccount.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}

// LocalServiceAccountReference names a ServiceAccount beside the object that names it.
type LocalServiceAccountReference struct {
	// name is the name of the ServiceAccount.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}
