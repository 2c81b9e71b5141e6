package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestHelmFindsNothingWrongWithTheChart(t *testing.T) {
	must(t, "helm", "lint", "--strict", chart)
	for name, values := range valueSets(t) {
		t.Run(name, func(t *testing.T) { must(t, "helm", "lint", "--strict", chart, "--values", values) })
	}
}

func TestAValueThatDoesNotExistOrFitIsRefusedByName(t *testing.T) {
	for value, want := range map[string]string{
		"ledger.stor=PostgreSQL":     "stor",
		"ledger.store=postgres":      "/ledger/store",
		"manager.logLevel=verbose":   "/manager/logLevel",
		"manager.replicas=many":      "/manager/replicas",
		"image.digest=v1":            "/image/digest",
		"ledger.sqlite.size=":        "/ledger/sqlite/size",
		"image.pullPolicy=Sometimes": "/image/pullPolicy",
		"manager.namespaces={A_b}":   "/manager/namespaces/0",
		"certificates.issuedBy=acme": "/certificates/issuedBy",
		// Whose kind alone says nothing.
		"certificates.issuerRef.kind=ClusterIssuer": "/certificates/issuerRef",
	} {
		t.Run(value, func(t *testing.T) {
			output, ok := program(t, "helm", "template", "modelroute", chart, "--set", value)
			if ok || !strings.Contains(output, want) {
				t.Errorf("want a refusal that names %q, got:\n%s", want, output)
			}
		})
	}
}

func TestAReleaseIsInstalledUpgradedRolledBackUninstalledAndInstalledAgain(t *testing.T) {
	const operator = "by-helm"
	helm := helmIn(t, operator)

	helm("install", "modelroute", olderChart(t), "--create-namespace")
	if names := shortNames(t); len(names) != 0 {
		t.Errorf("the older CRD has the short names %v", names)
	}
	if got := logLevel(t, operator); got != "--log-level=info" {
		t.Errorf("the manager is told %s", got)
	}
	var binding rbacv1.ClusterRoleBinding
	get(t, "", "modelroute-manager", &binding)
	if subjects := binding.Subjects; len(subjects) != 1 || subjects[0].Namespace != operator {
		t.Errorf("the manager's rights are bound to %v", subjects)
	}
	makeRoute(t, operator)

	helm("upgrade", "modelroute", chart, "--set", "manager.logLevel=debug")
	if got := logLevel(t, operator); got != "--log-level=debug" {
		t.Errorf("after the upgrade the manager is told %s", got)
	}
	if names := shortNames(t); len(names) != 1 {
		t.Errorf("after the upgrade the CRD has the short names %v", names)
	}

	helm("rollback", "modelroute")
	if got, names := logLevel(t, operator), shortNames(t); got != "--log-level=info" || len(names) != 0 {
		t.Errorf("after the way back the manager is told %s, and the CRD has the short names %v", got, names)
	}
	get(t, "default", operator, routeObject())

	helm("uninstall", "modelroute")
	missing(t, operator, "modelroute-manager", &appsv1.Deployment{})
	missing(t, operator, "modelroute-ledger", &appsv1.StatefulSet{})
	get(t, "default", operator, routeObject())
	get(t, "", operator, &corev1.Namespace{})

	helm("install", "modelroute", chart)
	get(t, operator, "modelroute-manager", &appsv1.Deployment{})
	get(t, "default", operator, routeObject())
}

func TestAnUpgradeMovesTheLedgerToPostgreSQL(t *testing.T) {
	const operator = "by-helm"
	helm := helmIn(t, operator)
	helm("install", "modelroute", chart, "--create-namespace")
	helm("upgrade", "modelroute", chart, "--set", "ledger.store=PostgreSQL", "--reset-then-reuse-values")
	missing(t, operator, "modelroute-ledger", &appsv1.StatefulSet{})
	get(t, operator, "modelroute-ledger", &appsv1.Deployment{})
	var service corev1.Service
	get(t, operator, "modelroute-ledger", &service)
	if service.Spec.Selector["modelroute.dev/books"] != "postgresql" {
		t.Errorf("the ledger's Service selects %v, which may be ledgers with other books", service.Spec.Selector)
	}
}

func TestAnUpgradeTakesTheManagersRightsToTheWholeClusterAway(t *testing.T) {
	const operator, tenant = "by-helm", "ai-platform"
	makeNamespaces(t, tenant)
	helm := helmIn(t, operator)
	helm("install", "modelroute", chart, "--create-namespace")
	get(t, "", "modelroute-manager", &rbacv1.ClusterRoleBinding{})

	helm("upgrade", "modelroute", chart, "--set", "manager.namespaces={"+tenant+"}")
	missing(t, "", "modelroute-manager", &rbacv1.ClusterRoleBinding{})
	for _, namespace := range []string{operator, tenant} {
		var binding rbacv1.RoleBinding
		get(t, namespace, "modelroute-manager", &binding)
		if subjects := binding.Subjects; len(subjects) != 1 || subjects[0].Namespace != operator {
			t.Errorf("the rights in %s are bound to %v", namespace, subjects)
		}
	}
}

func TestHelmTakesOverWhatManifestsInstalled(t *testing.T) {
	makeNamespaces(t, namespace)
	helm := helmIn(t, namespace)
	for _, object := range built(t, "default") {
		if err := apply(t, object); err != nil {
			t.Fatalf("%s: %v", describe(object), err)
		}
	}
	if output, ok := program(t, "helm", "install", "modelroute", chart, "--namespace", namespace); ok {
		t.Errorf("without being told Helm took over what is not its own:\n%s", output)
	}
	helm("install", "modelroute", chart, "--take-ownership", "--force-conflicts", "--set", "manager.logLevel=warn")
	if got := logLevel(t, namespace); got != "--log-level=warn" {
		t.Errorf("the manager is told %s", got)
	}
}

// helmIn returns what runs Helm in a namespace and has to succeed. The release goes with the test.
func helmIn(t *testing.T, namespace string) func(arguments ...string) {
	t.Helper()
	t.Cleanup(func() { must(t, "helm", "uninstall", "modelroute", "--namespace", namespace, "--ignore-not-found") })
	return func(arguments ...string) {
		t.Helper()
		must(t, "helm", append(arguments, "--namespace", namespace)...)
	}
}

func get(t *testing.T, namespace, name string, into client.Object) {
	t.Helper()
	if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		t.Errorf("reading %s: %v", name, err)
	}
}

func missing(t *testing.T, namespace, name string, kind client.Object) {
	t.Helper()
	if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, kind); !apierrors.IsNotFound(err) {
		t.Errorf("%s is still there (%v)", name, err)
	}
}

// logLevel is the flag that the manager is given.
func logLevel(t *testing.T, namespace string) string {
	t.Helper()
	var manager appsv1.Deployment
	get(t, namespace, "modelroute-manager", &manager)
	for _, container := range manager.Spec.Template.Spec.Containers {
		for _, argument := range container.Args {
			if strings.HasPrefix(argument, "--log-level=") {
				return argument
			}
		}
	}
	return "nothing"
}

func routeObject() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "modelroute.dev", Version: "v1alpha1", Kind: "ModelRoute"})
	return object
}

func makeRoute(t *testing.T, name string) {
	t.Helper()
	object := objects(t, read(t, root+"/test/crdcel/testdata/base.yaml"))[0]
	object.SetNamespace("default")
	object.SetName(name)
	if err := cluster.client.Create(t.Context(), object); err != nil {
		t.Fatalf("making a route: %v", err)
	}
}

func crdObject() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	object.SetName("modelroutes.modelroute.dev")
	return object
}

// olderChart is the chart with a CRD that lacks what the chart's has.
func olderChart(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "modelroute")
	if err := os.CopyFS(folder, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "templates", "modelroutes-customresourcedefinition.yaml")
	content := read(t, file)
	older := strings.Replace(content, "    shortNames:\n    - mroute\n", "", 1)
	if older == content {
		t.Fatal("the CRD has no short name that an older one could lack")
	}
	if err := os.WriteFile(file, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func shortNames(t *testing.T) []string {
	t.Helper()
	object := crdObject()
	get(t, "", object.GetName(), object)
	names, _, err := unstructured.NestedStringSlice(object.Object, "spec", "names", "shortNames")
	if err != nil {
		t.Fatal(err)
	}
	return names
}
