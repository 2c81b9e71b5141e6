// Command proxy measures what the proxy costs: how long it takes beside the upstream's own time, how much it carries, and what it needs for
// that. It runs a fast upstream, three things to put before it (nginx, an empty proxy on Go's net/http, and ours with everything on), and a
// load generator, each as a process of its own on the loopback interface, and measures them in turn.
//
//	go run ./test/bench/proxy [-quick] [-rounds N]
//
// It ends with status 1 if a request failed or a frame of a stream was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	isRole, err := runRole(ctx, os.Args[1:])
	if !isRole {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	sizes   sizes
	out     string
	keep    bool
	command string
}

func parse(arguments []string, output io.Writer) (settings, error) {
	s := settings{sizes: fullSizes, command: strings.Join(append([]string{"go run ./test/bench/proxy"}, arguments...), " ")}
	var quick bool
	var rounds int
	set := flag.NewFlagSet("proxy", flag.ContinueOnError)
	set.SetOutput(output)
	set.BoolVar(&quick, "quick", false, "a few seconds, only to see that it works")
	set.IntVar(&rounds, "rounds", 0, "in how many `rounds` each is measured; 0 for 9, and for 2 with -quick")
	set.StringVar(&s.out, "out", "docs/benchmarks.md", "the `page` to write a section of; empty for none")
	set.BoolVar(&s.keep, "keep", false, "keep the files: logs, journal, books")
	if err := set.Parse(arguments); err != nil {
		return settings{}, err
	}
	if set.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if rounds < 0 {
		return settings{}, fmt.Errorf("-rounds is %d, must be at least 1", rounds)
	}
	if quick {
		s.sizes = quickSizes
	}
	if rounds > 0 {
		s.sizes.rounds = rounds
	}
	return s, nil
}

var errFailed = errors.New("requests failed, or frames were lost")

func run(ctx context.Context, arguments []string, output io.Writer) error {
	s, err := parse(arguments, os.Stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	w, err := newWorld(ctx)
	if w != nil {
		defer w.close(s.keep)
	}
	if err != nil {
		return err
	}
	if s.keep {
		fmt.Fprintln(output, "The files are in", w.dir)
	}
	b := &bench{sizes: s.sizes, world: w, rounds: map[opponentName][]round{}, memory: map[opponentName]*memory{}}
	if err := b.run(ctx, func(line string) { fmt.Fprint(output, line) }); err != nil {
		return err
	}
	text := b.report(s.command, began, time.Since(began))
	fmt.Fprint(output, text)
	if s.out != "" {
		if err := rig.WriteSection(s.out, "proxy", text); err != nil {
			return err
		}
	}
	if !b.whole() {
		return errFailed
	}
	return nil
}
