package controllers

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// ownAPIServer starts an API server for one test alone, which can stop it and start it again: its etcd stays.
func ownAPIServer(t *testing.T) (*envtest.Environment, *rest.Config) {
	t.Helper()
	t.Parallel()
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assetsDirectory(),
		CRDDirectoryPaths:     []string{filepath.Join("..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	environment.ControlPlane.GetAPIServer().CertDir = t.TempDir() // It is the same server after a restart.
	environment.ControlPlaneStopTimeout = time.Second
	config, err := environment.Start()
	if err != nil {
		t.Fatalf("starting an API server: %v", err)
	}
	t.Cleanup(func() { _ = environment.Stop() }) // It may have to be killed.
	grantRights(t, config)
	return environment, config
}

func TestTheManagerGoesOnByItselfAfterTheAPIServerWasGone(t *testing.T) {
	environment, config := ownAPIServer(t)
	w := newWorldOn(t, testRealClock, config)
	w.startManager()
	w.serve(w.route())
	w.quiet("chat")
	before := w.versions()

	server := environment.ControlPlane.APIServer
	_ = server.Stop() // It is killed when it does not end in time, which is an error that does not matter.
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the API server answers", func() error {
		return w.client.List(t.Context(), &v1alpha1.ModelRouteList{})
	})
	after := w.versions()
	delete(before, "ModelRoute chat") // Its status shows what was spent.
	delete(after, "ModelRoute chat")
	if len(before) != len(after) {
		t.Errorf("there were %d children, and are %d", len(before), len(after))
	}
	for name, version := range before {
		if after[name] != version {
			t.Errorf("%s was written to", name)
		}
	}
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Description = "after the outage" })
	w.eventually("the change is in the configuration", func() error { return w.isDescribed("after the outage") })
	w.untilReady("chat")
}

func TestOfTwoManagersOnlyTheElectedOneWritesAndTheOtherTakesOver(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	w.elects = true
	w.startManager()
	w.serve(w.route())
	w.quiet("chat")
	stopFirst, elected := w.stop, w.reconciler
	w.startManager()
	stopSecond, waiting := w.stop, w.reconciler
	w.stop = func() {
		stopFirst()
		stopSecond()
	}

	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Description = "by the first" })
	w.eventually("the change is in the configuration", func() error { return w.isDescribed("by the first") })
	w.untilReady("chat")
	if !elected.Usage.state().tried || waiting.Usage.state().tried {
		t.Error("the one that is not elected is at work")
	}
	delivered := keyOf(w.consumerSecret("chat", "search"))

	stopFirst()
	w.stop = stopSecond
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Spec.Model.Description = "by the second" })
	w.eventually("the change is in the configuration", func() error { return w.isDescribed("by the second") })
	w.untilReady("chat")
	if keyOf(w.consumerSecret("chat", "search")) != delivered {
		t.Error("the consumer has another key")
	}
}

// isDescribed is an error unless the configuration of the route chat has this description.
func (w *world) isDescribed(description string) error {
	w.t.Helper()
	if got := w.proxyConfig("chat").Routes[0].Model.Description; got != description {
		return fmt.Errorf("it is %q", got)
	}
	return nil
}

func TestInANamespaceThatIsBeingDeletedARouteSaysSoAndOthersGoOn(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	tenant := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "leaving-"}}
	w.create(tenant)
	w.tenants = []string{tenant.Name}
	secret, leaving := w.upstreamSecret("key"), w.route()
	secret.Namespace, leaving.Namespace = tenant.Name, tenant.Name
	w.create(secret)
	w.create(leaving)
	w.delete(tenant) // Nobody empties it, so that it stays as it is: being deleted.
	w.startManager()
	w.serve(w.route())

	w.eventually("the route says what is wrong", func() error {
		route := &v1alpha1.ModelRoute{}
		w.getIn(tenant.Name, "chat", route)
		ready := conditionOf(route, v1alpha1.ConditionReady)
		want := "The namespace is being deleted, and the route with it: nothing is made there any more."
		if ready.Status != metav1.ConditionFalse || ready.Message != want {
			return fmt.Errorf("it says %s: %q", ready.Status, ready.Message)
		}
		return nil
	})
}
