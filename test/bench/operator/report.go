package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// The targets.
const (
	atMostRatio  = 1.5
	atMostChange = time.Second
	atMostMemory = 300 << 20
	// atMostStatusWrites is for all routes together.
	atMostStatusWrites = 20
)

// row is one figure.
type row struct {
	what, figure, target string
	missed               bool
}

func (b *bench) rows() []row {
	r, s := &b.results, b.sizes
	ratio := r.made.Seconds() / r.bare.Seconds()
	busyPerSecond := r.busy.writes / s.busy.Seconds()
	return []row{
		{what: fmt.Sprintf("until all %d objects of the routes are there", r.objects), figure: seconds(r.made)},
		{what: "… a bare client, by the same kind of request", figure: seconds(r.bare)},
		{
			what: "… times the bare client", figure: fmt.Sprintf("%.2f", ratio),
			target: fmt.Sprintf("≤ %.1f", atMostRatio), missed: ratio > atMostRatio,
		},
		{what: "… times a bare client that only makes new objects", figure: fmt.Sprintf("%.2f", r.made.Seconds()/r.created.Seconds())},
		{what: "requests for each route: writes, tries, reads", figure: fmt.Sprintf("%.1f, %.1f, %.1f",
			r.asked.writes/float64(s.routes), r.asked.tries/float64(s.routes), r.asked.reads/float64(s.routes))},
		{what: fmt.Sprintf("until %d keys are delivered, since the first proxy", r.keys), figure: seconds(r.delivered)},
		{what: "a change until it is in the config Secret, p50", figure: millis(quantile(r.toSecret, 50))},
		{what: "… p99", figure: millis(quantile(r.toSecret, 99))},
		{what: "a change until a proxy serves it, p50", figure: millis(quantile(r.toProxy, 50))},
		{
			what: "… p99", figure: millis(quantile(r.toProxy, 99)),
			target: "< " + millis(atMostChange), missed: quantile(r.toProxy, 99) >= atMostChange,
		},
		{
			what: "the manager’s memory: the most", figure: megabytes(r.peak),
			target: "< " + megabytes(atMostMemory), missed: r.peak >= atMostMemory,
		},
		{what: "… while the objects were made, and idle", figure: megabytes(r.madePeak) + ", " + megabytes(r.idleBytes)},
		{
			what: fmt.Sprintf("writes in %s in which nothing happens", s.idle), figure: fmt.Sprintf("%.0f", r.idle.writes),
			target: "0", missed: r.idle.writes != 0,
		},
		{what: "… reads a second", figure: fmt.Sprintf("%.1f", r.idle.reads/s.idle.Seconds())},
		{what: "… of one core", figure: percent(r.idleCPU, s.idle)},
		{
			what:   fmt.Sprintf("writes a second in %s in which %d routes spend", s.busy, s.spenders),
			figure: fmt.Sprintf("%.1f", busyPerSecond),
			target: fmt.Sprintf("≤ %d", atMostStatusWrites), missed: busyPerSecond > atMostStatusWrites*1.05,
		},
		{what: "… of one core", figure: percent(r.busyCPU, s.busy)},
		{what: "objects that a restart of the manager touches", figure: fmt.Sprint(r.touched), target: "0", missed: r.touched != 0},
		{
			what: "… writes of any kind", figure: fmt.Sprintf("%.0f", r.restart.writes), target: "0", missed: r.restart.writes != 0,
		},
		{what: "… until it is idle", figure: seconds(r.restarted)},
		{what: fmt.Sprintf("until %d more routes are served", s.mixed), figure: seconds(r.alone)},
		{what: fmt.Sprintf("… and %d others among %d invalid ones", s.mixed, s.mixed/10), figure: seconds(r.among)},
	}
}

func (b *bench) misses() bool {
	return slices.ContainsFunc(b.rows(), func(r row) bool { return r.missed })
}

func (b *bench) report(command string, began time.Time, took time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, rig.Prose(head), began.Format(time.DateOnly), command, took.Round(time.Second), rig.Machine(), runtime.GOOS,
		runtime.GOARCH, runtime.Version(), b.sizes.routes, len(consumers), b.sizes.proxied, callers, b.sizes.changes)
	text.WriteString("| | " + fmt.Sprintf("%d routes", b.sizes.routes) + " | target |\n| --- | --: | --: |\n")
	for _, row := range b.rows() {
		target := row.target
		switch {
		case row.missed:
			target += ": missed"
		case target != "":
			target += ": met"
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", row.what, row.figure, target)
	}
	text.WriteString(rig.Prose(tail))
	return text.String()
}

func quantile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1000) }

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes>>20) }

func percent(part, of time.Duration) string {
	return fmt.Sprintf("%.1f %%", 100*part.Seconds()/of.Seconds())
}
