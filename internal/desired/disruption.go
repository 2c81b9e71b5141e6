package desired

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// disruptionBudget lets nodes be drained one proxy at a time. A proxy that is not ready serves nobody, and does not hold up a drain.
func disruptionBudget(route *v1alpha1.ModelRoute) Object {
	name := ProxyName(route)
	budget := policyv1ac.PodDisruptionBudget(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(ProxyLabels(route))))
	return object("policy", "PodDisruptionBudget", route, name, budget)
}
