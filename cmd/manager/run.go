package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/internal/cabundle"
	"github.com/modelroute/modelroute/internal/catalog/listing"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/openrouter"
)

const (
	leaseName     = "modelroute-manager"
	eventReporter = "modelroute.dev/manager"
	// noLimit leaves it to the API server's own fairness how much the manager may ask of it. A limit here would only make a change wait
	// behind thousands of others that the server has the time for.
	noLimit = -1
)

// Options are all that the manager is told.
type Options struct {
	// Namespace is the operator's own: where the certificates and the lease are.
	Namespace string
	// Namespaces are those whose routes and ModelKeys are served, beside Namespace, which is seen too; empty: all.
	Namespaces []string
	// Pod is the name of the manager's own pod.
	Pod string
	// ProxyImage is the image of the proxies; empty: that of Pod. ProxyPullPolicy is how it is pulled; empty leaves that to the kubelet.
	ProxyImage      string
	ProxyPullPolicy corev1.PullPolicy
	// ProxyEnv are further environment variables of the proxies.
	ProxyEnv []desired.EnvVar
	// LedgerURL is where manager and proxies reach the ledger; https:// unless the ledger runs beside a test. LedgerTokenFile has the
	// manager's token for it.
	LedgerURL, LedgerTokenFile string
	// LedgerCAFile has the certificates, as PEM, by which the ledger is known, where somebody else issues its certificate; empty: the
	// manager does.
	LedgerCAFile string
	// MetricsBindAddress and HealthProbeBindAddress may be "0" for none.
	MetricsBindAddress, HealthProbeBindAddress string
	LeaderElection                             bool
	// ListsInterval is how often upstreams are asked for their lists of models; 0 is never.
	ListsInterval time.Duration
	// BooksInterval is how often upstreams are asked what they have billed; 0 is never.
	BooksInterval time.Duration
	Logger        *slog.Logger
}

// Run runs the manager until ctx ends. The error says what could not be started, or that the lead was lost: then the process has to end.
func Run(ctx context.Context, config *rest.Config, options Options) error {
	logger := logr.FromSlogHandler(options.Logger.Handler())
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	config = rest.CopyConfig(config)
	config.QPS = noLimit
	manager, err := newManager(config, options, logger)
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if options.ProxyImage == "" {
		if options.ProxyImage, err = ownImage(ctx, manager.GetAPIReader(), options.Namespace, options.Pod); err != nil {
			return err
		}
	}
	if err := addControllers(ctx, manager, options); err != nil {
		return err
	}
	if err := addChecks(manager); err != nil {
		return err
	}
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("running the manager: %w", err)
	}
	return nil
}

func newManager(config *rest.Config, options Options, logger logr.Logger) (ctrl.Manager, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Logger: logger,
		Cache:  cacheOptions(options),
		Metrics: metricsserver.Options{
			BindAddress:   options.MetricsBindAddress,
			ExtraHandlers: map[string]http.Handler{controllers.SpendPath: controllers.SpendHandler()},
		},
		HealthProbeBindAddress:        options.HealthProbeBindAddress,
		LeaderElection:                options.LeaderElection,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       options.Namespace,
		LeaderElectionReleaseOnCancel: true,
	})
}

// cacheOptions let the caches see the namespaces that the manager serves, and its own, where the certificates are.
func cacheOptions(options Options) cache.Options {
	seen := controllers.CacheOptions()
	if len(options.Namespaces) == 0 {
		return seen
	}
	seen.DefaultNamespaces = map[string]cache.Config{options.Namespace: {}}
	for _, namespace := range options.Namespaces {
		seen.DefaultNamespaces[namespace] = cache.Config{}
	}
	return seen
}

func addControllers(ctx context.Context, manager ctrl.Manager, options Options) error {
	authority, err := addCertificates(manager, options)
	if err != nil {
		return err
	}
	ledger := controllers.NewLedger(controllers.LedgerOptions{
		URL: options.LedgerURL, TokenFile: options.LedgerTokenFile,
		Authority: func() ([]byte, error) { return authority(ctx) },
	})
	gateways := &controllers.GatewayExchange{}
	usage := &controllers.Usage{Ledger: ledger, Routes: manager.GetClient(), Gateways: gateways, Clock: clock.RealClock{}}
	exchange, shared := &controllers.KeyExchange{}, &controllers.SharedBudgets{Ledger: ledger, Usage: usage}
	issuer, err := controllers.NewTokenIssuer(manager.GetConfig(), manager.GetHTTPClient(), clock.RealClock{})
	if err != nil {
		return err
	}
	reconciler := &controllers.ModelRouteReconciler{
		Exchange: exchange,
		Gateways: gateways,
		Issuer:   issuer,
		Shared:   shared,
		Client:   manager.GetClient(),
		Live:     manager.GetAPIReader(),
		Ledger:   ledger,
		Usage:    usage,
		Events:   manager.GetEventRecorder(eventReporter),
		Clock:    clock.RealClock{},
		Random:   rand.Reader,
		Config: controllers.Config{
			Namespace: options.Namespace, LedgerURL: options.LedgerURL,
			ProxyImage: options.ProxyImage, ProxyPullPolicy: options.ProxyPullPolicy,
			ProxyEnv: options.ProxyEnv,
		},
	}
	if options.ListsInterval > 0 {
		reconciler.Lists = &controllers.Lists{
			Routes: manager.GetClient(), Bundles: manager.GetAPIReader(), Upstream: listing.NewReader("modelroute-manager"),
			Clock: clock.RealClock{}, Interval: options.ListsInterval,
		}
	}
	if options.BooksInterval > 0 {
		reconciler.Books = &controllers.Books{
			Usage: reconciler.Usage, Routes: manager.GetClient(), Secrets: manager.GetAPIReader(),
			Upstream: controllers.NewOpenRouterBills(), Clock: clock.RealClock{}, Interval: options.BooksInterval,
		}
	}
	reconciler.UpstreamKeys = &controllers.UpstreamKeyReports{}
	if reconciler.Extensions, err = controllers.NewExtensions(manager, cacheOptions(options).DefaultNamespaces); err != nil {
		return err
	}
	if strings.HasPrefix(options.LedgerURL, "https://") {
		reconciler.Authority = authority
	}
	if err := reconciler.SetupWithManager(ctx, manager); err != nil {
		return fmt.Errorf("adding the controller of routes: %w", err)
	}
	modelGateways := &controllers.ModelGatewayReconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Extensions: reconciler.Extensions,
		Authority: reconciler.Authority, Issuer: issuer, Config: reconciler.Config,
		Usage: usage, Exchange: gateways, Events: reconciler.Events, Clock: reconciler.Clock,
	}
	if err := modelGateways.SetupWithManager(manager); err != nil {
		return fmt.Errorf("adding the controller of ModelGateways: %w", err)
	}
	upstreamKeys := &controllers.UpstreamKeyReconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Keys: openrouter.NewKeys(), Reports: reconciler.UpstreamKeys,
		Events: reconciler.Events, Clock: reconciler.Clock,
	}
	if err := upstreamKeys.SetupWithManager(manager); err != nil {
		return fmt.Errorf("adding the controller of upstreams' keys: %w", err)
	}
	modelKeys := &controllers.ModelKeyReconciler{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Usage: reconciler.Usage, Exchange: exchange,
		Events: reconciler.Events, Clock: reconciler.Clock, Random: reconciler.Random,
	}
	if err := modelKeys.SetupWithManager(ctx, manager); err != nil {
		return fmt.Errorf("adding the controller of ModelKeys: %w", err)
	}
	teams := &controllers.TeamBudgetReconciler{
		Client: manager.GetClient(), Shared: shared, Usage: usage, Events: reconciler.Events, Clock: reconciler.Clock,
	}
	if err := teams.SetupWithManager(ctx, manager); err != nil {
		return fmt.Errorf("adding the controller of TeamBudgets: %w", err)
	}
	return nil
}

// addCertificates returns how the ledger is known, and has it published for those who may read no Secret.
func addCertificates(manager ctrl.Manager, options Options) (func(context.Context) ([]byte, error), error) {
	authority, err := addAuthority(manager, options)
	if err != nil {
		return nil, err
	}
	publisher := &certs.Publisher{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Authority: authority, Namespace: options.Namespace,
		Clock: clock.RealClock{},
	}
	if err := manager.Add(publisher); err != nil {
		return nil, fmt.Errorf("adding the publisher of the ledger's authority: %w", err)
	}
	return authority, nil
}

// addAuthority returns how the ledger is known: by the authority that a controller of certificates keeps, or by that of whoever issues
// them instead. What is in the file may change.
func addAuthority(manager ctrl.Manager, options Options) (func(context.Context) ([]byte, error), error) {
	if options.LedgerCAFile != "" {
		return func(context.Context) ([]byte, error) { return readAuthority(options.LedgerCAFile) }, nil
	}
	issuer := &certs.Issuer{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Namespace: options.Namespace, Clock: clock.RealClock{},
	}
	if err := issuer.SetupWithManager(manager); err != nil {
		return nil, fmt.Errorf("adding the controller of certificates: %w", err)
	}
	return func(ctx context.Context) ([]byte, error) {
		return certs.Authority(ctx, manager.GetClient(), options.Namespace)
	}, nil
}

// readAuthority reads certificates. Those that cannot be used are refused here: no proxy could reach the ledger by them.
func readAuthority(file string) ([]byte, error) {
	bundle, err := os.ReadFile(file) //nolint:gosec // The operator's administrator says which.
	if err != nil {
		return nil, fmt.Errorf("reading the certificates by which the ledger is known: %w", err)
	}
	if _, err := cabundle.Parse(bundle); err != nil {
		return nil, fmt.Errorf("reading the certificates by which the ledger is known, %s: %w", file, err)
	}
	return bundle, nil
}

// addChecks makes the manager healthy while it answers, and ready once its caches are filled.
func addChecks(manager ctrl.Manager) error {
	synced := func(request *http.Request) error {
		if !manager.GetCache().WaitForCacheSync(request.Context()) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
	if err := errors.Join(manager.AddHealthzCheck("answers", healthz.Ping), manager.AddReadyzCheck("caches", synced)); err != nil {
		return fmt.Errorf("adding the health checks: %w", err)
	}
	return nil
}
