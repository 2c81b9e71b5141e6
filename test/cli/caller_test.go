// Package cli tries kubectl-modelroute as people call it: at a real API server, and through a real proxy.
package cli

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli"
	"github.com/modelroute/modelroute/internal/cli/shell"
)

// server is the API server that all tests of the package share.
var server *envtest.Environment

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run exists because os.Exit would skip its deferred stop.
func run(m *testing.M) int {
	log.SetLogger(logr.Discard()) // As main does.
	server = &envtest.Environment{
		BinaryAssetsDirectory: cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join("..", "..", ".cluster", "bin")),
		CRDDirectoryPaths:     []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true,
	}
	if _, err := server.Start(); err != nil {
		_, _ = os.Stderr.WriteString("starting the API server (make envtest fetches it): " + err.Error() + "\n")
		return 1
	}
	defer func() { _ = server.Stop() }()
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		panic(err)
	}
	return m.Run()
}

// caller is a namespace of a test's own, and somebody who calls the program there.
type caller struct {
	client.Client
	t         *testing.T
	namespace string
	// kubeconfig says who somebody is: the cluster's administrator, unless a test changes it.
	kubeconfig  string
	environment map[string]string
	// typed is what standard input has, and interactive is true if it is a terminal's.
	typed       string
	interactive bool
	colours     bool
}

func newCaller(t *testing.T) *caller {
	t.Helper()
	t.Parallel()
	kube, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &caller{Client: kube, t: t, environment: map[string]string{}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}
	w.make(namespace)
	w.namespace = namespace.Name
	w.kubeconfig = w.file(server.KubeConfig)
	return w
}

func (w *caller) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *caller) file(content []byte) string {
	w.t.Helper()
	name := filepath.Join(w.t.TempDir(), "kubeconfig")
	w.must(os.WriteFile(name, content, 0o600))
	return name
}

// become has somebody without any rights call the program from now on.
func (w *caller) become(user string) {
	w.t.Helper()
	known, err := server.AddUser(envtest.User{Name: user}, nil)
	w.must(err)
	content, err := known.KubeConfig()
	w.must(err)
	w.kubeconfig = w.file(content)
}

func (w *caller) make(object client.Object) {
	w.t.Helper()
	w.must(w.Create(w.t.Context(), object))
}

// makeWithStatus makes an object and gives it a status, as the operator does.
func makeWithStatus[T client.Object](w *caller, object T, setStatus func(T)) {
	w.t.Helper()
	w.make(object)
	setStatus(object)
	w.must(w.Status().Update(w.t.Context(), object))
}

// said is what a call came to.
type said struct {
	status           int
	out, diagnostics string
}

// call calls the program in the namespace.
func (w *caller) call(words ...string) said {
	w.t.Helper()
	return w.callAnywhere(append(words, "--namespace", w.namespace)...)
}

// callAnywhere calls the program.
func (w *caller) callAnywhere(words ...string) said {
	w.t.Helper()
	return w.callWithout(append(words, "--kubeconfig", w.kubeconfig)...)
}

// callWithout calls the program and names no cluster.
func (w *caller) callWithout(words ...string) said {
	w.t.Helper()
	var out, diagnostics strings.Builder
	status := cli.Execute(w.t.Context(), words, &shell.Shell{
		In: strings.NewReader(w.typed), Out: &out, Diagnostics: &diagnostics, Clock: clock.RealClock{},
		LookupEnv:   func(name string) (string, bool) { value, found := w.environment[name]; return value, found },
		Interactive: w.interactive, Watched: w.interactive, Colours: w.colours,
	}, "test")
	return said{status, out.String(), diagnostics.String()}
}

// wants expects an exit status, and parts of what is printed.
func (s said) wants(t *testing.T, status int, parts ...string) said {
	t.Helper()
	if s.status != status {
		t.Errorf("it ends with %d, want %d:\n%s%s", s.status, status, s.out, s.diagnostics)
	}
	for _, part := range parts {
		if !strings.Contains(s.out+s.diagnostics, part) {
			t.Errorf("there is no %q in:\n%s%s", part, s.out, s.diagnostics)
		}
	}
	return s
}

// lacks expects that something is not printed.
func (s said) lacks(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(s.out+s.diagnostics, part) {
			t.Errorf("there is a %q in:\n%s%s", part, s.out, s.diagnostics)
		}
	}
}

func wantEqual[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
