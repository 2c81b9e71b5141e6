package controllers

import (
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
)

// NewScheme returns the types that the controllers read and write.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// CacheOptions let the cache see only what the operator has made: other people's Secrets never get into its memory. Of that it keeps what
// passes look at.
func CacheOptions() cache.Options {
	ours := cache.ByObject{Label: ours(), Transform: apply.Compact}
	pods := cache.ByObject{Label: ours.Label, Transform: onlyReadiness}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&v1alpha1.ModelRoute{}:                   {Transform: compactOwn},
		&v1alpha1.ModelGateway{}:                 {Transform: compactOwn},
		&v1alpha1.ModelKey{}:                     {Transform: compactOwn},
		&v1alpha1.TeamBudget{}:                   {Transform: compactOwn},
		&corev1.Secret{}:                         ours,
		&corev1.Service{}:                        ours,
		&corev1.ServiceAccount{}:                 ours,
		&rbacv1.Role{}:                           ours,
		&rbacv1.RoleBinding{}:                    ours,
		&appsv1.Deployment{}:                     ours,
		&networkingv1.NetworkPolicy{}:            ours,
		&corev1.Pod{}:                            pods,
		&policyv1.PodDisruptionBudget{}:          ours,
		&autoscalingv2.HorizontalPodAutoscaler{}: ours,
	}}
}

// compactOwn keeps of an object of our own kinds all but the record of who owns which field, copied: where it was decoded its lists have
// room for more, which with thousands of routes is megabytes.
func compactOwn(object any) (any, error) {
	own, isObject := object.(client.Object)
	if !isObject {
		return object, nil
	}
	own.SetManagedFields(nil)
	return own.DeepCopyObject(), nil
}

// ours are the objects that the operator has made.
func ours() labels.Selector {
	return labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
}

// onlyReadiness keeps of a pod what the operator looks at: who it is, and whether it is ready.
func onlyReadiness(object any) (any, error) {
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			Labels: apply.Interned(pod.Labels), DeletionTimestamp: pod.DeletionTimestamp,
		},
		Status: corev1.PodStatus{Conditions: readyCondition(pod)},
	}, nil
}

func readyCondition(pod *corev1.Pod) []corev1.PodCondition {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return []corev1.PodCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return nil
}
