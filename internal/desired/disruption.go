package desired

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
)

// disruptionBudget lets nodes be drained one proxy at a time. A proxy that is not ready serves nobody, and does not hold up a drain.
func (p proxies) disruptionBudget() Object {
	budget := policyv1ac.PodDisruptionBudget(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(p.ProxyLabels())))
	return p.object("policy", "PodDisruptionBudget", p.Proxy, budget)
}
