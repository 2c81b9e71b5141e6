// Command kubectl-modelroute is for people: it shows and uses the models of a cluster, and runs routes on a laptop without one. On the PATH
// it is a plugin of kubectl's, `kubectl modelroute`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // Budgets have time zones, and not every machine has a database of them.

	"github.com/go-logr/logr"
	_ "golang.org/x/crypto/x509roots/fallback" // Nor certificate authorities, by which upstreams are known.
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/internal/cli"
	"github.com/modelroute/modelroute/internal/cli/shell"
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

func main() {
	// Its library says on the terminal, in the midst of a conversation, that nobody wants its log.
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// Who asks a second time does not want to wait: the second signal ends the process, and nothing is lost by it.
	context.AfterFunc(ctx, stop)
	code := cli.Execute(ctx, os.Args[1:], shell.Of(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv, clock.RealClock{}), version)
	stop()
	os.Exit(code)
}
