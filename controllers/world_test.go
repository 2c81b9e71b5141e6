package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/auth/tokenreview"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

const (
	// patience is how long a test waits for what is to come about by itself.
	patience = 30 * time.Second
	// testImage is the image that the Deployments name; nobody pulls it.
	testImage = "localhost/modelroute:test"
	// upstreamSecret and upstreamKey are where the upstream's API key is.
	upstreamSecret, upstreamKey = "openrouter", "apiKey"
)

// world is what one test works on: a namespace of its own at the shared API server, a real ledger, and a manager that sees this namespace
// alone.
type world struct {
	t         *testing.T
	namespace string
	// tenants are further namespaces that managers see.
	tenants []string
	config  *rest.Config
	// manager is who managers are to the API server, and everywhere is true if they see all namespaces.
	manager    rest.ImpersonationConfig
	everywhere bool
	// elects is true if only one manager at a time is to work.
	elects bool
	// client reads and writes as a user does, without a cache.
	client client.WithWatch
	ledger *ledgertest.Ledger
	clock  clock.WithTicker

	// reconciler, modelKeys and stop belong to the manager that runs; writes and puts count what managers did to the API server and the
	// ledger.
	reconciler   *ModelRouteReconciler
	modelKeys    *ModelKeyReconciler
	gateways     *ModelGatewayReconciler
	stop         func()
	writes, puts atomic.Int64
	// writesLeft are how many writes a manager may still make that is to be killed; mortal is true if it is.
	writesLeft atomic.Int64
	mortal     atomic.Bool
	events     chan string
}

// newWorld makes a world with an upstream's key in it and starts a manager.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newWorldAt(t, clock.RealClock{})
	w.startManager()
	return w
}

// newWorldAt makes a world whose managers go by the given clock, and starts none.
func newWorldAt(t *testing.T, clock clock.WithTicker) *world {
	t.Helper()
	t.Parallel() // Tests wait more than they work.
	return newWorldOn(t, clock, apiServerConfig(t))
}

// newWorldOn makes a world at another API server than the shared one.
func newWorldOn(t *testing.T, clock clock.WithTicker, config *rest.Config) *world {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	direct, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, config: config, client: direct, clock: clock, events: make(chan string, 100)}
	// The groups are those of every ServiceAccount, by which Kubernetes lets them read the keys of tokens.
	w.manager = rest.ImpersonationConfig{UserName: managerUser, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "test-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	w.create(namespace)
	w.namespace = namespace.Name
	w.create(w.upstreamSecret("the upstream's key"))
	w.ledger = ledgertest.StartWith(t, ledgertest.Options{
		Authenticator: w.authenticator(), Heartbeat: 50 * time.Millisecond,
	})
	t.Cleanup(w.stopManager)
	return w
}

// authenticator knows the manager by the test's key and the proxies by their ServiceAccount's token, which the API server reviews.
func (w *world) authenticator() auth.Authenticator {
	reviewer, err := tokenreview.NewReviewer(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return either{
		manager: auth.NewStatic(ledgertest.Key, ledgertest.Identity),
		proxies: tokenreview.New(reviewer, ledgerAudience, clock.RealClock{}.Now),
	}
}

// ledgerAudience is the audience of the tokens for the ledger.
const ledgerAudience = "modelroute-ledger"

type either struct{ manager, proxies auth.Authenticator }

func (e either) Authenticate(ctx context.Context, bearer string) (auth.Identity, error) {
	if identity, err := e.manager.Authenticate(ctx, bearer); err == nil {
		return identity, nil
	}
	return e.proxies.Authenticate(ctx, bearer)
}

// countingLedger counts what is put.
type countingLedger struct {
	Ledger
	w *world
}

func (c countingLedger) PutRoute(ctx context.Context, request *ledgerpb.PutRouteRequest) error {
	c.w.puts.Add(1)
	if c.w.mortal.Load() && c.w.writesLeft.Load() <= 0 {
		return errKilled
	}
	return c.Ledger.PutRoute(ctx, request)
}

// startManager starts a manager, as the leader.
func (w *world) startManager() {
	w.t.Helper()
	w.startManagerWith(func(ctrl.Manager, *ModelRouteReconciler) error { return nil })
}

// startManagerWith starts a manager after setUp has added to it, or changed its reconciler.
func (w *world) startManagerWith(setUp func(ctrl.Manager, *ModelRouteReconciler) error) {
	w.t.Helper()
	tokenFile := filepath.Join(w.t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(ledgertest.Key+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	scheme, err := NewScheme() // Its own: it is written to, and a proxy that runs reads by the other one.
	if err != nil {
		w.t.Fatal(err)
	}
	manager, err := ctrl.NewManager(w.managerConfig(), ctrl.Options{
		Scheme:     scheme,
		Cache:      w.cacheOptions(),
		NewClient:  w.countingClient,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},

		LeaderElection: w.elects, LeaderElectionID: "manager", LeaderElectionNamespace: w.namespace,
		LeaderElectionConfig: w.config, LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ledger := countingLedger{Ledger: NewLedger(LedgerOptions{URL: w.ledger.URL, TokenFile: tokenFile}), w: w}
	gateways := &GatewayExchange{}
	usage := &Usage{Ledger: ledger, Routes: manager.GetClient(), Gateways: gateways, Clock: w.clock}
	issuer, err := NewTokenIssuer(manager.GetConfig(), manager.GetHTTPClient(), w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.reconciler = &ModelRouteReconciler{
		Issuer:   issuer,
		Client:   manager.GetClient(),
		Shared:   &SharedBudgets{Ledger: ledger, Usage: usage},
		Live:     manager.GetAPIReader(),
		Ledger:   ledger,
		Usage:    usage,
		Exchange: &KeyExchange{},
		Gateways: gateways,
		Events:   &events.FakeRecorder{Events: w.events},
		Clock:    w.clock,
		Random:   rand.Reader,
		Config:   Config{Namespace: w.namespace, LedgerURL: w.ledger.URL, ProxyImage: testImage},
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	if err := errors.Join(setUp(manager, w.reconciler), w.reconciler.SetupWithManager(ctx, manager)); err != nil {
		w.t.Fatal(err)
	}
	w.modelKeys = &ModelKeyReconciler{
		Client: w.reconciler.Client, Live: w.reconciler.Live, Usage: w.reconciler.Usage, Exchange: w.reconciler.Exchange,
		Events: w.reconciler.Events, Clock: w.clock, Random: rand.Reader,
	}
	if err := w.modelKeys.SetupWithManager(ctx, manager); err != nil {
		w.t.Fatal(err)
	}
	w.gateways = &ModelGatewayReconciler{
		Client: w.reconciler.Client, Live: w.reconciler.Live, Extensions: w.reconciler.Extensions,
		Authority: w.reconciler.Authority, Issuer: issuer, Config: w.reconciler.Config,
		Usage: usage, Exchange: gateways, Events: w.reconciler.Events, Clock: w.clock,
	}
	if err := w.gateways.SetupWithManager(manager); err != nil {
		w.t.Fatal(err)
	}
	teams := &TeamBudgetReconciler{
		Client: w.reconciler.Client, Shared: w.reconciler.Shared, Usage: usage, Events: w.reconciler.Events, Clock: w.clock,
	}
	if err := teams.SetupWithManager(ctx, manager); err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			w.t.Errorf("running the manager: %v", err)
		}
	})
	w.stop = func() {
		cancel()
		running.Wait()
	}
}

// stopManager stops the manager that runs, if one does.
func (w *world) stopManager() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// reconcile takes the route chat through one pass more, as soon as the manager can read.
func (w *world) reconcile() {
	w.reconciler.sightings.forget()
	w.t.Helper()
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: w.namespace, Name: "chat"}}
	w.eventually("a pass succeeds", func() error {
		_, err := w.reconciler.Reconcile(w.t.Context(), request)
		return err
	})
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), object); err != nil {
		w.t.Fatalf("creating the %T: %v", object, err)
	}
}

func (w *world) delete(object client.Object) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), object); err != nil {
		w.t.Fatalf("deleting the %T: %v", object, err)
	}
}

// get reads an object of the world's namespace into object.
func (w *world) get(name string, object client.Object) {
	w.t.Helper()
	w.getIn(w.namespace, name, object)
}

// getIn reads an object of another namespace.
func (w *world) getIn(namespace, name string, object client.Object) {
	w.t.Helper()
	if err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, object); err != nil {
		w.t.Fatalf("reading the %T %s: %v", object, name, err)
	}
}

// exists reports whether there is an object of that name.
func (w *world) exists(name string, object client.Object) bool {
	w.t.Helper()
	err := w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatalf("reading the %T %s: %v", object, name, err)
	}
	return err == nil
}

// change changes an object as a user does with kubectl edit.
func change[T client.Object](w *world, name string, object T, mutate func(T)) {
	w.t.Helper()
	changeIn(w, w.namespace, name, object, mutate)
}

// changeIn is change in another namespace.
func changeIn[T client.Object](w *world, namespace, name string, object T, mutate func(T)) {
	w.t.Helper()
	w.getIn(namespace, name, object)
	before := object.DeepCopyObject().(T)
	mutate(object)
	if err := w.client.Patch(w.t.Context(), object, client.MergeFrom(before), client.FieldOwner("somebody")); err != nil {
		w.t.Fatalf("changing the %T %s: %v", object, name, err)
	}
}

func (w *world) upstreamSecret(key string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: upstreamSecret},
		Data:       map[string][]byte{upstreamKey: []byte(key)},
	}
}

// route is the route chat of the world's namespace. It has a budget of 100 USD, and one consumer, search, with a budget of 1 USD.
func (w *world) route() *v1alpha1.ModelRoute {
	return &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "chat"},
		Spec: v1alpha1.ModelRouteSpec{
			Model: v1alpha1.Model{ContextLength: 65536},
			Upstreams: []v1alpha1.Upstream{{
				Name: "openrouter", Provider: "OpenRouter", BaseURL: "https://openrouter.ai/api/v1",
				APIKeySecretRef: v1alpha1.SecretKeyReference{Name: upstreamSecret, Key: upstreamKey},
				Pricing:         v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"},
			}},
			Budgets: []v1alpha1.Budget{{
				Name: "monthly", Amount: "100.00", Window: v1alpha1.Window{Period: "Month", TimeZone: "Europe/Berlin"},
				Enforcement: v1alpha1.EnforcementDeny, AlertPercents: []int32{50, 80},
			}},
			RateLimits: []v1alpha1.RateLimit{
				{Name: "monthly", PeriodSeconds: 60, Requests: ptr.To[int64](600), Tokens: ptr.To[int64](400_000)},
			},
			Consumers: []v1alpha1.Consumer{{
				Name: "search",
				Budgets: []v1alpha1.Budget{{
					Name: "all", Amount: "1.00", Window: v1alpha1.Window{Period: "Total"}, Enforcement: v1alpha1.EnforcementDeny,
				}},
				RateLimits: []v1alpha1.RateLimit{{Name: "burst", PeriodSeconds: 1, Requests: ptr.To[int64](5)}},
			}},
			Proxy: &v1alpha1.Proxy{ProxyPods: v1alpha1.ProxyPods{Replicas: ptr.To[int32](1)}},
		},
	}
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
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Fatalf("it never came about that %s: %v", what, err)
}

// until waits until the route's condition has the status and reason, and returns the route, whose status keeps all rules.
func (w *world) until(name, condition string, status metav1.ConditionStatus, reason string) *v1alpha1.ModelRoute {
	w.t.Helper()
	route := &v1alpha1.ModelRoute{}
	w.eventually(fmt.Sprintf("%s is %s with reason %s", condition, status, reason), func() error {
		w.get(name, route)
		if route.Status.ObservedGeneration != route.Generation {
			return fmt.Errorf("generation %d is not observed yet", route.Generation)
		}
		for _, have := range route.Status.Conditions {
			if have.Type == condition && have.Status == status && have.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("the conditions are %v", route.Status.Conditions)
	})
	checkStatus(w.t, route)
	return route
}

func (w *world) untilReady(name string) *v1alpha1.ModelRoute {
	w.t.Helper()
	return w.until(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// testRealClock is the machine's clock.
var testRealClock = clock.RealClock{}

func keyOfRoute(w *world, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: w.namespace, Name: name}
}

// forget has the upstreams' keys looked for anew, as it is when some time has passed.
func (k *keySightings) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.seen)
}
