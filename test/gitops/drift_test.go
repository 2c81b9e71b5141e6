package gitops

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestWhatIsAppliedIsWhatIsStoredAlsoOnceTheOperatorHasSeenIt(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stored := w.apply(manifest)
			if diff := cmp.Diff(encode(t, manifest.Object["spec"]), encode(t, stored.Object["spec"])); diff != "" {
				t.Errorf("the API server stores something else (-applied +stored):\n%s", diff)
			}
			settled := w.settled(w.startOperator(), manifest)
			if diff := cmp.Diff(encode(t, manifest.Object["spec"]), encode(t, settled.Object["spec"])); diff != "" {
				t.Errorf("the operator changed it (-applied +stored):\n%s", diff)
			}
			if settled.GetGeneration() != 1 || len(settled.GetLabels())+len(settled.GetAnnotations())+len(settled.GetFinalizers()) > 0 {
				t.Errorf("the operator changed it: %v", settled.Object["metadata"])
			}
		})
	}
}

func TestAppliedAgainNothingIsWritten(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply(manifest)
			// Where no operator has been yet, this stores the status that says so.
			before := w.apply(manifest)
			if again := w.apply(manifest); again.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("the API server wrote it anew: %v", again.Object)
			}
			operator := w.startOperator()
			settled := w.settled(operator, manifest)
			operator.stop()
			again := w.apply(manifest)
			if again.GetResourceVersion() != settled.GetResourceVersion() || again.GetGeneration() != 1 {
				t.Errorf("the API server wrote it anew, once it had a status: %v", again.Object)
			}
		})
	}
}

func TestTenPassesWriteNothing(t *testing.T) {
	for name, manifest := range manifests(t) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply(manifest)
			operator := w.startOperator()
			settled := w.settled(operator, manifest)
			children := w.children()
			for range 10 {
				if err := operator.pass(t.Context(), settled); err != nil {
					t.Fatal(err)
				}
			}
			if after := w.read(manifest); after.GetResourceVersion() != settled.GetResourceVersion() {
				t.Errorf("its status was written: %v", after.Object["status"])
			}
			if diff := cmp.Diff(children, w.children(), cmp.Transformer("version", client.Object.GetResourceVersion)); diff != "" {
				t.Errorf("children were written:\n%s", diff)
			}
		})
	}
}

func TestTheApplierOwnsNoneOfTheStatusAndTheOperatorNothingElse(t *testing.T) {
	w := newWorld(t)
	manifest := parse(t, route)
	w.apply(manifest)
	entries := w.settled(w.startOperator(), manifest).GetManagedFields()
	owners := map[string]bool{}
	for _, entry := range entries {
		fields := map[string]any{}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			t.Fatal(err)
		}
		_, ownsStatus := fields["f:status"]
		owners[entry.Manager] = true
		if isApplier := entry.Manager == applier; ownsStatus == isApplier || !isApplier && len(fields) > 1 {
			t.Errorf("%s owns %v", entry.Manager, fields)
		}
	}
	if len(owners) != 2 || !owners[applier] {
		t.Errorf("the owners are %v, and not the applier and the operator", owners)
	}
}

// Argo CD takes an object for its own that has the label or the annotation of an Application. A child with those of its route would be
// shown as one that is not in git, and pruned.
func TestTheChildrenDoNotSayThatTheyBelongToTheApplicationOfTheirRoute(t *testing.T) {
	w := newWorld(t)
	manifest := parse(t, route)
	manifest.SetLabels(map[string]string{"app.kubernetes.io/instance": "models", "argocd.argoproj.io/instance": "models"})
	manifest.SetAnnotations(map[string]string{
		"argocd.argoproj.io/tracking-id": "models:modelroute.dev/ModelRoute:" + w.namespace + "/chat",
		"argocd.argoproj.io/sync-wave":   "2",
	})
	w.apply(manifest)
	settled := w.settled(w.startOperator(), manifest)
	kinds := map[string]bool{}
	for name, child := range w.children() {
		kind, _, _ := strings.Cut(name, " ")
		kinds[kind] = true
		if !metav1.IsControlledBy(child, settled) {
			t.Errorf("%s is not controlled by its route, under which Argo CD would show it", name)
		}
		for _, place := range []map[string]string{child.GetLabels(), child.GetAnnotations(), podLabels(child)} {
			for key := range place {
				if key == "app.kubernetes.io/instance" || strings.HasPrefix(key, "argocd.argoproj.io/") {
					t.Errorf("%s has %s", name, key)
				}
			}
		}
	}
	for _, kind := range []string{"Deployment", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"} {
		if !kinds[kind] {
			t.Errorf("there is no %s among the children", kind)
		}
	}
}

func podLabels(child client.Object) map[string]string {
	if deployment, isDeployment := child.(*appsv1.Deployment); isDeployment {
		return deployment.Spec.Template.Labels
	}
	return nil
}

// children are the objects that the operator has made in the namespace, by kind and name.
func (w *world) children() map[string]client.Object {
	w.t.Helper()
	found := map[string]client.Object{}
	for kind, list := range map[string]client.ObjectList{
		"Deployment": &appsv1.DeploymentList{}, "Role": &rbacv1.RoleList{}, "RoleBinding": &rbacv1.RoleBindingList{},
		"Secret": &corev1.SecretList{}, "Service": &corev1.ServiceList{}, "ServiceAccount": &corev1.ServiceAccountList{},
	} {
		if err := w.List(w.t.Context(), list, client.InNamespace(w.namespace)); err != nil {
			w.t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, item := range items {
			if object := item.(client.Object); len(object.GetOwnerReferences()) > 0 {
				found[kind+" "+object.GetName()] = object
			}
		}
	}
	return found
}
