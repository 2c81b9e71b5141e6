// Package gitops holds the API and the operator to what Argo CD and Flux rely on, at a real API server: what is applied is what is stored,
// and nobody writes what is another's.
package gitops

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

const (
	// applier is the field manager of Argo CD's server-side apply.
	applier = "argocd-controller"
	// patience is how long a test waits for what is to come about by itself.
	patience = 30 * time.Second
	// namespaceOfSamples is where the samples' ModelKey looks for its route, which is not there.
	namespaceOfSamples = "ai-platform"
)

// server is the API server that all tests of the package share.
var server *rest.Config

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run exists because os.Exit would skip its deferred stop.
func run(m *testing.M) int {
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	started, err := environment.Start()
	if err != nil {
		_, _ = os.Stderr.WriteString("starting the API server: " + err.Error() + "\n")
		return 1
	}
	defer func() { _ = environment.Stop() }()
	server = started
	return m.Run()
}

// world is a namespace in which a test applies manifests as Argo CD does.
type world struct {
	client.Client
	t         *testing.T
	namespace string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	kube, err := client.New(server, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := kube.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w := &world{Client: kube, t: t, namespace: namespace.Name}
	w.createReferents()
	return w
}

// operator is the controllers of all kinds.
type operator struct {
	routes   *controllers.ModelRouteReconciler
	keys     *controllers.ModelKeyReconciler
	teams    *controllers.TeamBudgetReconciler
	gateways *controllers.ModelGatewayReconciler
	// stop ends it; so does the end of the test.
	stop func()
}

// startOperator starts an operator, with a ledger, that sees this namespace and the one that the samples refer to.
func (w *world) startOperator() *operator {
	w.t.Helper()
	cacheOptions := controllers.CacheOptions()
	cacheOptions.DefaultNamespaces = map[string]cache.Config{w.namespace: {}, namespaceOfSamples: {}}
	manager, err := ctrl.NewManager(server, ctrl.Options{
		Scheme:     w.Scheme(),
		Cache:      cacheOptions,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	o := w.newOperator(manager)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	err = errors.Join(
		o.routes.SetupWithManager(ctx, manager), o.keys.SetupWithManager(ctx, manager), o.teams.SetupWithManager(ctx, manager),
		o.gateways.SetupWithManager(manager))
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			w.t.Errorf("running the operator: %v", err)
		}
	})
	o.stop = func() {
		cancel()
		running.Wait()
	}
	w.t.Cleanup(o.stop)
	return o
}

func (w *world) newOperator(manager ctrl.Manager) *operator {
	w.t.Helper()
	tokenFile := filepath.Join(w.t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(ledgertest.Key+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	url := ledgertest.Start(w.t).URL
	ledger := controllers.NewLedger(controllers.LedgerOptions{URL: url, TokenFile: tokenFile})
	gateways := &controllers.GatewayExchange{}
	usage := &controllers.Usage{Ledger: ledger, Routes: manager.GetClient(), Gateways: gateways, Clock: clock.RealClock{}}
	config := controllers.Config{Namespace: w.namespace, LedgerURL: url, ProxyImage: "localhost/modelroute:test"}
	shared := &controllers.SharedBudgets{Ledger: ledger, Usage: usage}
	exchange := &controllers.KeyExchange{}
	return &operator{
		routes: &controllers.ModelRouteReconciler{
			Client: manager.GetClient(), Live: manager.GetAPIReader(), Ledger: ledger, Usage: usage, Shared: shared,
			Exchange: exchange, Gateways: gateways,
			Events: &events.FakeRecorder{}, Clock: clock.RealClock{}, Random: rand.Reader,
			Config: config,
		},
		keys: &controllers.ModelKeyReconciler{
			Client: manager.GetClient(), Live: manager.GetAPIReader(), Usage: usage, Exchange: exchange,
			Events: &events.FakeRecorder{}, Clock: clock.RealClock{}, Random: rand.Reader,
		},
		gateways: &controllers.ModelGatewayReconciler{
			Client: manager.GetClient(), Live: manager.GetAPIReader(), Usage: usage, Exchange: gateways, Config: config,
			Events: &events.FakeRecorder{}, Clock: clock.RealClock{},
		},
		teams: &controllers.TeamBudgetReconciler{
			Client: manager.GetClient(), Shared: shared, Usage: usage, Events: &events.FakeRecorder{}, Clock: clock.RealClock{},
		},
	}
}

// pass takes an object through one pass more.
func (o *operator) pass(ctx context.Context, object *unstructured.Unstructured) error {
	byKind := map[string]reconcile.Reconciler{"ModelRoute": o.routes, "ModelKey": o.keys, "TeamBudget": o.teams, "ModelGateway": o.gateways}
	_, err := byKind[object.GetKind()].Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	return err
}

// apply applies a manifest as Argo CD does, and returns what is stored.
func (w *world) apply(manifest *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	applied := w.placed(manifest)
	err := w.Apply(w.t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner(applier), client.ForceOwnership)
	if err != nil {
		w.t.Fatalf("applying %s: %v", manifest.GetName(), err)
	}
	return w.read(manifest)
}

// placed is the manifest in the namespace of the test. What has none is deleted when the test ends.
func (w *world) placed(manifest *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	placed := manifest.DeepCopy()
	placed.SetNamespace(w.namespace)
	isNamespaced, err := w.IsObjectNamespaced(manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	if !isNamespaced {
		placed.SetNamespace("")
		w.t.Cleanup(func() {
			if err := w.Delete(context.WithoutCancel(w.t.Context()), placed); client.IgnoreNotFound(err) != nil {
				w.t.Error(err)
			}
		})
	}
	return placed
}

// read returns what is stored.
func (w *world) read(manifest *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	stored := w.placed(manifest)
	if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
		w.t.Fatalf("reading %s: %v", manifest.GetName(), err)
	}
	return stored
}

// settled waits until the operator has looked at the manifest and has nothing more to write, and returns what is stored.
func (w *world) settled(o *operator, manifest *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	var after *unstructured.Unstructured
	w.eventually("the operator is done with "+manifest.GetName(), func() error {
		before := w.read(manifest)
		err := o.pass(w.t.Context(), before)
		after = w.read(manifest)
		observed, _, _ := unstructured.NestedInt64(after.Object, "status", "observedGeneration")
		_, hasSpend, _ := unstructured.NestedMap(after.Object, "status", "spend")
		isCounted := hasSpend || after.GetKind() != "ModelRoute"
		if observed != after.GetGeneration() || before.GetResourceVersion() != after.GetResourceVersion() || !isCounted {
			err = errors.Join(err, fmt.Errorf("the status is %v", after.Object["status"]))
		}
		return err
	})
	return after
}

// eventually waits until check finds nothing wrong any more.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	var err error
	for time.Now().Before(deadline) {
		if err = check(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("it never came about that %s: %v", what, err)
}

// createReferents makes all that our samples, and a route with every field, refer to.
func (w *world) createReferents() {
	w.t.Helper()
	certificate, privateKey, err := cert.GenerateSelfSignedCertKey("largest."+w.namespace+".svc", nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: w.namespace, Name: name} }
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: named("private-ca"), Data: map[string][]byte{"bundle.pem": certificate}},
		&corev1.Secret{ObjectMeta: named("largest-tls"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
			corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: privateKey, "ca.crt": certificate,
		}},
		&corev1.ConfigMap{ObjectMeta: named("private-ca"), Data: map[string]string{"ca.crt": string(certificate)}},
	}
	for _, upstream := range []string{"openrouter", "vllm", "own"} {
		key := map[string][]byte{"apiKey": []byte("the upstream's key")}
		objects = append(objects, &corev1.Secret{ObjectMeta: named(upstream), Data: key})
	}
	for _, object := range objects {
		if err := w.Create(w.t.Context(), object); err != nil {
			w.t.Fatal(err)
		}
	}
}

// manifests are our samples, and a route with every field that there is.
func manifests(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	paths := append(glob(t, "../../config/samples/*.yaml"), "../crdcel/testdata/largest.yaml")
	for _, path := range paths {
		object := parse(t, read(t, path))
		if object.GroupVersionKind().Group == v1alpha1.GroupVersion.Group {
			found[filepath.Base(path)] = object
		}
	}
	if len(found) < 2 {
		t.Fatalf("of %v, only %d are ours", paths, len(found))
	}
	return found
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	encoded, err := yaml.YAMLToJSONStrict([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(encoded); err != nil {
		t.Fatal(err)
	}
	return object
}

// glob returns the files that match, of which there must be one.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("looking for %s: %v", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func encode(t *testing.T, value any) string {
	t.Helper()
	encoded, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
