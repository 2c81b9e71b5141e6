package install

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestTheChartInstallsWhatTheManifestsInstall(t *testing.T) {
	for folder, values := range map[string]string{
		"default":      "ledger.store=SQLite",
		"postgresql":   "ledger.store=PostgreSQL",
		"namespaced":   "manager.namespaces={ai-platform}",
		"cert-manager": "certificates.issuedBy=CertManager",
		"portal":       "portal.enabled=true",
	} {
		t.Run(folder, func(t *testing.T) {
			objects := built(t, folder)
			if folder == "namespaced" { // And, as its comment says, the same rights once more, in the other namespace.
				objects = append(objects, inNamespace(t, "ai-platform", root+"/config/namespaced/rights/manager_binding.yaml"))
			}
			if folder == "portal" { // It is beside an install.
				objects = append(objects, built(t, "default")...)
			}
			want := byName(t, objects)
			// Helm makes the namespace itself.
			delete(want, "Namespace "+namespace)
			got := byName(t, rendered(t, "--set", values))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-config/%s +chart:\n%s", folder, diff)
			}
		})
	}
}

func inNamespace(t *testing.T, namespace, file string) *unstructured.Unstructured {
	t.Helper()
	object := objects(t, read(t, file))[0]
	object.SetNamespace(namespace)
	object.SetLabels(map[string]string{"app.kubernetes.io/part-of": "modelroute"})
	return object
}

// byName are the objects by where they are and what they are called, without what only Helm adds to them.
func byName(t *testing.T, all []*unstructured.Unstructured) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, object := range all {
		labels := object.GetLabels()
		for _, ofHelm := range []string{"helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"} {
			delete(labels, ofHelm)
		}
		object.SetLabels(labels)
		annotations := object.GetAnnotations()
		delete(annotations, "helm.sh/resource-policy")
		object.SetAnnotations(annotations)
		name := strings.TrimSpace(describe(object) + " " + object.GetNamespace())
		if found[name] != nil {
			t.Errorf("there are two of %s", name)
		}
		found[name] = object.Object
	}
	return found
}

func TestTheAPIServerKnowsEveryFieldOfEveryWayToInstall(t *testing.T) {
	makeNamespaces(t, namespace, "ai-platform", "search")
	installCertManagersCRDs(t)
	for _, folder := range []string{"default", "postgresql", "namespaced", "cert-manager", "portal"} {
		t.Run("config/"+folder, func(t *testing.T) { accepted(t, built(t, folder)) })
	}
	t.Run("the chart as it comes", func(t *testing.T) { accepted(t, rendered(t)) })
	for name, values := range valueSets(t) {
		t.Run("the chart with "+name, func(t *testing.T) { accepted(t, rendered(t, "--values", values)) })
	}
}

// accepted applies the objects without effect. A field that the API server does not know is an error.
func accepted(t *testing.T, all []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range all {
		if err := apply(t, object, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", describe(object), err)
		}
	}
}

func apply(t *testing.T, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	t.Helper()
	options = append(options, client.FieldOwner("kubectl"), client.ForceOwnership)
	return cluster.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), options...)
}

// certManager is the release of cert-manager that config/cert-manager is held to. It is not in go.mod: nothing of ours imports it.
const certManager = "github.com/cert-manager/cert-manager@v1.21.2"

func installCertManagersCRDs(t *testing.T) {
	t.Helper()
	printed, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", certManager).Output()
	if err != nil {
		t.Fatalf("downloading cert-manager: %v\n%s", err, printed)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(printed, &module); err != nil {
		t.Fatal(err)
	}
	crds := envtest.CRDInstallOptions{Paths: []string{filepath.Join(module.Dir, "deploy", "crds")}, ErrorIfPathMissing: true}
	if _, err := envtest.InstallCRDs(cluster.config, crds); err != nil {
		t.Fatalf("installing the CRDs of cert-manager: %v", err)
	}
}

func TestAFieldThatTheAPIServerDoesNotKnowWouldBeFound(t *testing.T) {
	makeNamespaces(t, namespace)
	for _, object := range built(t, "default") {
		if object.GetKind() != "Deployment" {
			continue
		}
		if err := unstructured.SetNestedField(object.Object, "1", "spec", "replica"); err != nil {
			t.Fatal(err)
		}
		if err := apply(t, object, client.DryRunAll); err == nil || !strings.Contains(err.Error(), ".spec.replica: field not declared in schema") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUninstallingByManifestsLeavesWhatWasSpentAndWhatWasAskedFor(t *testing.T) {
	for installed, uninstalled := range map[string]string{
		"default": "uninstall", "postgresql": "uninstall/postgresql",
		"namespaced": "uninstall/namespaced", "cert-manager": "uninstall/cert-manager",
	} {
		want := byName(t, built(t, installed))
		for name := range want {
			if strings.HasPrefix(name, "CustomResourceDefinition ") || strings.HasPrefix(name, "Namespace ") {
				delete(want, name)
			}
		}
		if diff := cmp.Diff(want, byName(t, built(t, uninstalled))); diff != "" {
			t.Errorf("-config/%s without its namespace and CRDs +config/%s:\n%s", installed, uninstalled, diff)
		}
	}
}

func TestTheStepsOfThePageInstallUpgradeAndUninstallByManifests(t *testing.T) {
	installer := filepath.Join(release(t), "install.yaml")
	kubectl := func(arguments ...string) string { return must(t, "kubectl", arguments...) }
	kubectl("apply", "--server-side", "-f", installer)
	makeRoute(t, "by-manifests")

	kubectl("apply", "--server-side", "-f", root+"/config/crd/bases")
	of := kubectl("apply", "--server-side", "-f", installer, "--selector", "app.kubernetes.io/name=modelroute-ledger", "--output", "name")
	if !strings.Contains(of, "statefulset.apps/modelroute-ledger\n") || strings.Contains(of, "manager") {
		t.Errorf("the ledger's step applies\n%s", of)
	}
	kubectl("apply", "--server-side", "-f", installer)

	kubectl("delete", "-k", root+"/config/uninstall")
	missing(t, namespace, "modelroute-manager", &appsv1.Deployment{})
	missing(t, namespace, "modelroute-ledger", &appsv1.StatefulSet{})
	get(t, "default", "by-manifests", routeObject())
	get(t, "", namespace, &corev1.Namespace{})
}

func TestAReleaseHasItsOwnImageEverywhere(t *testing.T) {
	first, second := release(t), release(t)
	const image = "registry.example/ai/modelroute:v1.2.3-rc.1"
	packed := filepath.Join(first, "modelroute-1.2.3-rc.1.tgz")
	for name, documents := range map[string]string{
		"install.yaml":            read(t, filepath.Join(first, "install.yaml")),
		"install-postgresql.yaml": read(t, filepath.Join(first, "install-postgresql.yaml")),
		"the chart":               must(t, "helm", "template", "modelroute", packed, "--namespace", namespace),
	} {
		if got := images(t, objects(t, documents)); len(got) != 1 || got[image] != 2 {
			t.Errorf("%s has the images %v", name, got)
		}
	}
	for _, name := range []string{"install.yaml", "install-postgresql.yaml", "modelroute-1.2.3-rc.1.tgz"} {
		if read(t, filepath.Join(first, name)) != read(t, filepath.Join(second, name)) {
			t.Errorf("%s has other bytes the second time", name)
		}
	}
}

// release is a folder with what `make dist` writes.
func release(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	command := exec.CommandContext(t.Context(), root+"/hack/dist.sh")
	command.Env = append(os.Environ(), "DIST="+folder, "RELEASE=v1.2.3-rc.1", "RELEASE_REPOSITORY=registry.example/ai/modelroute")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return folder
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// images are those of all containers, with how many have each.
func images(t *testing.T, all []*unstructured.Unstructured) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, object := range all {
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil {
			t.Fatal(err)
		}
		for _, container := range containers {
			image, _, err := unstructured.NestedString(container.(map[string]any), "image")
			if err != nil {
				t.Fatal(err)
			}
			found[image]++
		}
	}
	return found
}
