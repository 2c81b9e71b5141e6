package apply

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func childOf(owner types.UID, name string, labels map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ai", Name: name, Labels: labels,
		OwnerReferences: []metav1.OwnerReference{{Kind: "ModelRoute", Name: "chat", UID: owner, Controller: new(true)}},
	}}
}

// share returns the same child as a cache has it, and finds out that it says the same.
func share(t *testing.T, child *corev1.Service) *corev1.Service {
	t.Helper()
	shared := child.DeepCopy()
	shareWithKin(shared)
	if diff := cmp.Diff(child, shared); diff != "" {
		t.Errorf("%s is another (-want +got):\n%s", child.Name, diff)
	}
	return shared
}

func isSameOwner(a, b client.Object) bool {
	return &a.GetOwnerReferences()[0] == &b.GetOwnerReferences()[0]
}

func TestChildrenOfOneOwnerShareWhatTheyHaveAlike(t *testing.T) {
	alike := map[string]string{"route": "chat"}
	first, second := share(t, childOf("one", "a", alike)), share(t, childOf("one", "b", alike))
	if !isSameOwner(first, second) {
		t.Error("each has its owner for itself")
	}
	first.Labels["seen"] = "by both" // As nobody does with an object of a cache.
	if second.Labels["seen"] == "" {
		t.Error("each has its labels for itself")
	}
}

func TestMostChildrenShareTheirLabelsWhicheverComesFirst(t *testing.T) {
	share(t, childOf("five", "a", map[string]string{"route": "chat", "consumer": "search"}))
	first := share(t, childOf("five", "b", map[string]string{"route": "chat"}))
	share(t, childOf("five", "c", map[string]string{"route": "chat", "consumer": "other"}))
	second := share(t, childOf("five", "d", map[string]string{"route": "chat"}))
	first.Labels["seen"] = "by both"
	if second.Labels["seen"] == "" {
		t.Error("each has its labels for itself")
	}
}

func TestWhatAChildHasUnlikeItsKinItKeeps(t *testing.T) {
	first := share(t, childOf("two", "a", map[string]string{"route": "chat"}))
	for name, other := range map[string]*corev1.Service{
		"other labels":  childOf("two", "b", map[string]string{"route": "chat", "consumer": "search"}),
		"no labels":     childOf("two", "b", nil),
		"another owner": childOf("three", "b", map[string]string{"route": "chat"}),
		"two owners":    childOf("two", "b", map[string]string{"route": "chat"}),
		"no owner":      childOf("two", "b", map[string]string{"route": "chat"}),
		"a renamed one": childOf("two", "b", map[string]string{"route": "chat"}),
	} {
		switch name {
		case "two owners":
			other.OwnerReferences = append(other.OwnerReferences, metav1.OwnerReference{UID: "four"})
		case "no owner":
			other.OwnerReferences = nil
		case "a renamed one":
			other.OwnerReferences[0].Name = "renamed"
		}
		t.Run(name, func(t *testing.T) { share(t, other) })
	}
	if first.Labels["consumer"] != "" {
		t.Error("the first has got what another has")
	}
}

func TestNothingIsKeptOfAnOwnerWhoseChildrenAreGone(t *testing.T) {
	isKnown := func() bool { _, found := families.Load(types.UID("gone")); return found }
	child := share(t, childOf("gone", "a", map[string]string{"route": "chat"}))
	runtime.GC()
	if !isKnown() {
		t.Error("it is forgotten while a child is there")
	}
	runtime.KeepAlive(child)
	for deadline := time.Now().Add(time.Minute); isKnown(); runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("it is known for good")
		}
		time.Sleep(time.Millisecond)
	}
}
