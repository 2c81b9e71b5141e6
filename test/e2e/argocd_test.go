//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

const operatorFile, secretFile, routeFile = "operator.yaml", "secret.yaml", "route.yaml"

// TestArgoCD is one story, since each of its chapters begins with what the one before it has left.
func TestArgoCD(t *testing.T) {
	a := startArgo(t)
	kube := connect(t)
	s := &scene{cluster: kube, t: t, namespace: kube.namespace(t)}
	s.startUpstream()
	s.route = pageRoute(s.namespace)
	app := &application{argo: a, scene: s, name: "models"}

	app.push("Add a model", map[string]string{operatorFile: app.operator(), secretFile: app.secret(), routeFile: app.routeWith(nil)})
	app.create()
	app.until("Synced", "Healthy", "The route is served at")
	s.waitReady()
	children := app.children()
	url, trial := s.proxy(), s.key("trial")

	t.Run("an exhausted budget is healthy, and says so", func(t *testing.T) {
		body := strings.Replace(pageBody, "{", `{"max_completion_tokens": 256,`, 1)
		status := http.StatusOK
		for n := 0; status == http.StatusOK && n < 200; n++ {
			status = s.ask(url, trial, body).status
		}
		if status != http.StatusPaymentRequired {
			t.Fatalf("the budget is used up, and the answer is HTTP %d", status)
		}
		app.until("Synced", "Healthy", "Consumer trial's budget total of 0.01 USD is used up")
	})

	t.Run("a commit that raises it is enforced", func(t *testing.T) {
		app.push("Raise a budget", map[string]string{routeFile: app.routeWith(raised)})
		pushed := time.Now()
		app.refresh()
		s.awaitAnswer(url, trial, http.StatusOK)
		app.until("Synced", "Healthy", "The route is served at")
		t.Logf("enforced %v after the push", time.Since(pushed).Round(time.Millisecond))
	})

	t.Run("drift heals", func(t *testing.T) {
		drifted := s.live()
		drifted.Spec.Consumers[1].Budgets[0].Amount = "2.00"
		if err := s.Update(t.Context(), drifted); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the amount being that of git again", func() (bool, string) {
			amount := s.live().Spec.Consumers[1].Budgets[0].Amount
			return amount == "1.00", string(amount)
		})
		app.until("Synced", "Healthy", "The route is served at")
	})

	t.Run("a route is suspended until it is resumed, and self-heal lets it be", func(t *testing.T) {
		s.annotate(`"true"`)
		s.awaitAnswer(url, trial, http.StatusServiceUnavailable)
		app.until("Synced", "Suspended", "Requests are refused")
		s.annotate("null")
		s.awaitAnswer(url, trial, http.StatusOK)
		app.until("Synced", "Healthy", "The route is served at")
	})

	t.Run("what is made for a route is neither pruned nor out of sync", func(t *testing.T) {
		app.push("Say something else", map[string]string{"README.md": "Our models.\n"})
		app.until("Synced", "Healthy", "The route is served at")
		if diff := cmp.Diff(children, app.children()); diff != "" {
			t.Errorf("children were made anew:\n%s", diff)
		}
		if got, want := app.kinds(), "ModelRoute Secret"; got != want {
			t.Errorf("the application has %s, want %s", got, want)
		}
	})

	t.Run("a bad route is degraded, and says why", func(t *testing.T) {
		app.push("Misspell a time zone", map[string]string{routeFile: app.routeWith(func(route *v1alpha1.ModelRoute) {
			raised(route)
			route.Spec.Budgets[0].Window.TimeZone = "Europe/Nowhere"
		})})
		app.until("Synced", "Degraded", "Invalid: ")
		if got := s.ask(url, s.key("search"), pageBody); got.status != http.StatusOK {
			t.Errorf("meanwhile the last good one gets HTTP %d: %s", got.status, got.body)
		}
		app.push("Spell it", map[string]string{routeFile: app.routeWith(raised)})
		app.until("Synced", "Healthy", "The route is served at")
	})

	t.Run("what goes from git goes from the cluster, and leaves nothing", func(t *testing.T) {
		app.push("Take the model away", map[string]string{routeFile: ""})
		app.refresh()
		s.waitGone()
		app.delete()
	})
}

// annotate sets or removes the annotation that suspends the route, as the actions in Argo CD do.
func (s *scene) annotate(value string) {
	s.t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.AnnotationSuspended, value))
	if err := s.Patch(s.t.Context(), s.live(), patch); err != nil {
		s.t.Fatal(err)
	}
}

// awaitAnswer asks until the answer has this status.
func (s *scene) awaitAnswer(url, key string, want int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("an answer with HTTP %d", want), func() (bool, string) {
		status := s.ask(url, key, pageBody).status
		return status == want, fmt.Sprintf("HTTP %d", status)
	})
}

func raised(route *v1alpha1.ModelRoute) { route.Spec.Consumers[1].Budgets[0].Amount = "1.00" }

// application is an Application of Argo CD's with the scene's route.
type application struct {
	*argo
	scene *scene
	name  string
}

// operator is config/argocd/sample without its model: the operator that is deployed already, so that Argo CD finds nothing to change.
func (a *application) operator() string {
	a.t.Helper()
	rendered := a.run("bash", "-c", "cd ../.. && PATH=$PWD/.cluster/bin:$PATH && "+
		"kubectl kustomize config/argocd/sample | hack/image.sh pin modelroute")
	var kept []string
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		if !strings.Contains(document, "ai-platform") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

func (a *application) secret() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata:
  name: openrouter
  annotations: {argocd.argoproj.io/sync-wave: "1"}
stringData: {apiKey: sk-or-e2e-%s}
`, a.scene.namespace)
}

// routeWith is the scene's route as a manifest, with an edit.
func (a *application) routeWith(edit func(*v1alpha1.ModelRoute)) string {
	a.t.Helper()
	route := a.scene.route.DeepCopy()
	route.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ModelRoute"))
	route.Annotations = map[string]string{"argocd.argoproj.io/sync-wave": "2"}
	if edit != nil {
		edit(route)
	}
	encoded, err := yaml.Marshal(route)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(encoded)
}

// create makes the Application as config/argocd/sample has it, with the repository and the namespace of the test.
func (a *application) create() {
	a.t.Helper()
	manifest := readManifest(a.t, "../../config/argocd/sample/application.yaml")
	for _, set := range [][]string{
		{a.url, "spec", "source", "repoURL"},
		{".", "spec", "source", "path"},
		{a.scene.namespace, "spec", "destination", "namespace"},
	} {
		if err := unstructured.SetNestedField(manifest.Object, set[0], set[1:]...); err != nil {
			a.t.Fatal(err)
		}
	}
	a.apply(manifest)
}

func (a *application) read() *unstructured.Unstructured {
	a.t.Helper()
	read := object("argoproj.io/v1alpha1", "Application", argoNamespace, a.name)
	if err := a.Get(a.t.Context(), client.ObjectKeyFromObject(read), read); err != nil {
		a.t.Fatalf("reading the Application: %v", err)
	}
	return read
}

// refresh has Argo CD look at the repository now, as its webhook would.
func (a *application) refresh() {
	a.t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"normal"}}}`))
	if err := a.Patch(a.t.Context(), a.read(), patch); err != nil {
		a.t.Fatal(err)
	}
}

// until waits until the Application has synced the last commit and says this of itself, and this of its route.
func (a *application) until(sync, health, message string) {
	a.t.Helper()
	revision := strings.TrimSpace(a.git("rev-parse", "HEAD"))
	eventually(a.t, "the Application being "+sync+" and "+health+" with "+message, func() (bool, string) {
		status := a.read().Object
		text := func(path ...string) string {
			value, _, _ := unstructured.NestedString(status, path...)
			return value
		}
		said := a.routeHealth()
		isThere := text("status", "sync", "revision") == revision && text("status", "sync", "status") == sync &&
			text("status", "health", "status") == health && strings.Contains(said, message)
		if !isThere {
			// A status whose health has only another message is looked at with the next refresh, which comes every few minutes by itself.
			a.refresh()
		}
		return isThere, fmt.Sprintf("%s (%v)", said, status["status"])
	})
}

// routeHealth is what the Application says of its route's health.
func (a *application) routeHealth() string {
	for _, resource := range a.resources() {
		if resource["kind"] == "ModelRoute" {
			message, _, _ := unstructured.NestedString(resource, "health", "message")
			return message
		}
	}
	return ""
}

// kinds are the kinds of what the Application takes for its own in the route's namespace.
func (a *application) kinds() string {
	var kinds []string
	for _, resource := range a.resources() {
		if resource["namespace"] == a.scene.namespace {
			kinds = append(kinds, fmt.Sprint(resource["kind"]))
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}

func (a *application) resources() []map[string]any {
	a.t.Helper()
	listed, _, _ := unstructured.NestedSlice(a.read().Object, "status", "resources")
	resources := make([]map[string]any, 0, len(listed))
	for _, each := range listed {
		resources = append(resources, each.(map[string]any))
	}
	return resources
}

// children are the objects that were made for the route, by kind and name, each with its UID.
func (a *application) children() map[string]types.UID {
	a.t.Helper()
	found := map[string]types.UID{}
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &corev1.SecretList{},
		&rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	} {
		mine := client.MatchingLabels{v1alpha1.LabelRoute: a.scene.route.Name}
		if err := a.List(a.t.Context(), list, client.InNamespace(a.scene.namespace), mine); err != nil {
			a.t.Fatal(err)
		}
		items, err := meta.ExtractList(list)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, item := range items {
			child := item.(client.Object)
			found[typeName(list)+" "+child.GetName()] = child.GetUID()
		}
	}
	if len(found) < 6 {
		a.t.Fatalf("the route has only %v", found)
	}
	return found
}

func (a *application) delete() {
	a.t.Helper()
	if err := a.Delete(a.t.Context(), a.read()); err != nil {
		a.t.Fatal(err)
	}
}
