// Package cli is kubectl-modelroute, the program for people: its commands, and how it tells of errors.
package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/chat"
	"github.com/modelroute/modelroute/internal/cli/doctor"
	"github.com/modelroute/modelroute/internal/cli/keys"
	"github.com/modelroute/modelroute/internal/cli/models"
	"github.com/modelroute/modelroute/internal/cli/run"
	"github.com/modelroute/modelroute/internal/cli/shell"
	"github.com/modelroute/modelroute/internal/cli/usage"
	"github.com/modelroute/modelroute/internal/local/manifest"
)

// name is what the program is called. On the PATH kubectl finds it by this name.
const name = "kubectl-modelroute"

// The exit statuses.
const (
	ExitOK     = 0
	ExitFailed = 1
	// ExitUsage is for a command that was not called as it has to be, and for manifests that are refused.
	ExitUsage = 2
)

const manual = `kubectl-modelroute shows and uses the models of a cluster, and serves model routes on this machine.

On the PATH it is a plugin of kubectl's as well: kubectl modelroute COMMAND. Commands for a cluster
take kubectl's own flags, such as --context and --namespace, and its files. "run" needs no cluster;
"usage" is for both, and its help says when it is which.

Exit status: 0, 1 if something failed, 2 if it was called wrongly or manifests are refused.`

const examples = `  kubectl-modelroute models --all-namespaces
  kubectl-modelroute chat mixtral-8x22b-instruct "What is a ledger?"
  export OPENROUTER_API_KEY=sk-or-v1-...
  kubectl-modelroute run -f route.yaml --secret ai-platform/openrouter/apiKey=env:OPENROUTER_API_KEY`

// Execute runs the command that the words name, and returns the exit status. Version is what the build says that this is.
func Execute(ctx context.Context, words []string, s *shell.Shell, version string) int {
	root := newRoot(s, version)
	root.SetArgs(words)
	command, err := root.ExecuteContextC(ctx)
	return report(s, command, err)
}

func newRoot(s *shell.Shell, version string) *cobra.Command {
	root := &cobra.Command{
		Use: name + " COMMAND", Short: "Show and use the models of a cluster, and serve model routes on this machine",
		Long: manual, Example: examples, Version: version,
		Args: cobra.ArbitraryArgs, SilenceErrors: true, SilenceUsage: true,
	}
	root.RunE = func(_ *cobra.Command, words []string) error {
		if len(words) == 0 {
			root.SetOut(s.Diagnostics)
			return errors.Join(shell.Misused("name a command"), root.Help())
		}
		return unknown(root, words[0])
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Diagnostics)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return shell.MisusedBy(err) })
	root.SetHelpCommand(newHelp(root))
	root.AddCommand(run.New(s), usage.New(s), models.New(s), keys.New(s), chat.New(s), doctor.New(s), newVersion(s, version))
	return root
}

func unknown(root *cobra.Command, word string) error {
	var names []string
	for _, command := range root.Commands() {
		if !command.Hidden {
			names = append(names, command.Name())
		}
	}
	slices.Sort(names)
	return shell.Misused("there is no command %q, only %s", word, strings.Join(names, ", "))
}

func newVersion(s *shell.Shell, version string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: shell.Words(0, 0, ""),
		Run: func(*cobra.Command, []string) { fmt.Fprintln(s.Out, name, version) },
	}
}

// newHelp is cobra's own help, but that it is an error to ask for what is not there.
func newHelp(root *cobra.Command) *cobra.Command {
	help := &cobra.Command{Use: "help [COMMAND]", Short: "Print the help of a command"}
	help.RunE = func(_ *cobra.Command, words []string) error {
		found, rest, err := root.Find(words)
		switch {
		case err != nil || len(rest) > 0:
			return unknown(root, strings.Join(words, " "))
		case found == help:
			found = root
		}
		found.InitDefaultHelpFlag()
		return found.Help()
	}
	return help
}

// report tells of an error, and returns the exit status.
func report(s *shell.Shell, command *cobra.Command, err error) int {
	_, misused := errors.AsType[shell.Misuse](err)
	_, refused := errors.AsType[manifest.Problems](err)
	path := command.CommandPath()
	switch {
	case err == nil:
		return ExitOK
	case refused:
		fmt.Fprintf(s.Diagnostics, "The manifests are refused:\n%v\n", err)
		return ExitUsage
	case misused:
		fmt.Fprintf(s.Diagnostics, "%s: %v\nHow it is used: %s --help\n", path, err, path)
		return ExitUsage
	}
	fmt.Fprintf(s.Diagnostics, "%s: %v\n", path, err)
	return ExitFailed
}
