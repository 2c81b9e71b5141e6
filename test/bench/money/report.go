package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// result is what became of one scenario.
type result struct {
	store    storeKind
	scenario scenario
	run      int
	// limits are those in force, before those until they were raised.
	limits, before map[string]money.Amount
	raised         time.Time

	// overshoot is what was spent above a limit, lost what was spent and does not count as spent, doubled what is settled and was not
	// spent; each in the budget where it is most. None may be above zero.
	overshoot, lost, doubled money.Amount
	// overleased is how often the books were seen to have more out than a limit allows.
	overleased int
	// stranded is what was out or counted as spent and was not, at the end of the load, and back how long it took until nothing was out.
	stranded money.Amount
	back     time.Duration
	// left is what still counts as spent and is not: the uncertain. released is what came back of it when a lost proxy was given up.
	left, released money.Amount
	// cautious are requests that got 402 though the money for them was not spent, because what is uncertain counts as spent; falseDenials
	// are those for which there is not even that reason.
	cautious, falseDenials int
	// example tells of the last false denial.
	example string
	// share is how much of the route's first limit could be spent.
	share     float64
	perSecond float64
	tally     tally

	// failure is why the scenario did not come to its end; dir has its files.
	failure error
	dir     string
}

// good reports whether the budgets held and everything was measured.
func (r *result) good() bool {
	zero := money.Amount{}
	return r.failure == nil && r.overleased == 0 &&
		r.overshoot.Cmp(zero) <= 0 && r.lost.Cmp(zero) <= 0 && r.doubled.Cmp(zero) <= 0
}

const tableHead = "store     scenario      run  overshoot $      lost $  stranded $  back after  uncertain $  false denials" +
	"  cautious   spent  holds/s    200   402   429   503  other  broken"

// row is a line of the table.
func (r *result) row() string {
	t := r.tally
	return fmt.Sprintf("%-9s %-13s %3d  %11s %11s %11s %11s %12s %14d %9d %6.1f%% %8.0f %6d %5d %5d %5d %6d %7d\n",
		r.store, r.scenario.name, r.run, r.overshoot, r.lost, rounded(r.stranded),
		r.back.Round(10*time.Millisecond), rounded(r.left), r.falseDenials, r.cautious, 100*r.share, r.perSecond,
		t.served, t.spent, t.held, t.away, t.upstream, t.broken)
}

// rounded is an amount with four decimals, rounded up: for what need not be zero.
func rounded(amount money.Amount) string {
	if amount.IsNegative() {
		return amount.String()
	}
	const part, parts = 100_000, 10_000
	whole := (amount.Nano() + part - 1) / part
	return fmt.Sprintf("%d.%04d", whole/parts, whole%parts)
}

// complaints are what must not be.
func (r *result) complaints() string {
	var said strings.Builder
	say := func(wrong bool, format string, values ...any) {
		if wrong {
			fmt.Fprintf(&said, "    !! "+format+"\n", values...)
		}
	}
	zero := money.Amount{}
	say(r.overshoot.Cmp(zero) > 0, "a budget was overspent by %s USD", r.overshoot)
	say(r.lost.Cmp(zero) > 0, "%s USD were spent and are not in the books", r.lost)
	say(r.doubled.Cmp(zero) > 0, "%s USD are settled that were not spent", r.doubled)
	say(r.overleased > 0, "the books had more out than a limit allows, %d times", r.overleased)
	say(r.falseDenials > 0, "%d requests were refused for good though nothing says that the money was gone; the last one: %s",
		r.falseDenials, r.example)
	say(r.failure != nil, "it did not come to its end: %v", r.failure)
	say(!r.good(), "its files are in %s", r.dir)
	if len(r.tally.others) > 0 {
		fmt.Fprintf(&said, "    other answers: %v\n", r.tally.others)
	}
	if r.released.Cmp(zero) > 0 {
		fmt.Fprintf(&said, "    the lost proxies had %s USD of the route's budget; given up on them, it is free again\n", r.released)
	}
	return said.String()
}

// report is everything that was measured.
type report struct {
	settings settings
	began    time.Time
	took     time.Duration
	results  []*result
	paces    []pace
}

// held reports whether every budget held in every scenario.
func (r *report) held() bool {
	return len(r.results) > 0 && !slices.ContainsFunc(r.results, func(one *result) bool { return !one.good() })
}

func (r *report) summary() string {
	bad := 0
	for _, one := range r.results {
		if !one.good() {
			bad++
		}
	}
	return fmt.Sprintf("%d scenarios in %s, %d of them bad (seed %d)\n", len(r.results), r.took.Round(time.Second), bad, r.settings.seed)
}

// page is the section of docs/benchmarks.md.
func (r *report) page() string {
	var page strings.Builder
	fmt.Fprintf(&page, pageHead, r.began.UTC().Format(time.DateOnly), r.settings.command, r.settings.runs, len(r.results),
		r.took.Round(time.Second), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), r.settings.clients, r.settings.load)
	for _, kind := range r.settings.stores {
		fmt.Fprintf(&page, "\n### %s\n\n%s", kind.title(), pageTableHead)
		for _, one := range r.settings.scenarios {
			page.WriteString(r.summed(kind, one.name))
		}
		page.WriteString(r.bound(kind))
		for _, one := range r.paces {
			if one.store == kind {
				page.WriteString("\n" + one.sentences())
			}
		}
	}
	page.WriteString("\n### The scenarios\n\n")
	for _, one := range r.settings.scenarios {
		fmt.Fprintf(&page, "* **%s**: %s\n", one.name, one.what)
	}
	page.WriteString(pageFoot)
	return page.String()
}

func (k storeKind) title() string {
	if k == postgresStore {
		return "PostgreSQL, two ledgers"
	}
	return "SQLite"
}

// bound says how much lost proxies had out.
func (r *report) bound(kind storeKind) string {
	var most money.Amount
	for _, one := range r.results {
		if one.store == kind {
			most = larger(most, one.released)
		}
	}
	if most.IsZero() {
		return ""
	}
	return fmt.Sprintf(pageBound, rounded(most))
}

// summed is the line of one scenario over all runs: the worst of what should be low or high, the sum of what is counted.
func (r *report) summed(kind storeKind, name string) string {
	var sum result
	var runs, held, away, broken int
	var perSecond []float64
	sum.share = 1
	for _, one := range r.results {
		if one.store != kind || one.scenario.name != name {
			continue
		}
		runs++
		sum.overshoot, sum.lost = larger(sum.overshoot, one.overshoot), larger(sum.lost, one.lost)
		sum.stranded, sum.left = larger(sum.stranded, one.stranded), larger(sum.left, one.left)
		sum.back = max(sum.back, one.back)
		sum.falseDenials, sum.cautious = sum.falseDenials+one.falseDenials, sum.cautious+one.cautious
		sum.share = min(sum.share, one.share)
		perSecond = append(perSecond, one.perSecond)
		held, away, broken = held+one.tally.held, away+one.tally.away, broken+one.tally.broken
		sum.limits = one.before
		if one.failure != nil {
			name += " (not ended)"
		}
	}
	if runs == 0 {
		return ""
	}
	slices.Sort(perSecond)
	return fmt.Sprintf("| %s | %s | **%s** | **%s** | %s | %.1f s | %s | %d | %d | %.1f %% | %.0f | %d | %d | %d |\n",
		name, rounded(sum.limits[""]), sum.overshoot, sum.lost, rounded(sum.stranded), sum.back.Seconds(), rounded(sum.left),
		sum.falseDenials, sum.cautious, 100*sum.share, perSecond[len(perSecond)/2], held, away, broken)
}
