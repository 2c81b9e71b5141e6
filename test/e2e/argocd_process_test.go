//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	argoNamespace = "argocd"
	// argoBinary is Argo CD's controller and repository server; make test-e2e builds it.
	argoBinary = "../../.cluster/bin/argocd"
)

// argo is Argo CD's controller and repository server, on this machine beside the cluster, with the cache that they share and a git
// repository that they sync from. The web server, Dex, notifications and ApplicationSets sync nothing and are left out.
type argo struct {
	*cluster
	t *testing.T
	// repository is the working copy, and url where Argo CD finds what is pushed from it.
	repository, url string
	kubeconfig      string
}

func startArgo(t *testing.T) *argo {
	t.Helper()
	if _, err := os.Stat(argoBinary); err != nil {
		t.Fatalf("Argo CD is not there: run make test-e2e, which builds it: %v", err)
	}
	a := &argo{cluster: connect(t), t: t}
	a.install()
	a.writeKubeconfig()
	a.startGit()
	redis, repo, metrics := address(t), address(t), address(t)
	a.start("redis-server", []string{"redis-server"}, nil,
		"--bind", "127.0.0.1", "--port", port(redis), "--save", "", "--appendonly", "no")
	environment := []string{
		"ARGOCD_GPG_ENABLED=false", "ARGOCD_FAKE_IN_CLUSTER=true", "KUBECONFIG=" + a.kubeconfig, "TMPDIR=" + t.TempDir(),
		"ARGOCD_ASK_PASS_SOCK=" + filepath.Join(t.TempDir(), "ask"),
		// Where the tests read the health of each object; Argo CD's own web server reads it from the cache.
		"ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH=true",
	}
	a.start(argoBinary, []string{"argocd-repo-server"}, environment,
		"--address", "127.0.0.1", "--port", port(repo), "--metrics-address", "127.0.0.1", "--metrics-port", port(metrics),
		"--redis", redis, "--disable-tls")
	a.start(argoBinary, []string{"argocd-application-controller"}, environment,
		"--namespace", argoNamespace, "--kubeconfig", a.kubeconfig, "--redis", redis, "--repo-server", repo, "--repo-server-plaintext",
		"--metrics-port", port(address(t)), "--self-heal-timeout-seconds", "1")
	return a
}

// install gives the cluster Argo CD's CRDs and configuration, with our scripts, and takes them away afterwards.
func (a *argo) install() {
	a.t.Helper()
	module, err := exec.CommandContext(a.t.Context(), "go", "-C", "../../hack/argocd", "list", "-m", "-f", "{{.Dir}}",
		"github.com/argoproj/argo-cd/v3").Output()
	if err != nil {
		a.t.Fatalf("looking for Argo CD's module: %v", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: argoNamespace}}
	eventually(a.t, "there being no other Argo CD in the cluster", func() (bool, string) {
		err := a.Create(a.t.Context(), namespace.DeepCopy())
		return err == nil, fmt.Sprint(err)
	})
	a.deleteAtTheEnd(namespace)
	for _, name := range []string{"application-crd.yaml", "appproject-crd.yaml"} {
		crd := readManifest(a.t, filepath.Join(strings.TrimSpace(string(module)), "manifests", "crds", name))
		a.apply(crd)
		a.deleteAtTheEnd(crd)
	}
	for _, name := range []string{"argocd-rbac-cm", "argocd-gpg-keys-cm", "argocd-cmd-params-cm"} {
		a.apply(argoObject("v1", "ConfigMap", name, nil))
	}
	a.apply(argoObject("v1", "Secret", "argocd-secret", map[string]any{"stringData": map[string]any{"server.secretkey": "not a secret here"}}))
	a.apply(readManifest(a.t, "../../config/argocd/argocd-cm.yaml"))
	a.established("appprojects.argoproj.io", "applications.argoproj.io")
	a.apply(argoObject("argoproj.io/v1alpha1", "AppProject", "default", map[string]any{"spec": map[string]any{
		"sourceRepos":                []any{"*"},
		"destinations":               []any{map[string]any{"server": "*", "namespace": "*"}},
		"clusterResourceWhitelist":   []any{map[string]any{"group": "*", "kind": "*"}},
		"namespaceResourceWhitelist": []any{map[string]any{"group": "*", "kind": "*"}},
	}}))
}

func (a *argo) deleteAtTheEnd(object client.Object) {
	a.t.Cleanup(func() {
		if err := a.Delete(context.WithoutCancel(a.t.Context()), object); err != nil {
			a.t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	})
}

// established waits until the API server serves the kinds of CRDs.
func (a *argo) established(names ...string) {
	a.t.Helper()
	for _, name := range names {
		crd := object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
		eventually(a.t, name+" being served", func() (bool, string) {
			if err := a.Get(a.t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
				return false, err.Error()
			}
			conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
			isEstablished := slices.ContainsFunc(conditions, func(condition any) bool {
				values, _ := condition.(map[string]any)
				return values["type"] == "Established" && values["status"] == "True"
			})
			return isEstablished, fmt.Sprint(conditions)
		})
	}
}

// writeKubeconfig writes a kubeconfig whose namespace is Argo CD's, which is how its components know their own.
func (a *argo) writeKubeconfig() {
	a.t.Helper()
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		path = "../../.cluster/kubeconfig"
	}
	loaded, err := clientcmd.LoadFromFile(path)
	if err != nil {
		a.t.Fatal(err)
	}
	loaded.Contexts[loaded.CurrentContext].Namespace = argoNamespace
	a.kubeconfig = filepath.Join(a.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*loaded, a.kubeconfig); err != nil {
		a.t.Fatal(err)
	}
}

// startGit makes a repository and serves it.
func (a *argo) startGit() {
	a.t.Helper()
	base := a.t.TempDir()
	a.repository = filepath.Join(base, "work")
	a.run("git", "init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(base, "models.git"))
	a.run("git", "clone", "--quiet", filepath.Join(base, "models.git"), a.repository)
	a.git("checkout", "--quiet", "-B", "main")
	listen := address(a.t)
	a.url = "git://" + listen + "/models.git"
	a.start("git", []string{"git"}, nil, "daemon", "--base-path="+base, "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port(listen))
}

// push makes files the content of the repository, and returns its commit. The value of a file that is to go is empty.
func (a *argo) push(message string, files map[string]string) string {
	a.t.Helper()
	for name, content := range files {
		path := filepath.Join(a.repository, name)
		if content == "" {
			a.git("rm", "--quiet", name)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	a.git("add", "--all")
	a.git("-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--message", message)
	a.git("push", "--quiet", "origin", "main")
	return strings.TrimSpace(a.git("rev-parse", "HEAD"))
}

func (a *argo) git(arguments ...string) string {
	a.t.Helper()
	return a.run("git", append([]string{"-C", a.repository}, arguments...)...)
}

func (a *argo) run(name string, arguments ...string) string {
	a.t.Helper()
	output, err := exec.CommandContext(a.t.Context(), name, arguments...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("%s %v: %v\n%s", name, arguments, err, output)
	}
	return string(output)
}

// start runs a program, under its own name or another one, until the test ends. What it says is shown if the test has failed.
func (a *argo) start(program string, name, environment []string, arguments ...string) {
	a.t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		a.t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(a.t.TempDir(), "log"))
	if err != nil {
		a.t.Fatal(err)
	}
	command := &exec.Cmd{
		Path: path, Args: append(slices.Clone(name), arguments...), Env: append(os.Environ(), environment...),
		Stdout: said, Stderr: said,
		// A group of its own, since git daemon leaves its work to children.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := command.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		if content, err := os.ReadFile(said.Name()); a.t.Failed() && err == nil {
			a.t.Logf("the last words of %s: %s", name[0], content[max(0, len(content)-8000):])
		}
	})
}

// apply writes an object, as a user does with kubectl apply --server-side.
func (a *argo) apply(manifest *unstructured.Unstructured) {
	a.t.Helper()
	err := a.Apply(a.t.Context(), client.ApplyConfigurationFromUnstructured(manifest), client.FieldOwner("e2e"), client.ForceOwnership)
	if err != nil {
		a.t.Fatalf("applying %s %s: %v", manifest.GetKind(), manifest.GetName(), err)
	}
}

// argoObject is an object of Argo CD's configuration, with what else it has.
func argoObject(version, kind, name string, content map[string]any) *unstructured.Unstructured {
	made := object(version, kind, argoNamespace, name)
	made.SetLabels(map[string]string{"app.kubernetes.io/part-of": "argocd"})
	maps.Copy(made.Object, content)
	return made
}

func object(version, kind, namespace, name string) *unstructured.Unstructured {
	made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind}}
	made.SetNamespace(namespace)
	made.SetName(name)
	return made
}

func readManifest(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	manifest := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &manifest.Object); err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
	return manifest
}

// address is one on loopback that nobody listens at.
func address(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func port(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}
