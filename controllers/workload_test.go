package controllers

import (
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// changeProxy changes how the proxies of the route chat run.
func (w *world) changeProxy(mutate func(*v1alpha1.Proxy)) {
	w.t.Helper()
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { mutate(r.Spec.Proxy) })
}

var (
	errIsThere = errors.New("there is one")
	errIsNot   = errors.New("there is none")
)

func TestSeveralProxiesAreNotDrainedAtOnceAndASingleOneIsNotInTheWay(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	if w.exists("chat-proxy", &policyv1.PodDisruptionBudget{}) {
		t.Error("a single proxy keeps its node from being drained")
	}

	w.changeProxy(func(p *v1alpha1.Proxy) { p.Replicas = new(int32(3)) })
	budget := &policyv1.PodDisruptionBudget{}
	w.eventually("there is a PodDisruptionBudget", func() error {
		if !w.exists("chat-proxy", budget) {
			return errIsNot
		}
		return nil
	})
	pod := &corev1.Pod{}
	w.get("chat-pod", pod)
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil || !selector.Matches(labels.Set(pod.Labels)) || budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the budget is %v (%v)", budget.Spec, err)
	}

	w.changeProxy(func(p *v1alpha1.Proxy) { p.Replicas = nil })
	w.deployment("chat")
	w.changeProxy(func(p *v1alpha1.Proxy) { p.Replicas = new(int32(1)) })
	w.eventually("there is no PodDisruptionBudget any more", func() error {
		if w.exists("chat-proxy", budget) {
			return errIsThere
		}
		return nil
	})
}

func TestWhyPodsAreRefusedIsInTheCondition(t *testing.T) {
	s := healthy()
	s.deployment.Status.AvailableReplicas = 1
	s.deployment.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate",
		Message: `pods "chat-proxy-" is forbidden: no PriorityClass with name models was found`,
	}}
	want := no(v1alpha1.ReasonUnavailable,
		`The API server refuses the proxies' pods: pods "chat-proxy-" is forbidden: no PriorityClass with name models was found.`)
	if got := available(s); got != want {
		t.Errorf("Available is %+v", got)
	}
}
