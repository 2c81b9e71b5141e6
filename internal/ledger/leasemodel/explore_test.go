package leasemodel

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// found is what an exploration came to.
type found struct {
	states   int
	complete bool   // There was no state left to visit.
	broken   string // What does not hold, or nothing.
	trace    []step // The shortest way there.
}

func (f found) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d states, complete: %t, broken: %q", f.states, f.complete, f.broken)
	for i, s := range f.trace {
		fmt.Fprintf(&text, "\n%3d. %v", i+1, s)
	}
	return text.String()
}

// node remembers how a state was reached.
type node struct {
	parent int32
	step   step
}

// explore visits every state that a scenario can reach, nearest first, up to a number of states. A state is known by its hash: among a
// million states two have the same one by a chance of one in ten million, and then one of them goes unexplored.
func explore(c *config, bound int) found {
	seed := maphash.MakeSeed()
	first := begin(c)
	visited := map[uint64]struct{}{maphash.Comparable(seed, first.state): {}}
	nodes := []node{{parent: -1}}
	type reached struct {
		world *world
		node  int32
	}
	for level := []reached{{first, 0}}; len(level) > 0; {
		var next []reached
		for i := range level {
			here := level[i]
			level[i].world = nil
			for _, s := range here.world.enabled() {
				there := here.world.after(s)
				hash := maphash.Comparable(seed, there.state)
				// What a step broke is no part of the state that it leads to, which another step may have reached lawfully.
				broken := there.broken
				if _, known := visited[hash]; known && broken == "" {
					continue
				}
				visited[hash] = struct{}{}
				nodes = append(nodes, node{here.node, s})
				if broken == "" {
					broken = there.quiet()
				}
				if broken != "" {
					return found{len(visited), false, broken, traceOf(nodes, int32(len(nodes)-1))}
				}
				next = append(next, reached{there, int32(len(nodes) - 1)})
			}
			if len(visited) >= bound {
				return found{states: len(visited)}
			}
		}
		level = next
	}
	return found{states: len(visited), complete: true}
}

// traceOf lists the steps that led to a node.
func traceOf(nodes []node, last int32) []step {
	var trace []step
	for at := last; nodes[at].parent >= 0; at = nodes[at].parent {
		trace = append([]step{nodes[at].step}, trace...)
	}
	return trace
}

// walk takes up to a number of steps, each chosen among the kinds that are possible and then among the steps of that kind, and plays the
// world to its end. With restores, a backup of the ledger is taken and put back on the way.
func walk(c *config, choose func(n int) int, length int, restores bool) found {
	w := begin(c)
	backup := w.ledger
	var trace []step
	for len(trace) < length && w.broken == "" {
		if restores && choose(12) == 0 {
			if choose(3) > 0 || w.truth.restored {
				backup = w.ledger
				continue
			}
			trace = append(trace, step{kind: stepKinds})
			w.restore(&backup)
			w.sweep()
			w.check()
			continue
		}
		steps := w.enabled()
		if len(steps) == 0 {
			break
		}
		kinds := slices.CompactFunc(slices.SortedFunc(slices.Values(steps), byKind), func(a, b step) bool { return a.kind == b.kind })
		kind := kinds[choose(len(kinds))].kind
		steps = slices.DeleteFunc(steps, func(s step) bool { return s.kind != kind })
		s := steps[choose(len(steps))]
		trace = append(trace, s)
		w = w.after(s)
		if s.kind == deliver && choose(2) == 0 {
			w.loses(s.message)
		}
	}
	if w.broken == "" {
		w.broken = w.quiet()
	}
	return found{states: len(trace), broken: w.broken, trace: trace}
}

func byKind(a, b step) int { return cmp.Compare(a.kind, b.kind) }
