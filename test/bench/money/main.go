// Command money measures whether budgets hold. It runs three proxies, a ledger and an upstream that keeps the true books, each as a process
// of its own on the loopback interface, lets a few hundred clients spend until the money is gone, and meanwhile kills, cuts off and
// replaces them. Then it compares what was really spent with what the ledger says.
//
//	go run ./test/bench/money [-quick] [-runs N] [-store sqlite,postgres] [-scenario NAME,...]
//
// It ends with status 1 if any budget was overspent or any cost was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelroute/modelroute/test/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "money:", err)
		os.Exit(1)
	}
}

// run is a role where the first argument names one, and else the benchmark.
func run(ctx context.Context, arguments []string) error {
	if len(arguments) > 0 {
		if role, found := roles[arguments[0]]; found {
			return runRole(ctx, role, arguments[1:])
		}
	}
	settings, err := parse(arguments, os.Stderr)
	if err != nil {
		return err
	}
	return bench(ctx, settings, os.Stdout)
}

// settings are what the command line says.
type settings struct {
	stores    []storeKind
	scenarios []scenario
	runs      int
	quick     bool
	seed      uint64
	clients   int
	// parallel is how many scenarios run at a time.
	parallel int
	// load is how long things go wrong while the clients spend; encore for how long they spend again after that.
	load, encore time.Duration
	out          string
	keep         bool
	command      string
}

func parse(arguments []string, output io.Writer) (settings, error) {
	s := settings{command: strings.Join(append([]string{"go run ./test/bench/money"}, arguments...), " ")}
	var stores, names string
	set := flag.NewFlagSet("money", flag.ContinueOnError)
	set.SetOutput(output)
	set.StringVar(&stores, "store", string(sqliteStore), "the ledger's `stores`, with commas: sqlite, postgres")
	set.StringVar(&names, "scenario", "", "only these `scenarios`, with commas: "+strings.Join(scenarioNames(), ", "))
	set.IntVar(&s.runs, "runs", 1, "how often everything is run")
	set.BoolVar(&s.quick, "quick", false, "a short load: under a minute for one run with one store")
	set.Uint64Var(&s.seed, "seed", 0, "the seed of what happens when; 0 for another one each time")
	set.IntVar(&s.clients, "clients", 0, "how many `clients` there are at a time in each scenario; 0 for 300, and for 150 with -quick")
	set.IntVar(&s.parallel, "parallel", 0, "how many `scenarios` run at a time; 0 for 1, and for 2 with -quick")
	set.StringVar(&s.out, "out", "docs/benchmarks.md", "the `page` to write a section of; empty for none")
	set.BoolVar(&s.keep, "keep", false, "keep the files of scenarios that went well, too")
	if err := set.Parse(arguments); err != nil {
		return settings{}, err
	}
	if set.NArg() > 0 {
		return settings{}, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	s.setSizes()
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	var err error
	if s.stores, err = parseStores(stores); err != nil {
		return settings{}, err
	}
	s.scenarios, err = chooseScenarios(names)
	return s, err
}

// setSizes decides what the command line leaves open.
func (s *settings) setSizes() {
	s.load, s.encore = 12*time.Second, 2*time.Second
	clients, parallel := 300, 1
	if s.quick {
		s.load, s.encore = 2*time.Second, 500*time.Millisecond
		clients, parallel = 150, 2
	}
	if s.clients <= 0 {
		s.clients = clients
	}
	if s.parallel <= 0 {
		s.parallel = parallel
	}
}

func chooseScenarios(names string) ([]scenario, error) {
	if names == "" {
		return scenarios, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(scenarios, func(one scenario) bool { return one.name == name })
		if at < 0 {
			return nil, fmt.Errorf("-scenario: there is no %q, only %s", name, strings.Join(scenarioNames(), ", "))
		}
		chosen = append(chosen, scenarios[at])
	}
	return chosen, nil
}

// errFailed ends a benchmark in which a budget did not hold.
var errFailed = errors.New("a budget did not hold, or a scenario did not come to its end")

// bench runs everything, prints as it goes, and writes the page.
func bench(ctx context.Context, s settings, output io.Writer) error {
	all := report{settings: s, began: time.Now()}
	fmt.Fprintf(output, "seed %d, %d clients, 3 proxies\n%s\n", s.seed, s.clients, tableHead)
	for number := 1; number <= s.runs && ctx.Err() == nil; number++ {
		for _, kind := range s.stores {
			if err := all.runStore(ctx, kind, number, output); err != nil {
				return err
			}
		}
	}
	all.took = time.Since(all.began)
	fmt.Fprint(output, all.summary())
	if s.out != "" && ctx.Err() == nil {
		if err := rig.WriteSection(s.out, "money", all.page()); err != nil {
			return err
		}
	}
	if !all.held() || ctx.Err() != nil {
		return errFailed
	}
	return nil
}

// runStore runs every scenario once with one store.
func (r *report) runStore(ctx context.Context, kind storeKind, number int, output io.Writer) error {
	database, err := newDatabase(ctx, kind)
	if err != nil {
		return err
	}
	defer database.close()
	r.playAll(ctx, database, number, output)
	if number > 1 || ctx.Err() != nil || len(r.settings.scenarios) < len(scenarios) {
		return nil
	}
	pace, err := measurePace(ctx, r.settings, database)
	if err != nil {
		return fmt.Errorf("measuring the pace: %w", err)
	}
	r.paces = append(r.paces, pace)
	fmt.Fprint(output, pace)
	return nil
}

// playAll runs the scenarios that there are with a store, some at a time, and prints each as it ends. Those that are about the database,
// which all share, come last and one by one.
func (r *report) playAll(ctx context.Context, on *database, number int, output io.Writer) {
	var playing errgroup.Group
	playing.SetLimit(r.settings.parallel)
	var mu sync.Mutex
	play := func(one scenario) {
		if ctx.Err() != nil {
			return
		}
		found := play(ctx, r.settings, on, one, number)
		mu.Lock()
		defer mu.Unlock()
		r.results = append(r.results, found)
		fmt.Fprint(output, found.row(), found.complaints())
	}
	for _, one := range r.settings.scenarios {
		if one.only == "" {
			playing.Go(func() error {
				play(one)
				return nil
			})
		}
	}
	_ = playing.Wait() // What goes wrong is in the results.
	for _, one := range r.settings.scenarios {
		if one.only == on.kind {
			play(one)
		}
	}
}
