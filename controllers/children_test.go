package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

var errNotDelivered = errors.New("its key is not delivered")

func TestARouteGetsChildrenThatItOwns(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	route := w.untilReady("chat")

	children := map[string]client.Object{
		"chat-proxy": &appsv1.Deployment{}, "chat": &corev1.Service{}, "chat.config": &corev1.Secret{}, "chat-search": &corev1.Secret{},
	}
	for name, child := range children {
		w.get(name, child)
	}
	for name, child := range map[string]client.Object{
		"account": &corev1.ServiceAccount{}, "role": &rbacv1.Role{}, "binding": &rbacv1.RoleBinding{},
	} {
		w.get("chat-proxy", child)
		children[name] = child
	}
	for name, child := range children {
		if !metav1.IsControlledBy(child, route) {
			t.Errorf("%s is not controlled by the route", name)
		}
		if child.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || child.GetLabels()[v1alpha1.LabelRoute] != "chat" {
			t.Errorf("%s has the labels %v", name, child.GetLabels())
		}
	}

	secret := children["chat-search"].(*corev1.Secret)
	want := map[string]string{"OPENAI_BASE_URL": route.Status.Endpoint, "MODEL": "chat", "OPENAI_API_KEY": string(secret.Data["OPENAI_API_KEY"])}
	if diff := cmp.Diff(want, textOf(secret.Data)); diff != "" {
		t.Errorf("the consumer's Secret (-want +got):\n%s", diff)
	}
	key := string(secret.Data["OPENAI_API_KEY"])
	if !keys.WellFormed(key) {
		t.Error("the consumer's key is not well-formed")
	}
	if !slices.Equal(w.acceptedHashes("chat", "search"), []string{keys.Hash(key)}) {
		t.Error("the proxies do not accept the consumer's key, and it alone")
	}
	if config := textOf(children["chat.config"].(*corev1.Secret).Data); strings.Contains(fmt.Sprint(config), key) {
		t.Error("the key itself is in the configuration")
	}
	if encoded := fmt.Sprint(route.Status); strings.Contains(encoded, key) {
		t.Error("the key itself is in the status")
	}
}

func TestARouteShowsWhatItServes(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	route := w.untilReady("chat")

	if want := "http://chat." + w.namespace + ".svc/v1"; route.Status.Endpoint != want {
		t.Errorf("the endpoint is %s, want %s", route.Status.Endpoint, want)
	}
	if *route.Status.Replicas != 1 || *route.Status.ReadyReplicas != 1 {
		t.Errorf("%d of %d replicas are ready", *route.Status.ReadyReplicas, *route.Status.Replicas)
	}
	consumer := route.Status.Consumers[0]
	secret := w.consumerSecret("chat", "search")
	if consumer.KeyID != keys.ID(keys.Hash(string(secret.Data["OPENAI_API_KEY"]))) {
		t.Errorf("the key is called %s", consumer.KeyID)
	}
	w.eventually("the spend is shown", func() error {
		if w.get("chat", route); route.Status.Spend == nil {
			return errors.New("there is none")
		}
		return nil
	})
	if route.Status.Summary.Spend != "0.00" || route.Status.Summary.Budget != "100.00" || route.Status.Summary.Used != "0%" {
		t.Errorf("the summary is %+v", route.Status.Summary)
	}
}

func TestAPassOverAnUnchangedWorldWritesNothing(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Spec.Proxy.Resources = &v1alpha1.Resources{
		Requests: corev1.ResourceList{corev1.ResourceCPU: quantity("0.5"), corev1.ResourceMemory: quantity("0.125Gi")},
	}
	route.Spec.Proxy.NodeSelector = map[string]string{"disk": "fast"}
	route.Spec.Proxy.Tolerations = []corev1.Toleration{{Key: "gpu"}, {Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
	route.Spec.Proxy.Replicas = new(int32(2))
	route.Spec.Proxy.ImagePullSecrets = []v1alpha1.SecretReference{{Name: "registry"}}
	route.Spec.Proxy.PodAnnotations = map[string]string{"example.com/a": ""}
	w.serve(route)
	w.quiet("chat")
	w.stopManager()
	before := w.versions()

	writes, puts := w.writes.Load(), w.puts.Load()
	for range 10 {
		w.reconcile()
	}
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("ten passes wrote %d times", got)
	}
	if got := w.puts.Load() - puts; got != 0 {
		t.Errorf("ten passes put %d times to the ledger", got)
	}

	// Nor does another leader, which remembers nothing.
	writes = w.writes.Load()
	w.startManager()
	w.quiet("chat")
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("a new leader wrote %d times", got)
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("objects have changed:\n%s", diff)
	}
}

func TestAnEditedOrDeletedChildHeals(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())

	change(w, "chat-proxy", &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "somebody/else"
		d.Spec.Template.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil
		d.Labels["kept"] = "yes"
	})
	w.eventually("the Deployment is healed", func() error {
		container := w.deployment("chat").Spec.Template.Spec.Containers[0]
		if container.Image != testImage || container.SecurityContext.ReadOnlyRootFilesystem == nil {
			return fmt.Errorf("the container is %v", container)
		}
		return nil
	})
	if w.deployment("chat").Labels["kept"] != "yes" {
		t.Error("a label of somebody else's is gone")
	}

	change(w, "chat", &corev1.Service{}, func(s *corev1.Service) { delete(s.Labels, v1alpha1.LabelManagedBy) })
	w.eventually("the Service has its label again", func() error {
		service := &corev1.Service{}
		if w.get("chat", service); service.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
			return errors.New("it has none")
		}
		return nil
	})

	role := &rbacv1.Role{}
	w.get("chat-proxy", role)
	w.delete(role)
	w.eventually("there is a Role again", func() error {
		return w.client.Get(t.Context(), client.ObjectKeyFromObject(role), role)
	})
}

func TestAForeignObjectIsLeftAlone(t *testing.T) {
	cases := map[string]struct {
		foreign func(namespace string) client.Object
		message string
	}{
		"ASecretUnderAConsumersName": {func(namespace string) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat-search"}, Data: map[string][]byte{"a": []byte("b")}}
		}, `Secret "chat-search" belongs to somebody else`},
		"ADeployment": {func(namespace string) client.Object {
			labels := map[string]string{"app": "x"}
			return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat-proxy"}, Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}},
				},
			}}
		}, `Deployment "chat-proxy" belongs to somebody else`},
		"ARoleBinding": {func(namespace string) client.Object {
			return &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat-proxy"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "other"},
			}
		}, `RoleBinding "chat-proxy" belongs to somebody else`},
		"ASecretWithOurLabels": {func(namespace string) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "chat.config", Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelRoute: "chat",
			}}}
		}, `Secret "chat.config" belongs to somebody else`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			foreign := test.foreign(w.namespace)
			w.create(foreign)
			w.create(w.route())
			route := w.until("chat", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChildNotOwned)

			if message := conditionOf(route, v1alpha1.ConditionProgrammed).Message; !strings.Contains(message, test.message) {
				t.Errorf("the message is %q", message)
			}
			version := foreign.GetResourceVersion()
			w.get(foreign.GetName(), foreign)
			if foreign.GetResourceVersion() != version {
				t.Error("the foreign object was written to")
			}
			if left := w.ownedBy(route); len(left) > 0 {
				t.Errorf("a half-made set of children: %v", left)
			}

			writes := w.writes.Load()
			w.reconcile()
			if more := w.writes.Load() - writes; more > 0 {
				t.Errorf("another pass over it writes %d times", more)
			}

			w.delete(foreign)
			w.until("chat", v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending)
			w.deployment("chat")
		})
	}
}

func TestARouteThatIsMadeAgainWaitsForTheChildrenOfTheEarlierOne(t *testing.T) {
	w := newWorld(t)
	w.serve(w.route())
	w.delete(w.route())
	w.eventually("the route is gone", func() error {
		if w.exists("chat", &v1alpha1.ModelRoute{}) {
			return errors.New("it is there")
		}
		return nil
	})
	w.create(w.route())
	route := w.until("chat", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending)
	if message := conditionOf(route, v1alpha1.ConditionProgrammed).Message; !strings.Contains(message, "of an earlier route is still being deleted") {
		t.Errorf("the message is %q", message)
	}
	w.deleteChildren() // as the garbage collector does
	w.eventually("the new route has its children", func() error {
		if owned := w.ownedBy(route); len(owned) < 6 {
			return fmt.Errorf("there are %v", owned)
		}
		return nil
	})
}

func TestOfARouteThatIsBeingDeletedNothingIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	route := w.route()
	route.Finalizers = []string{"example.com/held"}
	w.serve(route)
	w.stopManager()
	w.delete(w.route())
	w.deleteChildren() // as the garbage collector does when the deletion is in the foreground

	writes := w.writes.Load()
	w.startManager()
	w.reconcile()
	if got := w.writes.Load() - writes; got != 0 {
		t.Errorf("it wrote %d times", got)
	}
	change(w, "chat", &v1alpha1.ModelRoute{}, func(r *v1alpha1.ModelRoute) { r.Finalizers = nil })
}
