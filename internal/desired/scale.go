package desired

import (
	"cmp"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"
	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// defaultTargetCPUPercent leaves a proxy room for what comes until another one is ready.
const defaultTargetCPUPercent = 70

func isAutoscaled(route *v1alpha1.ModelRoute) bool {
	return proxyOf(route).Autoscaling != v1alpha1.Autoscaling{}
}

// fewestReplicas is how many proxies run, or at the least where an autoscaler says how many.
func fewestReplicas(route *v1alpha1.ModelRoute) int32 {
	proxy := proxyOf(route)
	if isAutoscaled(route) {
		return cmp.Or(proxy.Autoscaling.MinReplicas, defaultReplicas)
	}
	return ptr.Deref(proxy.Replicas, defaultReplicas)
}

// mostReplicas is how many proxies run at the most.
func mostReplicas(route *v1alpha1.ModelRoute) int32 {
	return max(fewestReplicas(route), proxyOf(route).Autoscaling.MaxReplicas)
}

// autoscaler scales the Deployment and not the route: what is in git stays what is in the cluster.
func autoscaler(route *v1alpha1.ModelRoute) Object {
	name := ProxyName(route)
	target := cmp.Or(proxyOf(route).Autoscaling.TargetCPUPercent, defaultTargetCPUPercent)
	scaler := autoscalingv2ac.HorizontalPodAutoscaler(name, route.Namespace).
		WithLabels(labels(route)).
		WithOwnerReferences(ownerReference(route)).
		WithSpec(autoscalingv2ac.HorizontalPodAutoscalerSpec().
			WithScaleTargetRef(autoscalingv2ac.CrossVersionObjectReference().
				WithAPIVersion("apps/v1").WithKind("Deployment").WithName(name)).
			WithMinReplicas(fewestReplicas(route)).
			WithMaxReplicas(mostReplicas(route)).
			WithMetrics(autoscalingv2ac.MetricSpec().
				WithType(autoscalingv2.ResourceMetricSourceType).
				WithResource(autoscalingv2ac.ResourceMetricSource().
					WithName(corev1.ResourceCPU).
					WithTarget(autoscalingv2ac.MetricTarget().
						WithType(autoscalingv2.UtilizationMetricType).WithAverageUtilization(target)))))
	made := object("autoscaling", "HorizontalPodAutoscaler", route, name, scaler)
	made.Kind.Version = "v2"
	return made
}
