package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	autoscalingv2ac "k8s.io/client-go/applyconfigurations/autoscaling/v2"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/desired"
)

// kind is what has to be known of a kind of child: how to read one, how to list them, and how to tell what one field owner has applied to
// it.
type kind struct {
	newObject func() client.Object
	newList   func() client.ObjectList
	extract   func(object client.Object, fieldOwner string) (any, error)
	// isExtension is true of a kind that not every cluster has.
	isExtension bool
}

// kinds are the kinds of children that there are. A kind that is not here is neither applied nor pruned.
var kinds = map[schema.GroupVersionKind]kind{
	corev1.SchemeGroupVersion.WithKind("ServiceAccount"): kindOf(
		func() *corev1.ServiceAccount { return &corev1.ServiceAccount{} },
		func() client.ObjectList { return &corev1.ServiceAccountList{} }, corev1ac.ExtractServiceAccount),
	corev1.SchemeGroupVersion.WithKind("Secret"): kindOf(
		func() *corev1.Secret { return &corev1.Secret{} },
		func() client.ObjectList { return &corev1.SecretList{} }, corev1ac.ExtractSecret),
	corev1.SchemeGroupVersion.WithKind("Service"): kindOf(
		func() *corev1.Service { return &corev1.Service{} },
		func() client.ObjectList { return &corev1.ServiceList{} }, corev1ac.ExtractService),
	rbacv1.SchemeGroupVersion.WithKind("Role"): kindOf(
		func() *rbacv1.Role { return &rbacv1.Role{} },
		func() client.ObjectList { return &rbacv1.RoleList{} }, rbacv1ac.ExtractRole),
	rbacv1.SchemeGroupVersion.WithKind("RoleBinding"): kindOf(
		func() *rbacv1.RoleBinding { return &rbacv1.RoleBinding{} },
		func() client.ObjectList { return &rbacv1.RoleBindingList{} }, rbacv1ac.ExtractRoleBinding),
	appsv1.SchemeGroupVersion.WithKind("Deployment"): kindOf(
		func() *appsv1.Deployment { return &appsv1.Deployment{} },
		func() client.ObjectList { return &appsv1.DeploymentList{} }, appsv1ac.ExtractDeployment),
	autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"): kindOf(
		func() *autoscalingv2.HorizontalPodAutoscaler { return &autoscalingv2.HorizontalPodAutoscaler{} },
		func() client.ObjectList { return &autoscalingv2.HorizontalPodAutoscalerList{} },
		autoscalingv2ac.ExtractHorizontalPodAutoscaler),
	networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"): kindOf(
		func() *networkingv1.NetworkPolicy { return &networkingv1.NetworkPolicy{} },
		func() client.ObjectList { return &networkingv1.NetworkPolicyList{} }, networkingv1ac.ExtractNetworkPolicy),
	policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"): kindOf(
		func() *policyv1.PodDisruptionBudget { return &policyv1.PodDisruptionBudget{} },
		func() client.ObjectList { return &policyv1.PodDisruptionBudgetList{} }, policyv1ac.ExtractPodDisruptionBudget),
	desired.HTTPRouteKind:  extensionKind(desired.HTTPRouteKind),
	desired.PodMonitorKind: extensionKind(desired.PodMonitorKind),
}

func kindOf[T client.Object, C any](newObject func() T, newList func() client.ObjectList, extract func(T, string) (C, error)) kind {
	return kind{
		newObject: func() client.Object { return newObject() },
		newList:   newList,
		extract: func(object client.Object, fieldOwner string) (any, error) {
			return extract(object.(T), fieldOwner)
		},
	}
}
