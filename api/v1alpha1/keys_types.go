package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RouteKeys says who may claim keys for a route.
//
// +kubebuilder:validation:MinProperties=1
type RouteKeys struct {
	// allowedNamespaces are the namespaces whose ModelKeys the route accepts. Absent: the route's own.
	// +optional
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitzero"`
}

// AllowedNamespaces are namespaces whose ModelKeys a route accepts.
//
// +kubebuilder:validation:XValidation:rule="self.from == 'Selector' || !has(self.selector)",message="selector has a meaning for from: Selector alone: leave it out, or set from to Selector",fieldPath=".selector"
// +kubebuilder:validation:XValidation:rule="self.from != 'Selector' || has(self.selector)",message="from: Selector needs a selector: say which labels the namespaces have",fieldPath=".from"
type AllowedNamespaces struct {
	// from is which namespaces are meant: Same is the route's own, All is every one, Selector those whose labels selector matches.
	// +required
	From NamespacesFrom `json:"from,omitempty"`

	// selector matches the labels of namespaces, for from: Selector.
	// +optional
	// +kubebuilder:validation:XValidation:rule="has(self.matchLabels) || has(self.matchExpressions)",message="an empty selector matches every namespace: set from to All if that is meant"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// NamespacesFrom is which namespaces are meant.
//
// +kubebuilder:validation:Enum=Same;All;Selector
type NamespacesFrom string

const (
	// NamespacesSame is the route's own namespace.
	NamespacesSame NamespacesFrom = "Same"
	// NamespacesAll is every namespace.
	NamespacesAll NamespacesFrom = "All"
	// NamespacesSelector is every namespace whose labels a selector matches.
	NamespacesSelector NamespacesFrom = "Selector"
)

// Rotation says when a key is replaced by a new one. What was spent stays as it is: it belongs to the name of the key's holder.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.intervalDays) || !has(self.overlapHours) || self.overlapHours <= self.intervalDays * 24",message="overlapHours is longer than intervalDays: of the keys that were replaced only the last one is accepted, so that it would end earlier",fieldPath=".overlapHours"
type Rotation struct {
	// intervalDays is how long a key is used, in days. Absent: until a new one is asked for by the annotation modelroute.dev/rotate.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	IntervalDays int32 `json:"intervalDays,omitempty"`

	// overlapHours is how long the key that was replaced is still accepted, in hours. 0 refuses it as soon as the new one is delivered.
	// Absent: 24.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8760
	OverlapHours *int32 `json:"overlapHours,omitempty"`
}
