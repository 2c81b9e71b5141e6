// Package v1alpha1 is the API of ModelRoute: the types that users write and read. It holds no logic.
//
// Two rules hold for all of it. Money is a quoted decimal string, never a float and never a Quantity. A spec field that is
// absent stays absent: the schema sets no defaults, so that what is in git is what is in the cluster.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=modelroute.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of all types here.
var GroupVersion = schema.GroupVersion{Group: "modelroute.dev", Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion under the name that generated code expects.
var SchemeGroupVersion = GroupVersion

var schemeBuilder = runtime.NewSchemeBuilder(func(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ModelRoute{}, &ModelRouteList{}, &ModelKey{}, &ModelKeyList{}, &TeamBudget{}, &TeamBudgetList{},
		&ModelGateway{}, &ModelGatewayList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
})

// AddToScheme teaches a scheme the types of this package.
var AddToScheme = schemeBuilder.AddToScheme
