package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/modelroute/modelroute/internal/ledger"
	"github.com/modelroute/modelroute/internal/ledger/adminsocket"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
)

const (
	defaultDataDir = "/var/lib/modelroute"

	// The exit statuses of commands.
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitUnknown is that of a question that was not answered.
	exitUnknown = 2
)

// usages are the commands' manuals.
//
//go:embed usage/*.txt
var usages embed.FS

// usageOf returns the manual of a command; of the program itself by its name.
func usageOf(name string) string {
	text, err := usages.ReadFile("usage/" + name + ".txt")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// command is one run of a command.
type command struct {
	out, diagnostics io.Writer
	now              func() time.Time

	flags     *flag.FlagSet
	arguments []string
	dataDir   string
}

// commands are by name. Each gets its flags and words parsed by itself.
func commands() map[string]func(*command, context.Context) error {
	return map[string]func(*command, context.Context) error{
		"proxies": (*command).proxies,
		"release": (*command).release,
		"backup":  (*command).backup,
		"verify":  (*command).verify,
		"history": (*command).history,
		"help":    (*command).help,
	}
}

func commandNames() []string { return slices.Sorted(maps.Keys(commands())) }

func isCommand(name string) bool { return commands()[name] != nil }

// usageError is a command that was not called as it has to be.
type usageError struct{ error }

// statusError is a failure with an exit status of its own.
type statusError struct {
	error
	status int
}

// execute runs the command that the first word names, and returns the exit status.
func execute(ctx context.Context, words []string, c command) int {
	name := words[0]
	c.flags = flag.NewFlagSet(name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.flags.StringVar(&c.dataDir, "data-dir", defaultDataDir, "")
	c.arguments = words[1:]
	err := commands()[name](&c, ctx)
	_, misused := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.out, usageOf(name))
		return exitOK
	case misused:
		fmt.Fprintf(c.diagnostics, "ledger %s: %v\nHow it is used: ledger %s --help\n", name, err, name)
		return exitUsage
	}
	fmt.Fprintf(c.diagnostics, "ledger %s: %v\n", name, err)
	if own, ok := errors.AsType[statusError](err); ok {
		return own.status
	}
	return exitFailed
}

// help prints the manual of a command, or of the program.
func (c *command) help(context.Context) error {
	words, err := c.parse(0, 1, "a command")
	if err != nil {
		return err
	}
	name := "ledger"
	if len(words) > 0 {
		name = words[0]
		if !isCommand(name) || name == "help" {
			return usageError{fmt.Errorf("there is no command %q; the commands are %s", name, strings.Join(commandNames(), ", "))}
		}
	}
	fmt.Fprint(c.out, usageOf(name))
	return nil
}

// parse reads flags and words in any order, and expects so many words; what says what they are.
func (c *command) parse(least, most int, what string) ([]string, error) {
	var words []string
	for rest := c.arguments; ; {
		if err := c.flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{err}
		}
		left := c.flags.Args()
		if len(left) == 0 {
			break
		}
		if read := len(rest) - len(left); read > 0 && rest[read-1] == "--" {
			words = append(words, left...)
			break
		}
		words, rest = append(words, left[0]), left[1:]
	}
	switch {
	case len(words) < least:
		return nil, usageError{fmt.Errorf("%s is missing", what)}
	case len(words) > most:
		return nil, usageError{fmt.Errorf("unexpected argument %q", words[most])}
	}
	return words, nil
}

// errNotRunning means that no ledger has the data directory open, or none that has the socket.
var errNotRunning = errors.New("no ledger is running")

// services are those of a ledger that runs.
type services struct {
	manager ledgerpbconnect.ManagerServiceClient
	admin   ledgerpbconnect.AdminServiceClient
}

// reach finds the ledger that has the data directory open. It fails with errNotRunning if there is none.
func (c *command) reach(ctx context.Context) (*services, error) {
	path := adminsocket.Path(c.dataDir)
	connection, err := adminsocket.Dial(ctx, c.dataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s: nobody answers at %s", errNotRunning, c.dataDir, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s is for the ledger's own user only: run this as that user, in Kubernetes by "+
			"kubectl -n modelroute-system exec modelroute-ledger-0 -- /ledger %s", path, c.flags.Name())
	case err != nil:
		return nil, fmt.Errorf("reaching the ledger: %w", err)
	}
	closeQuietly(connection)
	called := connect.NewClient(connecthttp.NewTransport(adminsocket.NewHTTPClient(c.dataDir), "http://ledger"))
	return &services{
		manager: ledgerpbconnect.NewManagerServiceClient(called), admin: ledgerpbconnect.NewAdminServiceClient(called),
	}, nil
}

func closeQuietly(connection net.Conn) {
	_ = connection.Close() // Nothing was sent on it.
}

// reachRunning is reach for what only a ledger that runs can do.
func (c *command) reachRunning(ctx context.Context) (*services, error) {
	found, err := c.reach(ctx)
	if errors.Is(err, errNotRunning) {
		return nil, fmt.Errorf("%w; name its data directory with --data-dir, or start it", err)
	}
	return found, err
}

// callAs returns a context whose calls say who makes them.
func callAs(ctx context.Context, actor string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	if actor != "" {
		info.RequestHeader().Set(ledger.ActorHeader, actor)
	}
	return ctx
}

// told is what the ledger answered, without the code that programs go by.
func told(err error) error {
	var answered *connect.Error
	if errors.As(err, &answered) && answered.IsRemote() {
		return errors.New(answered.Message())
	}
	return err
}

// absolute makes a path mean the same to the ledger as to whoever gave it.
func absolute(path string) (string, error) {
	found, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", path, err)
	}
	if info, err := os.Stat(found); err == nil && info.IsDir() {
		return "", usageError{fmt.Errorf("%s is a folder; name the file", path)}
	}
	return found, nil
}
