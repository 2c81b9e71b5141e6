package desired

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
)

// networkPolicy lets the clients in that the owner names, and everybody to health and metrics: kubelets and scrapers are not clients. It
// says nothing of what goes out, so that upstreams, the ledger, the API server and DNS are reached as before.
func (p proxies) networkPolicy() Object {
	policy := networkingv1ac.NetworkPolicy(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(p.ProxyLabels())).
			WithPolicyTypes(networkingv1.PolicyTypeIngress).
			WithIngress(
				networkingv1ac.NetworkPolicyIngressRule().WithPorts(policyPort(*p.clientPort().Name)).
					WithFrom(peers(p.pods.NetworkPolicy.From)...),
				networkingv1ac.NetworkPolicyIngressRule().WithPorts(policyPort(portAdmin))))
	return p.object("networking.k8s.io", "NetworkPolicy", p.Proxy, policy)
}

func policyPort(name string) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromString(name))
}

func peers(from []networkingv1.NetworkPolicyPeer) []*networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	configs := make([]*networkingv1ac.NetworkPolicyPeerApplyConfiguration, 0, len(from))
	for _, peer := range from {
		config := networkingv1ac.NetworkPolicyPeer()
		if peer.PodSelector != nil {
			config.WithPodSelector(selector(peer.PodSelector))
		}
		if peer.NamespaceSelector != nil {
			config.WithNamespaceSelector(selector(peer.NamespaceSelector))
		}
		if block := peer.IPBlock; block != nil {
			config.WithIPBlock(networkingv1ac.IPBlock().WithCIDR(block.CIDR).WithExcept(block.Except...))
		}
		configs = append(configs, config)
	}
	return configs
}

func selector(of *metav1.LabelSelector) *metav1ac.LabelSelectorApplyConfiguration {
	config := metav1ac.LabelSelector().WithMatchLabels(of.MatchLabels)
	for _, expression := range of.MatchExpressions {
		config.WithMatchExpressions(metav1ac.LabelSelectorRequirement().
			WithKey(expression.Key).WithOperator(expression.Operator).WithValues(expression.Values...))
	}
	return config
}
