// Command kubectl-modelroute is for people: it runs routes on a laptop without a cluster, and shows what they spent. On the PATH it is a
// plugin of kubectl's, `kubectl modelroute`.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // Budgets have time zones, and not every machine has a database of them.

	_ "golang.org/x/crypto/x509roots/fallback" // Nor certificate authorities, by which upstreams are known.
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/local/manifest"
)

// version is what the build says that this is; the linker sets it.
var version = "unknown"

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	// exitUsage is for a command that was not called as it has to be, and for manifests that are refused.
	exitUsage = 2
)

// defaultDataDir is where a run keeps its state.
const defaultDataDir = ".modelroute"

// usages are the commands' manuals.
//
//go:embed usage/*.txt
var usages embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// Who asks a second time does not want to wait: the second signal ends the process, and nothing is lost by it.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], command{out: os.Stdout, diagnostics: os.Stderr, lookupEnv: os.LookupEnv, clock: clock.RealClock{}})
	stop()
	os.Exit(code)
}

// command is one run of a command.
type command struct {
	out, diagnostics io.Writer
	lookupEnv        func(string) (string, bool)
	clock            clock.WithTicker

	name      string
	flags     *flag.FlagSet
	arguments []string
	dataDir   string
}

// commands are by name. Each gets its flags parsed by itself.
func commands() map[string]func(*command, context.Context) error {
	return map[string]func(*command, context.Context) error{
		"run":     (*command).run,
		"usage":   (*command).usage,
		"version": (*command).version,
		"help":    (*command).help,
	}
}

func commandNames() string { return strings.Join(slices.Sorted(maps.Keys(commands())), ", ") }

// manual returns the manual of a command; of the program by an empty name.
func manual(name string) string {
	if name == "" {
		name = "kubectl-modelroute"
	}
	text, err := usages.ReadFile("usage/" + name + ".txt")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// usageError is a command that was not called as it has to be.
type usageError struct{ error }

// execute runs the command that the first word names, and returns the exit status.
func execute(ctx context.Context, words []string, c command) int {
	if len(words) == 0 {
		fmt.Fprint(c.diagnostics, manual(""))
		return exitUsage
	}
	switch words[0] {
	case "-h", "-help", "--help":
		words = []string{"help"}
	case "-version", "--version":
		words = []string{"version"}
	}
	do, known := commands()[words[0]]
	if !known {
		fmt.Fprintf(c.diagnostics, "kubectl-modelroute: there is no command %q, only %s\nHow it is used: kubectl-modelroute --help\n",
			words[0], commandNames())
		return exitUsage
	}
	c.name, c.arguments = words[0], words[1:]
	c.flags = flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	return c.report(do(&c, ctx))
}

// report tells of an error, and returns the exit status.
func (c *command) report(err error) int {
	_, misused := errors.AsType[usageError](err)
	_, refused := errors.AsType[manifest.Problems](err)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.out, manual(c.name))
		return exitOK
	case refused:
		fmt.Fprintf(c.diagnostics, "The manifests are refused:\n%v\n", err)
		return exitUsage
	case misused:
		fmt.Fprintf(c.diagnostics, "kubectl-modelroute %s: %v\nHow it is used: kubectl-modelroute %s --help\n", c.name, err, c.name)
		return exitUsage
	}
	fmt.Fprintf(c.diagnostics, "kubectl-modelroute %s: %v\n", c.name, err)
	return exitFailed
}

// parse reads the flags, and expects up to so many words behind them.
func (c *command) parse(most int) error {
	if err := c.flags.Parse(c.arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if c.flags.NArg() > most {
		return usageError{fmt.Errorf("unexpected argument %q", c.flags.Arg(most))}
	}
	return nil
}

// version prints what this is.
func (c *command) version(context.Context) error {
	if err := c.parse(0); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "kubectl-modelroute", version)
	return nil
}

// help prints the manual of a command, or of the program.
func (c *command) help(context.Context) error {
	if err := c.parse(1); err != nil && !errors.Is(err, flag.ErrHelp) {
		return err
	}
	name := c.flags.Arg(0)
	if _, known := commands()[name]; name != "" && !known {
		return usageError{fmt.Errorf("there is no command %q, only %s", name, commandNames())}
	}
	if name == "help" {
		name = ""
	}
	fmt.Fprint(c.out, manual(name))
	return nil
}
