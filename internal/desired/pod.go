package desired

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func podTemplate(in Input) *corev1ac.PodTemplateSpecApplyConfiguration {
	proxy := proxyOf(in.Route)
	return corev1ac.PodTemplateSpec().
		WithLabels(proxy.PodLabels).WithLabels(labels(in.Route)).WithLabels(ProxyLabels(in.Route)).
		WithAnnotations(proxy.PodAnnotations).
		WithSpec(podSpec(in))
}

// proxyOf is what a route says of how its proxies run, which may be nothing.
func proxyOf(route *v1alpha1.ModelRoute) *v1alpha1.Proxy {
	return cmp.Or(route.Spec.Proxy, &v1alpha1.Proxy{})
}

func podSpec(in Input) *corev1ac.PodSpecApplyConfiguration {
	spec := corev1ac.PodSpec().
		WithServiceAccountName(ProxyName(in.Route)).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(longestRequestSeconds(in.Route) + drainSeconds).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nonRootID).WithRunAsGroup(nonRootID).WithFSGroup(nonRootID).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithVolumes(volumes(in.Route)...).
		WithContainers(container(in))
	placePod(spec, in.Route)
	for _, secret := range proxyOf(in.Route).ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	return spec
}

// placePod says on which nodes the pods run, and which others have to make room for them.
func placePod(spec *corev1ac.PodSpecApplyConfiguration, route *v1alpha1.ModelRoute) {
	proxy := proxyOf(route)
	spec.WithNodeSelector(proxy.NodeSelector).WithTopologySpreadConstraints(spread(route)...)
	for _, toleration := range proxy.Tolerations {
		spec.WithTolerations(tolerationOf(toleration))
	}
	if proxy.PriorityClassName != "" {
		spec.WithPriorityClassName(proxy.PriorityClassName)
	}
}

// defaultSpread keeps a node, or a zone, from taking all proxies with it, and never keeps a proxy from running.
var defaultSpread = []v1alpha1.TopologySpreadConstraint{
	{TopologyKey: corev1.LabelTopologyZone}, {TopologyKey: corev1.LabelHostname},
}

// spread counts the pods of each revision by themselves: those that a rollout is about to end would have the new ones stand where they do
// not.
func spread(route *v1alpha1.ModelRoute) []*corev1ac.TopologySpreadConstraintApplyConfiguration {
	wanted := proxyOf(route).TopologySpreadConstraints
	if len(wanted) == 0 {
		wanted = defaultSpread
	}
	constraints := make([]*corev1ac.TopologySpreadConstraintApplyConfiguration, 0, len(wanted))
	for _, constraint := range wanted {
		constraints = append(constraints, corev1ac.TopologySpreadConstraint().
			WithTopologyKey(constraint.TopologyKey).
			WithMaxSkew(cmp.Or(constraint.MaxSkew, 1)).
			WithWhenUnsatisfiable(cmp.Or(constraint.WhenUnsatisfiable, corev1.ScheduleAnyway)).
			WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(ProxyLabels(route))).
			WithMatchLabelKeys("pod-template-hash"))
	}
	return constraints
}

func tolerationOf(spec corev1.Toleration) *corev1ac.TolerationApplyConfiguration {
	toleration := corev1ac.Toleration().WithOperator(cmp.Or(spec.Operator, corev1.TolerationOpEqual))
	if spec.Key != "" {
		toleration.WithKey(spec.Key)
	}
	if spec.Value != "" {
		toleration.WithValue(spec.Value)
	}
	if spec.Effect != "" {
		toleration.WithEffect(spec.Effect)
	}
	if spec.TolerationSeconds != nil {
		toleration.WithTolerationSeconds(*spec.TolerationSeconds)
	}
	return toleration
}
