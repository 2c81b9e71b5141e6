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

func (p proxies) isAutoscaled() bool { return p.pods.Autoscaling != v1alpha1.Autoscaling{} }

// fewestReplicas is how many proxies run, or at the least where an autoscaler says how many.
func (p proxies) fewestReplicas() int32 {
	if p.isAutoscaled() {
		return cmp.Or(p.pods.Autoscaling.MinReplicas, defaultReplicas)
	}
	return ptr.Deref(p.pods.Replicas, defaultReplicas)
}

// mostReplicas is how many proxies run at the most.
func (p proxies) mostReplicas() int32 {
	return max(p.fewestReplicas(), p.pods.Autoscaling.MaxReplicas)
}

// autoscaler scales the Deployment and not its owner: what is in git stays what is in the cluster.
func (p proxies) autoscaler() Object {
	target := cmp.Or(p.pods.Autoscaling.TargetCPUPercent, defaultTargetCPUPercent)
	scaler := autoscalingv2ac.HorizontalPodAutoscaler(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithSpec(autoscalingv2ac.HorizontalPodAutoscalerSpec().
			WithScaleTargetRef(autoscalingv2ac.CrossVersionObjectReference().
				WithAPIVersion("apps/v1").WithKind("Deployment").WithName(p.Proxy)).
			WithMinReplicas(p.fewestReplicas()).
			WithMaxReplicas(p.mostReplicas()).
			WithMetrics(autoscalingv2ac.MetricSpec().
				WithType(autoscalingv2.ResourceMetricSourceType).
				WithResource(autoscalingv2ac.ResourceMetricSource().
					WithName(corev1.ResourceCPU).
					WithTarget(autoscalingv2ac.MetricTarget().
						WithType(autoscalingv2.UtilizationMetricType).WithAverageUtilization(target)))))
	made := p.object("autoscaling", "HorizontalPodAutoscaler", p.Proxy, scaler)
	made.Kind.Version = "v2"
	return made
}
