// Package usage is the command usage: what was spent, in a cluster or by a run on this machine.
package usage

import (
	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/local"
)

const manual = `Shows what was spent, in USD: for each budget what is spent in the current window (of that what is
uncertain, where an upstream has not said what it charged), what requests in flight hold, and what
is left.

Which books it shows:
  Those of a run on this machine, if --data-dir is given; or if the folder .modelroute of a run is here and nothing is said that is
  of a cluster: --context, --namespace, --kubeconfig, --all-namespaces, --by, and what else is kubectl's. It works beside a run and
  after it.
  Else those of the cluster, as the status of its ModelRoutes, TeamBudgets and ModelKeys has them: at most 30 seconds old.

In a cluster, --by says whose spend it is:
  route     each ModelRoute, with its budgets
  consumer  each consumer of each ModelRoute; ModelKeys are no consumers of one route
  team      each TeamBudget, over all namespaces
  key       each ModelKey

Exit status: 0, 1 if the books cannot be read, 2 if it was called wrongly.`

const examples = `  # What the routes of a namespace have spent, and of all namespaces by team:
  kubectl-modelroute usage -n ai-platform
  kubectl-modelroute usage --by team
  # For a spreadsheet:
  kubectl-modelroute usage --by key -A -o csv > keys.csv
  # What each route of a run on this machine has spent so far:
  kubectl-modelroute usage --data-dir .modelroute -o json | jq -r '.routes[] | "\(.namespace)/\(.name) \(.spent)"'`

// options are what the command is told.
type options struct {
	*shell.Shell
	cluster             cluster.Flags
	dataDir, output, by string
}

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	command := &cobra.Command{
		Use: "usage", Short: "Show what was spent, in a cluster or by a run on this machine",
		Long: manual, Example: examples, Args: shell.Words(0, 0, ""),
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command) },
	}
	o.cluster.Bind(command)
	o.cluster.BindAllNamespaces(command)
	flags := command.Flags()
	flags.StringVar(&o.dataDir, "data-dir", local.DefaultDataDir, "the data `DIR` of a run on this machine")
	flags.StringVarP(&o.output, "output", "o", outputTable, "the `FORMAT`: table, json or, of a cluster, csv")
	flags.StringVar(&o.by, "by", byRoute, "`WHOSE` spend, in a cluster: route, consumer, team or key")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]cobra.Completion{outputTable, outputJSON, outputCSV}, cobra.ShellCompDirectiveNoFileComp))
	_ = command.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(sides, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// The formats.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputCSV   = "csv"
)

func (o *options) run(command *cobra.Command) error {
	ofCluster := o.cluster.Given(command) || command.Flags().Changed("by")
	ofRun := command.Flags().Changed("data-dir")
	switch {
	case ofRun && ofCluster:
		return shell.Misused("--data-dir is of a run on this machine, and other flags are of a cluster: leave out one or the other")
	case o.dataDir == "":
		return shell.Misused("--data-dir must not be empty")
	case ofRun || !ofCluster && local.HasBooks(o.dataDir):
		return o.ofRun(command.Context())
	}
	return o.ofCluster(command.Context())
}
