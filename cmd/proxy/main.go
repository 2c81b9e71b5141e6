// Command proxy is the data plane of one or more routes: an OpenAI-compatible endpoint that holds budgets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // The image has no certificate authorities of its own.
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/gcpace"
	ledgerclient "github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/logbatch"
	"github.com/modelroute/modelroute/internal/proxy"
	"github.com/modelroute/modelroute/internal/proxy/configsource"
	"github.com/modelroute/modelroute/internal/telemetry"
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

// garbage is how much of it, in bytes, there may be before it is collected, however little is in use.
const garbage = 24 << 20

func main() {
	gcpace.Keep(garbage)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := logbatch.New(os.Stderr)
	logger := slog.New(slog.NewJSONHandler(log, nil)).With(slog.String("version", version))
	err := run(ctx, os.Args[1:], os.Stderr, logger)
	failed := err != nil && !errors.Is(err, flag.ErrHelp)
	if failed {
		logger.LogAttrs(ctx, slog.LevelError, "The proxy ends", slog.Any("error", err))
	}
	_ = log.Close() // Where the log cannot be written, nobody can be told of it.
	if failed {
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// flags are what the command line says.
type flags struct {
	listen, adminListen      string
	tlsDir                   string
	configDir, configSecret  string
	journalDir               string
	ledgerTokenFile          string
	instance                 string
	correctAfter             time.Duration
	drainDelay, drainTimeout time.Duration
}

// set are the flags, with their defaults in f.
func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("proxy", flag.ContinueOnError)
	set.StringVar(&f.listen, "listen", ":8080", "address for clients")
	set.StringVar(&f.adminListen, "admin-listen", ":8081", "address for /healthz, /readyz and /metrics")
	set.StringVar(&f.tlsDir, "tls-dir", "",
		"directory with tls.crt and tls.key under which clients are served, followed; empty for plain HTTP")
	set.StringVar(&f.configDir, "config-dir", "/etc/modelroute/config",
		"directory with the configuration, "+configsource.Key+"; empty for none")
	set.StringVar(&f.configSecret, "config-secret", "",
		"Secret with the configuration, NAMESPACE/NAME, watched at the API server; empty for none")
	set.StringVar(&f.journalDir, "journal-dir", "/var/lib/modelroute/journal",
		"directory for what must survive this process: what was held and what it cost; one proxy at a time has it")
	set.StringVar(&f.ledgerTokenFile, "ledger-token-file", "/var/run/secrets/modelroute/token", "file with the token for the ledger")
	set.StringVar(&f.instance, "instance", "", "name of this proxy, such as the pod's; default the host name")
	set.DurationVar(&f.correctAfter, "correct-after", proxy.DefaultCorrectAfter,
		"when OpenRouter is first asked what an attempt cost that is uncertain; negative is never")
	set.DurationVar(&f.drainDelay, "drain-delay", 5*time.Second, "how long new requests are still served after SIGTERM")
	set.DurationVar(&f.drainTimeout, "drain-timeout", 10*time.Minute, "how long requests that have begun may take after that")
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
	if f.configDir == "" && f.configSecret == "" {
		return flags{}, errors.New("one of --config-dir and --config-secret must be set")
	}
	return f, nil
}

func run(ctx context.Context, arguments []string, output io.Writer, logger *slog.Logger) error {
	f, err := parse(arguments, output)
	if err != nil {
		return err
	}
	options, err := f.options(logger)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	if options.Listener, err = listen.Listen(ctx, "tcp", f.listen); err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	if options.AdminListener, err = listen.Listen(ctx, "tcp", f.adminListen); err != nil {
		return errors.Join(fmt.Errorf("listening for health and metrics: %w", err), options.Listener.Close())
	}
	return telemetry.With(ctx, telemetry.Options{
		Service: "modelroute-proxy", Version: version, Instance: options.Instance, Getenv: os.Getenv, Logger: logger,
	}, func(traces *telemetry.Traces) error {
		options.Traces = traces
		return proxy.Run(ctx, options)
	})
}

// options are what the flags ask for, without the listeners.
func (f flags) options(logger *slog.Logger) (proxy.Options, error) {
	options := proxy.Options{
		TLSDir:       f.tlsDir,
		ConfigDir:    f.configDir,
		JournalDir:   f.journalDir,
		LedgerToken:  ledgerclient.TokenFile(f.ledgerTokenFile),
		Instance:     f.instance,
		CorrectAfter: f.correctAfter,
		DrainDelay:   f.drainDelay,
		DrainTimeout: f.drainTimeout,
		Logger:       logger,
		Clock:        clock.RealClock{},
	}
	if options.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			return proxy.Options{}, fmt.Errorf("finding the host name: %w", err)
		}
		options.Instance = host
	}
	if f.configSecret != "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return proxy.Options{}, fmt.Errorf("finding the API server for --config-secret: %w", err)
		}
		if options.Secret, err = configsource.NewSecret(config, f.configSecret); err != nil {
			return proxy.Options{}, fmt.Errorf("--config-secret: %w", err)
		}
	}
	return options, nil
}
