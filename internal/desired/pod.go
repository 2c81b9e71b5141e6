package desired

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func (p proxies) podTemplate() *corev1ac.PodTemplateSpecApplyConfiguration {
	return corev1ac.PodTemplateSpec().
		WithLabels(p.pods.PodLabels).WithLabels(p.Labels()).WithLabels(p.ProxyLabels()).
		WithAnnotations(p.pods.PodAnnotations).
		WithSpec(p.podSpec())
}

func (p proxies) podSpec() *corev1ac.PodSpecApplyConfiguration {
	spec := corev1ac.PodSpec().
		WithServiceAccountName(p.Proxy).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(p.longestRequestSeconds + drainSeconds).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nonRootID).WithRunAsGroup(nonRootID).WithFSGroup(nonRootID).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithVolumes(p.volumes()...).
		WithContainers(p.container())
	p.place(spec)
	for _, secret := range p.pods.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	return spec
}

// place says on which nodes the pods run, and which others have to make room for them.
func (p proxies) place(spec *corev1ac.PodSpecApplyConfiguration) {
	spec.WithNodeSelector(p.pods.NodeSelector).WithTopologySpreadConstraints(p.spread()...)
	for _, toleration := range p.pods.Tolerations {
		spec.WithTolerations(tolerationOf(toleration))
	}
	if p.pods.PriorityClassName != "" {
		spec.WithPriorityClassName(p.pods.PriorityClassName)
	}
}

// defaultSpread keeps a node, or a zone, from taking all proxies with it, and never keeps a proxy from running.
var defaultSpread = []v1alpha1.TopologySpreadConstraint{
	{TopologyKey: corev1.LabelTopologyZone}, {TopologyKey: corev1.LabelHostname},
}

// spread counts the pods of each revision by themselves: those that a rollout is about to end would have the new ones stand where they do
// not.
func (p proxies) spread() []*corev1ac.TopologySpreadConstraintApplyConfiguration {
	wanted := p.pods.TopologySpreadConstraints
	if len(wanted) == 0 {
		wanted = defaultSpread
	}
	constraints := make([]*corev1ac.TopologySpreadConstraintApplyConfiguration, 0, len(wanted))
	for _, constraint := range wanted {
		constraints = append(constraints, corev1ac.TopologySpreadConstraint().
			WithTopologyKey(constraint.TopologyKey).
			WithMaxSkew(cmp.Or(constraint.MaxSkew, 1)).
			WithWhenUnsatisfiable(cmp.Or(constraint.WhenUnsatisfiable, corev1.ScheduleAnyway)).
			WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(p.ProxyLabels())).
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
