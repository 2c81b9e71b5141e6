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
is left; or, with --by day, what was spent on each day.

Which books it shows:
  Those of a run on this machine, if --data-dir is given; or if the folder .modelroute of a run is here and nothing is said that is
  of a cluster: --context, --namespace, --kubeconfig, --all-namespaces, and what else is kubectl's. It works beside a run and after it.
  Else those of the cluster, as the status of its ModelRoutes, TeamBudgets and ModelKeys has them: at most 30 seconds old.

--by says whose spend it is; without it, a cluster shows its routes, and a run all that it has:
  route     each ModelRoute, with its budgets
  consumer  each consumer of each ModelRoute; ModelKeys are no consumers of one route
  team      each TeamBudget, over all namespaces
  key       each ModelKey
  day       each day, consumer, model and upstream, of all routes that there ever were

Days are told by the ledger itself, which has them for 400 days unless it was told otherwise; of a cluster's you need the Role
modelroute-reader in the operator's namespace. -o focus writes them as FOCUS 1.2, for tools that gather the cost of clouds.

Exit status: 0, 1 if the books cannot be read, 2 if it was called wrongly.`

const examples = `  # What the routes of a namespace have spent, and of all namespaces by team:
  kubectl-modelroute usage -n ai-platform
  kubectl-modelroute usage --by team
  # For a spreadsheet:
  kubectl-modelroute usage --by key -A -o csv > keys.csv
  # The days of the last week, and those since November 1st in Berlin as FOCUS:
  kubectl-modelroute usage --by day -A --since 7
  kubectl-modelroute usage --by day -A --since 2026-11-01 --time-zone Europe/Berlin -o focus > november.csv
  # What each route of a run on this machine has spent so far:
  kubectl-modelroute usage --data-dir .modelroute -o json | jq -r '.routes[] | "\(.namespace)/\(.name) \(.spent)"'`

// options are what the command is told.
type options struct {
	*shell.Shell
	cluster             cluster.Flags
	dataDir, output, by string
	// since, timeZone and systemNamespace are of days.
	since, timeZone, systemNamespace string
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
	flags.StringVarP(&o.output, "output", "o", outputTable, "the `FORMAT`: table, json, csv or, of days, focus")
	flags.StringVar(&o.by, "by", byRoute, "`WHOSE` spend: route, consumer, team, key or day")
	flags.StringVar(&o.since, "since", "30", "the `DAY` with which days begin, or how many there are up to today")
	flags.StringVar(&o.timeZone, "time-zone", "UTC", "the `ZONE` whose days they are, an IANA name")
	flags.StringVar(&o.systemNamespace, "system-namespace", "modelroute-system", "the `NAMESPACE` where the ledger runs that knows of days")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]cobra.Completion{outputTable, outputJSON, outputCSV, outputFOCUS}, cobra.ShellCompDirectiveNoFileComp))
	_ = command.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(sides, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// The formats.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputCSV   = "csv"
	outputFOCUS = "focus"
)

// ofDays are the flags that mean something with --by day alone. The last says where a cluster's ledger is.
var ofDays = []string{"since", "time-zone", "system-namespace"}

func (o *options) run(command *cobra.Command) error {
	given := command.Flags().Changed
	if err := o.check(given); err != nil {
		return err
	}
	ofCluster := o.cluster.Given(command) || given("system-namespace")
	if given("data-dir") && ofCluster {
		return shell.Misused("--data-dir is of a run on this machine, and other flags are of a cluster: leave out one or the other")
	}
	ofRun := given("data-dir") || !ofCluster && local.HasBooks(o.dataDir)
	switch {
	case ofRun && o.by == byDay:
		return o.daysOfRun(command.Context())
	case ofRun:
		return o.ofRun(command.Context(), given("by"))
	case o.by == byDay:
		return o.daysOfCluster(command.Context())
	}
	return o.ofCluster(command.Context())
}

// check refuses flags that make no sense, or not together; given says which there are.
func (o *options) check(given func(flag string) bool) error {
	if err := shell.OneOf("--by", o.by, sides...); err != nil {
		return err
	}
	formats := []string{outputTable, outputJSON, outputCSV}
	if o.by == byDay {
		formats = append(formats, outputFOCUS)
	}
	if err := shell.OneOf("-o", o.output, formats...); err != nil {
		return err
	}
	for _, flag := range ofDays {
		if given(flag) && o.by != byDay {
			return shell.Misused("--%s is of --by day", flag)
		}
	}
	if o.dataDir == "" {
		return shell.Misused("--data-dir must not be empty")
	}
	return nil
}
