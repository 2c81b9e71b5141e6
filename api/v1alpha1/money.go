package v1alpha1

// USD is a non-negative amount in US dollars: a quoted decimal with at most nine digits before and nine after the point, for
// example "500.00" or "0.000128". It is kept exactly as written. Quote it in YAML: an unquoted number is refused, since it would
// be a float.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=19
// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$`
type USD string

// USDPerMillionTokens is a price in US dollars per million tokens: a quoted decimal with at most nine digits before and six after
// the point, for example "2.00". "0" means free. Quote it in YAML.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$`
type USDPerMillionTokens string
