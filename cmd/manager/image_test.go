package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func pod(name, containerName, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "modelroute-system", Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "sidecar", Image: "sidecar:1"}, {Name: containerName, Image: image}}},
	}
}

func TestTheProxiesRunFromTheManagersOwnImage(t *testing.T) {
	live := fake.NewClientBuilder().
		WithObjects(
			pod("manager-1", container, "modelroute:1"), pod("manager-2", container, "modelroute:2"), pod("other", "other", "other:1")).
		WithIndex(&corev1.Pod{}, "metadata.name", func(object client.Object) []string { return []string{object.GetName()} }).
		Build()

	got, err := ownImage(t.Context(), live, "modelroute-system", "manager-2")
	if err != nil || got != "modelroute:2" {
		t.Errorf("image %q, error %v, want modelroute:2", got, err)
	}
	for reason, name := range map[string]string{"the pod is not there": "manager-3", "the pod is another program's": "other"} {
		if _, err := ownImage(t.Context(), live, "modelroute-system", name); err == nil || !strings.Contains(err.Error(), "set --proxy-image") {
			t.Errorf("%s: error %v", reason, err)
		}
	}
}
