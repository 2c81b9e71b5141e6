// Command operator measures how the operator scales: with thousands of routes, how long it takes to make what belongs to them, beside a
// client that only writes the same objects; how long a change takes until a proxy serves it; what the manager needs for that; and what it
// writes while nothing happens, while routes spend, and when it is started again. The API server, its etcd, the ledger and the manager are
// processes of their own.
//
//	go run ./test/bench/operator [-quick] [-routes N]
//
// It ends with status 1 if a figure misses its target.
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

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/modelroute/modelroute/test/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	ctrl.SetLogger(logr.Discard())
	var err error
	if len(os.Args) > 1 && os.Args[1] == roleLedger {
		err = serveLedger(ctx, os.Args[2:])
	} else {
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

// sizes are how much is measured.
type sizes struct {
	// routes are spread over namespaces of routesPerNamespace.
	routes int
	// proxied of them have a real proxy; changes are how many changes are timed at these, and as many at the others.
	proxied, changes int
	// spenders of them spend during busy. idle is how long nothing happens.
	spenders   int
	idle, busy time.Duration
	// stages is how many stages are run.
	stages int
	// mixed is how many good routes are made, first by themselves and then others among a tenth as many invalid ones.
	mixed int
}

var (
	fullSizes = sizes{
		routes: 5000, proxied: 10, changes: 200, spenders: 1000, idle: 2 * time.Minute, busy: 2 * time.Minute, mixed: 1000, stages: 9,
	}
	quickSizes = sizes{
		routes: 100, proxied: 4, changes: 40, spenders: 50, idle: 20 * time.Second, busy: 40 * time.Second, mixed: 50, stages: 9,
	}
)

// settings are what the command line says.
type settings struct {
	sizes   sizes
	out     string
	keep    bool
	command string
}

func parse(arguments []string, output io.Writer) (settings, error) {
	s := settings{sizes: fullSizes, command: strings.Join(append([]string{"go run ./test/bench/operator"}, arguments...), " ")}
	var quick bool
	var routes int
	set := flag.NewFlagSet("operator", flag.ContinueOnError)
	set.SetOutput(output)
	set.BoolVar(&quick, "quick", false, "a hundred routes and short windows, only to see that it works")
	set.IntVar(&routes, "routes", 0, "how many `routes`; 0 for 5000, and for 100 with -quick")
	stages := set.Int("stages", 0, "only the first `so many` stages, to work on one")
	set.StringVar(&s.out, "out", "docs/benchmarks.md", "the `page` to write a section of; empty for none")
	set.BoolVar(&s.keep, "keep", false, "keep the files: logs and books")
	if err := set.Parse(arguments); err != nil {
		return settings{}, err
	}
	if set.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if quick {
		s.sizes = quickSizes
	}
	if routes > 0 {
		s.sizes.routes = routes
	}
	if *stages > 0 {
		s.sizes.stages = *stages
	}
	if s.sizes.routes < s.sizes.proxied {
		return settings{}, fmt.Errorf("-routes is %d, must be at least %d", s.sizes.routes, s.sizes.proxied)
	}
	s.sizes.spenders, s.sizes.mixed = min(s.sizes.spenders, s.sizes.routes), min(s.sizes.mixed, s.sizes.routes)
	return s, nil
}

var errMissed = errors.New("a figure misses its target")

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
	b := &bench{world: w, sizes: s.sizes, say: func(line string) { fmt.Fprintln(output, line) }}
	if err := b.run(ctx); err != nil {
		return err
	}
	text := b.report(s.command, began, time.Since(began))
	fmt.Fprint(output, text)
	if s.out != "" {
		if err := rig.WriteSection(s.out, "operator", text); err != nil {
			return err
		}
	}
	if b.misses() {
		return errMissed
	}
	return nil
}
