package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/internal/desired"
)

// applied is a Service to which we have applied its selector, and somebody else a port.
func applied() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ai", Name: "chat", UID: "uid", ResourceVersion: "7", Labels: map[string]string{"a": "b"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ModelRoute", Name: "chat", UID: "owner"}},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: FieldOwner, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:selector":{}}}`),
			}},
		},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "chat"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func wanted(selector string) child {
	return child{Object: desired.Object{Kind: corev1.SchemeGroupVersion.WithKind("Service")}, want: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"namespace": "ai", "name": "chat"},
		"spec": map[string]any{"selector": map[string]any{"app": selector}},
	}}
}

func TestAChildOfTheCacheIsComparedAsTheOneThatItWasMadeFrom(t *testing.T) {
	compact, err := Compact(applied())
	if err != nil {
		t.Fatal(err)
	}
	for selector, want := range map[string]bool{"chat": true, "other": false} {
		for from, live := range map[string]any{"the API server": applied(), "the cache": compact} {
			c := wanted(selector)
			c.live = live.(*corev1.Service)
			if current, err := c.isCurrent(); err != nil || current != want {
				t.Errorf("read from %s, with selector %s: it is %t that it is current, error %v", from, selector, current, err)
			}
		}
	}
}

func TestTheCacheKeepsOfAChildWhatIsLookedAt(t *testing.T) {
	compact, err := Compact(applied())
	if err != nil {
		t.Fatal(err)
	}
	service := compact.(*corev1.Service)
	want := applied().ObjectMeta
	want.ManagedFields = service.ManagedFields
	if diff := cmp.Diff(&corev1.Service{ObjectMeta: want}, service); diff != "" {
		t.Errorf("of a Service (-want +got):\n%s", diff)
	}
	again, err := Compact(service)
	if diff := cmp.Diff(compact, again); err != nil || diff != "" {
		t.Errorf("taken into a cache a second time it is another (error %v):\n%s", err, diff)
	}

	files := corev1.Volume{Name: desired.GatewayFilesVolume}
	deployment := &appsv1.Deployment{
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "other"}, files}, Containers: []corev1.Container{{Name: "proxy"}},
		}}},
		Status: appsv1.DeploymentStatus{AvailableReplicas: 2, Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure}}},
	}
	compact, err = Compact(deployment)
	if err != nil {
		t.Fatal(err)
	}
	kept := compact.(*appsv1.Deployment)
	if diff := cmp.Diff(deployment.Status, kept.Status); diff != "" || *kept.Spec.Replicas != 2 {
		t.Errorf("a Deployment has %d replicas and another status:\n%s", *kept.Spec.Replicas, diff)
	}
	if diff := cmp.Diff([]corev1.Volume{files}, kept.Spec.Template.Spec.Volumes); diff != "" || len(kept.Spec.Template.Spec.Containers) > 0 {
		t.Errorf("its template is %v:\n%s", kept.Spec.Template.Spec, diff)
	}

	secret := &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"key": []byte("value")}}
	compact, err = Compact(secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(secret.Data, compact.(*corev1.Secret).Data); diff != "" {
		t.Errorf("of a Secret (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoChildIsTakenIntoTheCacheAsItIs(t *testing.T) {
	namespace := &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}}}
	for _, object := range []any{namespace, "a tombstone"} {
		if kept, err := Compact(object); err != nil || kept != object {
			t.Errorf("of a %T is kept %v, error %v", object, kept, err)
		}
	}
}

func TestAChildWhoseRecordOfFieldsCannotBeReadIsKeptWholeAndAPassSaysSo(t *testing.T) {
	odd := applied()
	odd.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(`{"x:spec":{}}`)
	kept, err := Compact(odd)
	if err != nil || kept != any(odd) {
		t.Fatalf("it is kept as %v, error %v", kept, err)
	}
	c := wanted("chat")
	c.live = odd
	if _, err := c.isCurrent(); err == nil || !strings.Contains(err.Error(), "reading what was applied") {
		t.Errorf("error %v", err)
	}
}
