package v1alpha1

// RateLimit limits how many requests and tokens are served in a short time. It is exact, however many proxies serve the route. Windows
// are fixed: each is periodSeconds long, counted from 1970 in UTC, so that with 60 a new one begins with every minute. A request that does
// not fit is answered with 429, with Retry-After and with x-ratelimit-* headers that say what is left and when the window ends.
//
// +kubebuilder:validation:XValidation:rule="has(self.requests) || has(self.tokens)",message="this rate limit limits nothing: set requests, tokens, or both"
type RateLimit struct {
	// name is the rate limit's name, unique in its list. A budget may have the same name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// periodSeconds is how long a window is, in seconds: 60 for limits per minute. Windows are counted from 1970 in UTC.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// requests is how many requests one window may have. A request counts once it has passed the checks, however it ends. Absent: their
	// number is not limited. 0 allows none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	Requests *int64 `json:"requests,omitempty"`

	// tokens is how many tokens one window may have, those of prompts and completions together, as the upstream reports them. While a
	// request runs, the most that it can use is held; so every request is sent with a completion limit, as under a Deny budget. Absent:
	// their number is not limited. 0 allows none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	Tokens *int64 `json:"tokens,omitempty"`
}
