// Command manager is the operator: it makes the cluster and the ledger what ModelRoutes say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // The image has no time zones of its own.

	_ "golang.org/x/crypto/x509roots/fallback" // Nor has it certificate authorities, by which upstreams are known.
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/modelroute/modelroute/controllers"
	"github.com/modelroute/modelroute/internal/desired"
)

// namespaceFile is where a pod finds the namespace that it runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// minBooksInterval and minListsInterval keep a slip of the pen from flooding an upstream with questions.
const (
	minBooksInterval = 10 * time.Second
	minListsInterval = 10 * time.Second
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.logLevel})).With(slog.String("version", version))
	if err == nil {
		err = run(ctx, f, logger)
	}
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelError, "The manager ends", slog.Any("error", err))
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, f flags, logger *slog.Logger) error {
	keepSmall()
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	options := f.options(logger)
	options.ProxyEnv = proxyEnv(ctx, os.Environ(), f.ledgerURL, logger)
	return Run(ctx, config, options)
}

// proxyEnv is what of the manager's environment its proxies get. They reach the ledger and the API server without an egress proxy.
func proxyEnv(ctx context.Context, environ []string, ledgerURL string, logger *slog.Logger) []desired.EnvVar {
	direct := []string{"kubernetes.default.svc"}
	for _, entry := range environ {
		if host, is := strings.CutPrefix(entry, "KUBERNETES_SERVICE_HOST="); is {
			direct = append(direct, host)
		}
	}
	if ledger, err := url.Parse(ledgerURL); err == nil {
		direct = append(direct, ledger.Hostname())
	}
	handed, withheld := desired.Environment(environ, direct...)
	for _, one := range withheld {
		logger.LogAttrs(ctx, slog.LevelWarn, "An environment variable is not handed on to proxies",
			slog.String("variable", one.Name), slog.String("reason", one.Reason))
	}
	return handed
}

// flags are what the command line says.
type flags struct {
	namespace               string
	namespaces              []string
	pod                     string
	proxyImage, pullPolicy  string
	ledgerURL, ledgerToken  string
	ledgerCA                string
	metricsAddr, healthAddr string
	leaderElect             bool
	booksInterval           time.Duration
	listsInterval           time.Duration
	logLevel                slog.Level
}

// set are the flags, with their defaults in f.
func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("manager", flag.ContinueOnError)
	set.StringVar(&f.namespace, "namespace", "", "namespace of the operator; default the one that its pod runs in")
	set.Func("namespaces", "comma-separated namespaces whose routes and ModelKeys are served; default all", f.setNamespaces)
	set.StringVar(&f.pod, "pod", "", "name of the manager's own pod")
	set.StringVar(&f.proxyImage, "proxy-image", "", "image of the proxies; default that of the manager's own pod")
	set.StringVar(&f.pullPolicy, "proxy-image-pull-policy", "", "Always, IfNotPresent or Never; default as the kubelet decides")
	set.StringVar(&f.ledgerURL, "ledger-url", "", "base URL of the ledger; default https://modelroute-ledger.NAMESPACE.svc:8443")
	set.StringVar(&f.ledgerToken, "ledger-token-file", "/var/run/secrets/modelroute/token", "file with the token for the ledger")
	set.StringVar(&f.ledgerCA, "ledger-ca-file", "",
		"file with the certificates, in PEM, by which the ledger is known; default the manager issues its certificate")
	set.StringVar(&f.metricsAddr, "metrics-bind-address", ":8080", "address for /metrics; 0 for none")
	set.StringVar(&f.healthAddr, "health-probe-bind-address", ":8081", "address for /healthz and /readyz; 0 for none")
	set.BoolVar(&f.leaderElect, "leader-elect", false, "work only while elected among several managers")
	set.DurationVar(&f.booksInterval, "books-interval", controllers.DefaultBooksInterval,
		"how often upstreams that tell are asked what they have billed, to compare it with the spend; 0 is never")
	set.DurationVar(&f.listsInterval, "lists-interval", controllers.DefaultListsInterval,
		"how often upstreams are asked for their lists of models, which have prices and more; 0 is never")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "least level that is logged: debug, info, warn or error")
	return set
}

func parse(arguments []string, output io.Writer) (flags, error) {
	var f flags
	set := f.set()
	set.SetOutput(output)
	if err := set.Parse(arguments); err != nil {
		return flags{}, err
	}
	if set.NArg() > 0 {
		return flags{}, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if f.booksInterval != 0 && f.booksInterval < minBooksInterval {
		return flags{}, fmt.Errorf("--books-interval is %s: 0, or at least %s", f.booksInterval, minBooksInterval)
	}
	if f.listsInterval != 0 && f.listsInterval < minListsInterval {
		return flags{}, fmt.Errorf("--lists-interval is %s: 0, or at least %s", f.listsInterval, minListsInterval)
	}
	if f.proxyImage == "" && f.pod == "" {
		return flags{}, errors.New("--proxy-image or --pod must be set")
	}
	switch corev1.PullPolicy(f.pullPolicy) {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		return flags{}, fmt.Errorf("--proxy-image-pull-policy is %q: Always, IfNotPresent or Never", f.pullPolicy)
	}
	return f, f.complete()
}

// setNamespaces reads a list of namespaces.
func (f *flags) setNamespaces(list string) error {
	f.namespaces = strings.Split(list, ",")
	for _, namespace := range f.namespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("%q is no namespace: %s", namespace, problems[0])
		}
	}
	return nil
}

// complete fills in what depends on where the manager runs.
func (f *flags) complete() error {
	if f.namespace == "" {
		content, err := os.ReadFile(namespaceFile)
		if err != nil {
			return fmt.Errorf("--namespace is not set, and this is no pod: %w", err)
		}
		f.namespace = strings.TrimSpace(string(content))
	}
	if f.ledgerURL == "" {
		f.ledgerURL = "https://modelroute-ledger." + f.namespace + ".svc:8443"
	}
	return nil
}

func (f *flags) options(logger *slog.Logger) Options {
	return Options{
		Namespace:              f.namespace,
		Namespaces:             f.namespaces,
		Pod:                    f.pod,
		ProxyImage:             f.proxyImage,
		ProxyPullPolicy:        corev1.PullPolicy(f.pullPolicy),
		LedgerURL:              f.ledgerURL,
		LedgerTokenFile:        f.ledgerToken,
		LedgerCAFile:           f.ledgerCA,
		MetricsBindAddress:     f.metricsAddr,
		HealthProbeBindAddress: f.healthAddr,
		LeaderElection:         f.leaderElect,
		BooksInterval:          f.booksInterval,
		ListsInterval:          f.listsInterval,
		Logger:                 logger,
	}
}
