package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
)

// proxies are those of one owner, as they are.
type proxies struct {
	// deployment is nil if there is none. readyPods are the names of the proxies' pods that are ready and stay.
	deployment *appsv1.Deployment
	readyPods  []string
}

// observeProxies looks at what is there of the proxies of an owner.
func observeProxies(ctx context.Context, reader client.Reader, owner desired.Owner) (proxies, error) {
	var there proxies
	deployment := &appsv1.Deployment{}
	namespace := owner.Object.GetNamespace()
	switch err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: owner.Proxy}, deployment); {
	case err == nil && metav1.IsControlledBy(deployment, owner.Object):
		there.deployment = deployment
	case client.IgnoreNotFound(err) != nil:
		return proxies{}, fmt.Errorf("reading the Deployment: %w", err)
	}
	var pods corev1.PodList
	err := reader.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels(owner.ProxyLabels()))
	if err != nil {
		return proxies{}, fmt.Errorf("listing the proxies' pods: %w", err)
	}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp.IsZero() && isReady(&pods.Items[i]) {
			there.readyPods = append(there.readyPods, pods.Items[i].Name)
		}
	}
	return there, nil
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// wantedReplicas is how many proxies the Deployment wants; 1 if there is none, since then it is not 0 that keeps it from serving.
func (p proxies) wantedReplicas() int32 {
	if p.deployment == nil {
		return 1
	}
	return ptr.Deref(p.deployment.Spec.Replicas, 1)
}

// isRollingOut reports whether pods of an earlier template still run, or the Deployment has not been looked at.
func (p proxies) isRollingOut() bool {
	if p.deployment == nil {
		return true // it was deleted, and its pods are still there
	}
	status := p.deployment.Status
	return status.ObservedGeneration < p.deployment.Generation || status.UpdatedReplicas < status.Replicas
}

// paused is what is said where it was asked for that no proxy runs.
func paused(field string) string { return "No proxy runs, since " + field + " is 0: nobody is served." }

// available is the verdict on whether enough proxies are ready. The pods have a label of this name with that value; field is where it
// stands how many are wanted.
func (p proxies) available(failed error, label, name, field string) verdict {
	switch {
	case p.deployment == nil && failed != nil:
		return no(v1alpha1.ReasonUnavailable, "No proxy runs.")
	case p.deployment == nil:
		return no(v1alpha1.ReasonUnavailable, "The proxies are being started.")
	case p.wantedReplicas() == 0:
		return yes(v1alpha1.ReasonAvailable, paused(field))
	case p.deployment.Status.AvailableReplicas < p.wantedReplicas():
		if refusal := podRefusal(p.deployment); refusal != "" {
			return no(v1alpha1.ReasonUnavailable, "The API server refuses the proxies' pods: "+refusal+".")
		}
		return no(v1alpha1.ReasonUnavailable, fmt.Sprintf("%d of %d proxies are available. See the pods with the label %s=%s.",
			p.deployment.Status.AvailableReplicas, p.wantedReplicas(), label, name))
	}
	return yes(v1alpha1.ReasonAvailable, "All proxies are available.")
}

// podRefusal is why the Deployment's pods cannot be made, such as a quota or a PriorityClass that is missing; empty if they can.
func podRefusal(deployment *appsv1.Deployment) string {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return strings.TrimSuffix(condition.Message, ".")
		}
	}
	return ""
}

// programmed is the verdict on proxies of which so many have acknowledged what they are to serve.
func (p proxies) programmed(acknowledged int, fresh bool, label, name, field string) verdict {
	ready := len(p.readyPods)
	switch {
	case p.wantedReplicas() == 0 && ready == 0:
		return yes(v1alpha1.ReasonProgrammed, paused(field))
	case !fresh:
		return unknown(v1alpha1.ReasonLedgerUnavailable, ledgerUnavailable)
	case ready == 0:
		return no(v1alpha1.ReasonPending, "No proxy is ready yet. See the pods with the label "+label+"="+name+".")
	case acknowledged < ready:
		return no(v1alpha1.ReasonPending, fmt.Sprintf("%d of %d ready proxies serve this generation.", acknowledged, ready))
	case p.isRollingOut():
		return no(v1alpha1.ReasonPending, "The proxies are being replaced.")
	}
	return yes(v1alpha1.ReasonProgrammed, "Every ready proxy serves this generation.")
}
