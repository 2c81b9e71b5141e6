package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/desired"
)

func TestEveryChildIsOfAKnownKind(t *testing.T) {
	route := &v1alpha1.ModelRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "chat"}}
	route.Spec.Proxy = &v1alpha1.Proxy{ProxyPods: v1alpha1.ProxyPods{
		Autoscaling:   v1alpha1.Autoscaling{MaxReplicas: 3},
		HTTPRoute:     v1alpha1.HTTPRoute{ParentRefs: []v1alpha1.ListenerReference{{Name: "public"}}},
		PodMonitor:    &v1alpha1.PodMonitor{},
		NetworkPolicy: v1alpha1.NetworkPolicy{From: []networkingv1.NetworkPolicyPeer{{}}},
	}}
	objects := append(desired.Objects(desired.Input{Route: route}), desired.ConsumerSecret(route, v1alpha1.Consumer{Name: "search"}, desired.Access{}, ""))
	objects = append(objects, desired.ExtensionsOf(route)...)
	for _, object := range objects {
		if _, known := kinds[object.Kind]; !known {
			t.Errorf("%s could be neither applied nor pruned", object.Kind)
		}
	}
}

func TestAnApplyConfigurationHasNoNulls(t *testing.T) {
	config := corev1ac.Container().WithName("proxy").WithResources(corev1ac.ResourceRequirements().WithLimits(nil))
	got, err := toMap(config)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "proxy", "resources": map[string]any{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnObjectIsLeavingWhen(t *testing.T) {
	owner := &v1alpha1.ModelRoute{ObjectMeta: metav1.ObjectMeta{Name: "chat", UID: "new"}}
	controlledBy := func(kind, name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{
			Kind: kind, Name: name, UID: "old", Controller: new(true),
		}}}}
	}
	deleted := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Now())}}
	cases := map[string]struct {
		object *corev1.Secret
		want   bool
	}{
		"ItIsBeingDeleted":                          {deleted, true},
		"ItBelongsToAnEarlierRouteOfTheName":        {controlledBy("ModelRoute", "chat"), true},
		"NotWhenItBelongsToAnotherRoute":            {controlledBy("ModelRoute", "mail"), false},
		"NotWhenItBelongsToSomethingOfAnyOtherKind": {controlledBy("Deployment", "chat"), false},
		"NotWhenItBelongsToNobody":                  {&corev1.Secret{}, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isLeaving(test.object, owner); got != test.want {
				t.Errorf("it is %t", got)
			}
		})
	}
}
