package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// autoscaled says that an autoscaler says how many proxies run.
func autoscaled(proxy *v1alpha1.Proxy) {
	proxy.Replicas = nil
	proxy.Autoscaling = v1alpha1.Autoscaling{MinReplicas: 2, MaxReplicas: 10}
	proxy.Resources = &v1alpha1.Resources{Requests: corev1.ResourceList{corev1.ResourceCPU: quantity("0.5")}}
}

// scale scales the Deployment as its autoscaler does.
func (w *world) scale(replicas int32) {
	w.t.Helper()
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	err := w.client.SubResource("scale").Update(w.t.Context(), w.deployment("chat"), client.WithSubResourceBody(scale))
	if err != nil {
		w.t.Fatalf("scaling: %v", err)
	}
}

func (w *world) untilReplicas(want int32) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d replicas are wanted", want), func() error {
		if got := *w.deployment("chat").Spec.Replicas; got != want {
			return fmt.Errorf("it is %d", got)
		}
		return nil
	})
}

// recordReplicas returns how many replicas the Deployment wanted, each time that it was written from now on.
func (w *world) recordReplicas() func() []int32 {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	watched, err := w.client.Watch(ctx, &appsv1.DeploymentList{}, client.InNamespace(w.namespace))
	if err != nil {
		w.t.Fatal(err)
	}
	var recording sync.WaitGroup
	var seen []int32
	recording.Go(func() {
		for event := range watched.ResultChan() {
			if deployment, isDeployment := event.Object.(*appsv1.Deployment); isDeployment {
				seen = append(seen, *deployment.Spec.Replicas)
			}
		}
	})
	return func() []int32 {
		cancel()
		recording.Wait()
		return seen
	}
}

func TestAnAutoscalerTakesOverWithoutAnInterruptionAndSaysHowManyProxiesRun(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Proxy.Replicas = new(int32(4))
	w.serve(route)
	seen := w.recordReplicas()

	w.changeProxy(autoscaled)
	scaler := &autoscalingv2.HorizontalPodAutoscaler{}
	w.eventually("there is an autoscaler", func() error {
		if !w.exists("chat-proxy", scaler) {
			return errIsNot
		}
		return nil
	})
	if *scaler.Spec.MinReplicas != 2 || scaler.Spec.MaxReplicas != 10 || scaler.Spec.ScaleTargetRef.Name != "chat-proxy" {
		t.Errorf("it is %+v", scaler.Spec)
	}
	w.untilReplicas(4)

	w.scale(7)
	w.changeProxy(func(p *v1alpha1.Proxy) { p.PodAnnotations = map[string]string{"another": "template"} })
	w.eventually("the pods are others", func() error {
		if w.deployment("chat").Spec.Template.Annotations["another"] == "" {
			return errors.New("they are not")
		}
		return nil
	})
	w.rollOut("chat")
	w.quiet("chat")
	w.untilReplicas(7)

	writes := w.writes.Load()
	for range 3 {
		w.reconcile()
	}
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("passes over what an autoscaler has scaled wrote %d times", got)
	}

	w.changeProxy(func(p *v1alpha1.Proxy) { p.Autoscaling, p.Replicas = v1alpha1.Autoscaling{}, new(int32(5)) })
	w.untilReplicas(5)
	w.eventually("there is no autoscaler any more", func() error {
		if w.exists("chat-proxy", scaler) {
			return errIsThere
		}
		return nil
	})
	if got := slices.Compact(seen()); !slices.Equal(got, []int32{4, 7, 5}) {
		t.Errorf("the Deployment wanted %v replicas", got)
	}
}

func TestAnAutoscaledRouteBeginsWithTheFewestProxies(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	autoscaled(route.Spec.Proxy)
	w.create(route)
	w.untilReplicas(2)
	w.eventually("the number is not the operator's any more", func() error {
		for _, entry := range w.deployment("chat").ManagedFields {
			if entry.Manager == "modelroute-controller-hand-over" {
				return nil
			}
		}
		return errors.New("it is")
	})
	w.untilReplicas(2)
}

func TestAPausedRouteThatIsAutoscaledRunsTheFewestProxies(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Proxy.Replicas = new(int32(0))
	w.create(route)
	w.untilReplicas(0)
	w.changeProxy(autoscaled) // An autoscaler leaves a Deployment alone that wants none.
	w.untilReplicas(2)
}

func TestARouteCanBeScaled(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	route := &v1alpha1.ModelRoute{}
	w.get("chat", route)
	scale := &autoscalingv1.Scale{}
	if err := w.client.SubResource("scale").Get(t.Context(), route, scale); err != nil {
		t.Fatal(err)
	}
	selector, err := labels.Parse(scale.Status.Selector)
	pod := &corev1.Pod{}
	w.get("chat-pod", pod)
	if err != nil || !selector.Matches(labels.Set(pod.Labels)) || scale.Status.Replicas != 1 || scale.Spec.Replicas != 1 {
		t.Errorf("the scale is %+v (%v)", scale, err)
	}

	scale.Spec.Replicas = 3
	if err := w.client.SubResource("scale").Update(t.Context(), route, client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	w.untilReplicas(3)
}

func TestARouteThatSaysNoNumberCanBeScaledAsWell(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Proxy = nil
	w.create(route)
	w.untilReplicas(2)
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "chat"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}
	if err := w.client.SubResource("scale").Patch(t.Context(), route, client.RawPatch("application/merge-patch+json",
		[]byte(`{"spec":{"replicas":3}}`)), client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	w.untilReplicas(3)
}
