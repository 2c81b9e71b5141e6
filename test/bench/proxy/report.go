package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// spread is the median of what rounds brought, with the least and the most.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	return spread{median: values[len(values)/2], least: values[0], most: values[len(values)-1]}
}

// each is what a figure was in the rounds in which it was taken.
func each[T any](all []T, figure func(int) (float64, bool)) spread {
	var values []float64
	for i := range all {
		if value, taken := figure(i); taken {
			values = append(values, value)
		}
	}
	return spreadOf(values)
}

// row is one figure of all opponents.
type row struct {
	what, unit string
	// figure is the opponent's in a round, next to the same round without anything in between and through the empty proxy.
	figure func(own, direct, empty round) (float64, bool)
	// target is what ours must reach: at most that, or at least it; 0 for none.
	atMost, atLeast float64
}

const nanoPerMicro = 1000

// added makes the figure of a row of what was added to a time.
func added(of func(round) int64) func(own, direct, empty round) (float64, bool) {
	return func(own, direct, _ round) (float64, bool) { return float64(of(own)-of(direct)) / nanoPerMicro, true }
}

// held makes the figure of a row about the streams that are held.
func held(of func(*outcome) float64) func(own, direct, empty round) (float64, bool) {
	return func(own, _, _ round) (float64, bool) {
		if own.held == nil {
			return 0, false
		}
		return of(own.held), true
	}
}

var rows = []row{
	{what: "added latency, p50", unit: "µs", atMost: 120, figure: added(func(r round) int64 { return r.single.Latency.P50 })},
	{what: "added latency, p99", unit: "µs", figure: added(func(r round) int64 { return r.single.Latency.P99 })},
	{what: "requests per second", figure: func(own, _, _ round) (float64, bool) { return own.many.perSecond(), true }},
	{what: "… of direct", unit: "×", figure: func(own, direct, _ round) (float64, bool) {
		return own.many.perSecond() / direct.many.perSecond(), true
	}},
	{what: "… of the empty Go proxy", unit: "×", atLeast: 0.7, figure: func(own, _, empty round) (float64, bool) {
		return own.many.perSecond() / empty.many.perSecond(), true
	}},
	{what: "processor time per request", unit: "µs", figure: func(own, _, _ round) (float64, bool) {
		return float64(own.perRequest) / nanoPerMicro, own.perRequest > 0
	}},
	{what: "added to the first token, p50", unit: "µs", atMost: 300, figure: added(func(r round) int64 { return r.stream.First.P50 })},
	{what: "added to the first token, p99", unit: "µs", figure: added(func(r round) int64 { return r.stream.First.P99 })},
	{what: "added per token, p50", unit: "µs", figure: added(func(r round) int64 { return r.stream.Delay.P50 })},
	{what: "added per token, p99", unit: "µs", figure: added(func(r round) int64 { return r.stream.Delay.P99 })},
	{what: "streams held: frames", figure: held(func(o *outcome) float64 { return float64(o.Frames) })},
	{what: "streams held: frames lost", atMost: 0.5, figure: held(func(o *outcome) float64 { return float64(o.Lost) })},
	{what: "streams held: a frame’s way, p50", unit: "µs",
		figure: held(func(o *outcome) float64 { return float64(o.Delay.P50) / nanoPerMicro })},
	{what: "streams held: a frame’s way, p99", unit: "µs",
		figure: held(func(o *outcome) float64 { return float64(o.Delay.P99) / nanoPerMicro })},
}

// spread is the figure of an opponent over all rounds.
func (r row) spread(b *bench, name opponentName) spread {
	own := b.rounds[name]
	return each(own, func(i int) (float64, bool) { return r.figure(own[i], b.rounds[direct][i], b.rounds[empty][i]) })
}

func (r row) cell(s spread) string {
	format := "%.0f"
	if r.unit == "×" {
		format = "%.2f"
	}
	return fmt.Sprintf(format+" ("+format+" – "+format+")", s.median, s.least, s.most)
}

// memoryRows are figures of which there is one for each opponent.
var memoryRows = []struct {
	what   string
	of     func(*memory) int64
	atMost float64
}{
	{"memory idle", func(m *memory) int64 { return m.idle }, 40},
	{"memory under load, the most", func(m *memory) int64 { return m.loaded }, 150},
	{"memory after it", func(m *memory) int64 { return m.recovered }, 0},
}

// whole reports whether every request of every opponent was answered as it should, and no frame was lost.
func (b *bench) whole() bool {
	for _, rounds := range b.rounds {
		for _, r := range rounds {
			for _, one := range []*outcome{r.single, r.many, r.stream, r.held} {
				if one != nil && (one.Failures > 0 || one.Lost > 0 || one.Requests == 0) {
					return false
				}
			}
		}
	}
	return len(b.rounds) > 0
}

// report is the section of the page.
func (b *bench) report(command string, began time.Time, took time.Duration) string {
	s := b.sizes
	var text strings.Builder
	fmt.Fprintf(&text, reportHead, began.UTC().Format(time.DateOnly), command, s.rounds, took.Round(time.Second),
		rig.Machine(), runtime.GOOS, runtime.GOARCH, runtime.Version(), s.connections, s.streams, s.pace, s.frames, s.heldRounds)
	text.WriteString("| |")
	names := make([]opponentName, 0, len(b.world.opponents))
	for _, one := range b.world.opponents {
		names = append(names, one.name)
		fmt.Fprintf(&text, " %s |", one.name)
	}
	text.WriteString(" target |\n| --- |" + strings.Repeat(" --: |", len(names)+1) + "\n")
	for _, one := range rows {
		fmt.Fprintf(&text, "| %s |", strings.TrimSpace(one.what+" "+bracketed(one.unit)))
		for _, name := range names {
			fmt.Fprintf(&text, " %s |", one.cell(one.spread(b, name)))
		}
		fmt.Fprintf(&text, " %s |\n", goal(one.spread(b, ours).median, one.atMost, one.atLeast))
	}
	for _, one := range memoryRows {
		fmt.Fprintf(&text, "| %s (MB) |", one.what)
		var own float64
		for _, name := range names {
			own = float64(one.of(b.memory[name])) / 1e6
			fmt.Fprintf(&text, " %.0f |", own)
		}
		fmt.Fprintf(&text, " %s |\n", goal(float64(one.of(b.memory[ours]))/1e6, one.atMost, 0))
	}
	text.WriteString(reportFoot)
	return text.String()
}

func bracketed(unit string) string {
	if unit == "" {
		return ""
	}
	return "(" + unit + ")"
}

// goal says what ours must reach, and whether it does.
func goal(own, atMost, atLeast float64) string {
	said := map[bool]string{true: "met", false: "missed"}
	switch {
	case atMost > 0 && atMost < 1:
		return "none: " + said[own <= atMost]
	case atMost > 0:
		return fmt.Sprintf("≤ %.0f: %s", atMost, said[own <= atMost])
	case atLeast > 0:
		return fmt.Sprintf("≥ %.2f: %s", atLeast, said[own >= atLeast])
	}
	return ""
}
