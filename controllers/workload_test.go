package controllers

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
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

func TestWhoCanConnectIsTheRoutesToSay(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	policy := &networkingv1.NetworkPolicy{}
	if w.exists("chat-proxy", policy) {
		t.Error("a route that says nothing has a policy")
	}
	from := []networkingv1.NetworkPolicyPeer{
		{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"search"}},
		}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}},
	}
	w.changeProxy(func(p *v1alpha1.Proxy) { p.NetworkPolicy.From = from })
	w.eventually("there is a policy", func() error {
		if !w.exists("chat-proxy", policy) {
			return errIsNot
		}
		return nil
	})
	pod := &corev1.Pod{}
	w.get("chat-pod", pod)
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
		t.Errorf("it is about %v (%v)", policy.Spec.PodSelector, err)
	}
	if diff := cmp.Diff(from, policy.Spec.Ingress[0].From); diff != "" || policy.Spec.Ingress[0].Ports[0].Port.String() != "http" {
		t.Errorf("clients are (-want +got):\n%s", diff)
	}
	if scrapers := policy.Spec.Ingress[1]; len(scrapers.From) > 0 || scrapers.Ports[0].Port.String() != "admin" {
		t.Errorf("health and metrics are for %v", scrapers)
	}
	if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
		t.Errorf("it restricts %v", policy.Spec.PolicyTypes)
	}
	w.quiet("chat")
	writes := w.writes.Load()
	w.reconcile()
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("a pass over an unchanged policy wrote %d times", got)
	}

	w.changeProxy(func(p *v1alpha1.Proxy) { p.NetworkPolicy.From[1].IPBlock.CIDR = "10.0.0.0" })
	route := w.until("chat", v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)
	if message := conditionOf(route, v1alpha1.ConditionAccepted).Message; !strings.Contains(message, "spec.proxy.networkPolicy: ") {
		t.Errorf("the message is %q", message)
	}
	w.changeProxy(func(p *v1alpha1.Proxy) { p.NetworkPolicy.From = nil })
	w.eventually("there is no policy any more", func() error {
		if w.exists("chat-proxy", policy) {
			return errIsThere
		}
		return nil
	})
}
