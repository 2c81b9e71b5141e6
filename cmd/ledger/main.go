// Command ledger keeps the books: what was spent, what is held, and what may be spent. Its subcommands are for those who operate it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // Budgets have time zones, and the image has no database of them.

	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/auth/tokenreview"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if len(os.Args) > 1 && isCommand(os.Args[1]) {
		code := execute(ctx, os.Args[1:], command{out: os.Stdout, diagnostics: os.Stderr, now: time.Now})
		stop()
		os.Exit(code) //nolint:gocritic // stop was called
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With(slog.String("version", version))
	err := run(ctx, os.Args[1:], os.Stderr, logger)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		logger.LogAttrs(ctx, slog.LevelError, "the ledger ends", slog.Any("error", err))
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, arguments []string, output io.Writer, logger *slog.Logger) error {
	options := Options{Logger: logger, Now: time.Now}
	var manager, audience string
	set := flag.NewFlagSet("ledger", flag.ContinueOnError)
	set.SetOutput(output)
	set.Usage = func() { fmt.Fprint(output, usageOf("ledger")) }
	set.StringVar(&options.Listen, "listen", ":8443", "address for the RPCs")
	set.StringVar(&options.MetricsListen, "metrics-listen", ":8081", "address for /healthz, /readyz and /metrics")
	set.StringVar(&options.DataDir, "data-dir", defaultDataDir, "directory of the database")
	set.StringVar(&options.DatabaseURLFile, "database-url-file", "",
		"file with the address of a PostgreSQL database that keeps the books instead, for several ledgers at a time")
	set.StringVar(&options.TLSDir, "tls-dir", "/etc/modelroute/tls", "directory with tls.crt and tls.key; waited for, and followed")
	set.StringVar(&manager, "manager-identity", "system:serviceaccount:modelroute-system:modelroute-manager",
		"who may put routes and see the usage")
	const readers = "who may see the usage and the history, and nothing else; may be given several times"
	set.Func("reader-identity", readers, func(name string) error {
		if name == "" {
			return errors.New("is empty, must name somebody")
		}
		options.Readers = append(options.Readers, auth.Identity(name))
		return nil
	})
	set.DurationVar(&options.HistoryRetention, "history-retention", ledger.DefaultHistoryRetention,
		"for how long history is kept by the quarter of an hour")
	set.StringVar(&audience, "audience", "modelroute-ledger", "audience of the tokens by which callers are known")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the commands are %s", set.Arg(0), strings.Join(commandNames(), ", "))
	}
	if options.HistoryRetention < store.MinRetention {
		return fmt.Errorf("--history-retention is %s, must be at least %s, so that the windows of a year can be summed",
			options.HistoryRetention, store.MinRetention)
	}
	options.Manager = auth.Identity(manager)
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("finding the API server, which knows the callers: %w", err)
	}
	reviewer, err := tokenreview.NewReviewer(config)
	if err != nil {
		return err
	}
	options.Authenticator = tokenreview.New(reviewer, audience, options.Now)
	return Run(ctx, options)
}
