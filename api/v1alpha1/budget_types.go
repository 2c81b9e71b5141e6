package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Budget limits what is spent within a calendar window.
//
// +kubebuilder:validation:XValidation:rule="!has(self.whenExhausted) || self.enforcement == 'Deny'",message="whenExhausted says what becomes of requests that the budget would refuse, and a budget that only warns refuses none: set enforcement to Deny",fieldPath=".whenExhausted"
type Budget struct {
	// name is the budget's name, unique in its list.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// amount is how much may be spent in one window, in USD. "0" allows nothing.
	// +required
	Amount USD `json:"amount,omitempty"`

	// window is the calendar window in which spend is counted.
	// +required
	Window Window `json:"window,omitzero"`

	// enforcement is what happens when the amount is spent: Deny answers further requests with 402, or lets them go on as whenExhausted
	// says, Warn only shows it. Under a
	// Deny budget not one nano-dollar more than the amount is ever given out to requests.
	// +required
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// alertPercents are the percentages of the amount at which an event is recorded, once in a window, and the status is written at once;
	// from the lowest on the budget's state is Warning. Absent: 80.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=100
	AlertPercents []int32 `json:"alertPercents,omitempty"`

	// credits top the amount up until they expire, for when a team needs more in the middle of a window. What was spent stays spent:
	// when a credit expires, the budget may be overdrawn, and is then used up.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Credits []Credit `json:"credits,omitempty"`

	// whenExhausted says where requests go on that this budget has too little left for. Absent: they are answered with 402.
	// +optional
	WhenExhausted WhenExhausted `json:"whenExhausted,omitzero"`
}

// WhenExhausted says where requests go on that a budget has too little left for.
type WhenExhausted struct {
	// upstream is the name of the upstream of the route that serves them, at its own price: a cheap or self-hosted one. It serves no other
	// requests, so that the route needs another upstream as well. What is spent there does not count against this budget; it counts against
	// all others, and against those that the upstream has itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Upstream string `json:"upstream,omitempty"`
}

// Credit adds to the amount of a budget for a while.
type Credit struct {
	// name is the credit's name, unique in its budget.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// amount is how much is added to the budget's amount, in USD.
	// +required
	Amount USD `json:"amount,omitempty"`

	// reason is why, for those who read the budget later.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`

	// expireTime is until when the credit counts, as in 2026-12-01T00:00:00Z. In every window that begins before that it counts once.
	// +required
	ExpireTime *metav1.Time `json:"expireTime,omitempty"`
}

// Window is a calendar window: a budget starts afresh at each of its beginnings.
//
// +kubebuilder:validation:XValidation:rule="self.period != 'Total' || !has(self.timeZone)",message="timeZone has no meaning for the period Total, which never ends: leave it out",fieldPath=".timeZone"
type Window struct {
	// period is the length of the window: Hour, Day, Week (from Monday), Month, Year, or Total, which never ends.
	// +required
	Period Period `json:"period,omitempty"`

	// timeZone is the IANA time zone whose calendar counts, for example Europe/Berlin. Absent: UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_+/-]*$`
	// +kubebuilder:validation:XValidation:rule="self != 'Local'",message="timeZone Local means another zone on every machine: name the zone, such as Europe/Berlin"
	TimeZone string `json:"timeZone,omitempty"`
}

// Period is the length of a window.
//
// +kubebuilder:validation:Enum=Hour;Day;Week;Month;Year;Total
type Period string

// Enforcement is what happens when a budget's amount is spent.
//
// +kubebuilder:validation:Enum=Deny;Warn
type Enforcement string

const (
	// EnforcementDeny refuses what the budget does not cover.
	EnforcementDeny Enforcement = "Deny"
	// EnforcementWarn only shows that the budget is spent.
	EnforcementWarn Enforcement = "Warn"
)
