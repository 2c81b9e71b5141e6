// Package install installs ModelRoute as people do, by manifests and by the Helm chart, with the real kubectl, kustomize and Helm on a real
// API server.
package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	chart     = root + "/charts/modelroute"
	namespace = "modelroute-system"
)

// cluster is the API server that all tests of the package share: how Helm and how a client reaches it.
var cluster struct {
	kubeconfig string
	config     *rest.Config
	client     client.Client
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run exists because os.Exit would skip its deferred stop.
func run(m *testing.M) int {
	environment := &envtest.Environment{}
	defer func() { _ = environment.Stop() }()
	if err := start(environment); err != nil {
		_, _ = os.Stderr.WriteString("starting the API server: " + err.Error() + "\n")
		return 1
	}
	defer func() { _ = os.Remove(cluster.kubeconfig) }()
	return m.Run()
}

func start(environment *envtest.Environment) error {
	config, err := environment.Start()
	if err != nil {
		return err
	}
	user, err := environment.AddUser(envtest.User{Name: "administrator", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "kubeconfig-*")
	if err != nil {
		return err
	}
	cluster.kubeconfig = file.Name()
	if _, err := file.Write(kubeconfig); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	cluster.config = config
	cluster.client, err = client.New(config, client.Options{})
	return err
}

// program runs kubectl, which comes with the API server, or one of what `make installers` builds, and returns what it prints; ok tells whether
// it succeeded.
func program(t *testing.T, name string, arguments ...string) (output string, ok bool) {
	t.Helper()
	folder := cmp.Or(os.Getenv("INSTALLERS"), root+"/bin")
	if name == "kubectl" {
		folder = os.Getenv("KUBEBUILDER_ASSETS")
	}
	home := t.TempDir()
	// What cleans up runs after the end of the test's context.
	command := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(folder, name), arguments...)
	command.Env = []string{
		"HOME=" + home, "HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home, "KUBECONFIG=" + cluster.kubeconfig,
	}
	var printed, problems bytes.Buffer
	command.Stdout, command.Stderr = &printed, &problems
	err := command.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("running %s (make installers builds it): %v", name, err)
	}
	if err != nil {
		return printed.String() + problems.String(), false
	}
	return printed.String(), true
}

func must(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	output, ok := program(t, name, arguments...)
	if !ok {
		t.Fatalf("%s %s:\n%s", name, strings.Join(arguments, " "), output)
	}
	return output
}

// rendered are the objects that `helm template` makes.
func rendered(t *testing.T, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	return objects(t, must(t, "helm", append([]string{"template", "modelroute", chart, "--namespace", namespace}, arguments...)...))
}

// built are the objects that kustomize makes of a folder of config/.
func built(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	return objects(t, must(t, "kustomize", "build", filepath.Join(root, "config", folder)))
}

func objects(t *testing.T, documents string) []*unstructured.Unstructured {
	t.Helper()
	var found []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+documents, "\n---\n") {
		object := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("reading an object: %v\n%s", err, document)
		}
		if len(object) > 0 {
			found = append(found, &unstructured.Unstructured{Object: object})
		}
	}
	if len(found) == 0 {
		t.Fatal("there are no objects")
	}
	return found
}

// describe is what an object is called in messages.
func describe(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + object.GetName()
}

// valueSets are the examples of the chart's README by the line above each, as files.
func valueSets(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]string{}
	above := ""
	for part := range strings.SplitSeq(string(page), "```") {
		if values, is := strings.CutPrefix(part, "yaml\n"); is {
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
				t.Fatal(err)
			}
			sets[above] = file
		}
		lines := strings.Split(strings.TrimSpace(part), "\n")
		above = strings.TrimSuffix(lines[len(lines)-1], ":")
	}
	if len(sets) < 2 {
		t.Fatalf("the chart's README has %d examples of values", len(sets))
	}
	return sets
}

// makeNamespaces makes namespaces for objects that are only tried.
func makeNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := client.IgnoreAlreadyExists(cluster.client.Create(t.Context(), object)); err != nil {
			t.Fatalf("making the namespace %s: %v", name, err)
		}
	}
}
