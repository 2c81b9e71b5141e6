package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// sizes are how much is measured.
type sizes struct {
	// rounds are how often everything is measured, heldRounds in how many of them many streams are held.
	rounds, heldRounds int
	// warmUp and length are those of each measurement; connections is how many there are for the throughput.
	warmUp, length time.Duration
	connections    int
	// streams are held at once, each with so many frames in such a pace; they begin within ramp.
	streams, frames int
	pace, ramp      time.Duration
	// still is how long after its start, and after the load, a proxy's memory is looked at.
	still time.Duration
}

var (
	fullSizes = sizes{
		rounds: 9, heldRounds: 3, warmUp: 300 * time.Millisecond, length: 2 * time.Second, connections: 64,
		streams: 2000, frames: 200, pace: 20 * time.Millisecond, ramp: time.Second, still: 15 * time.Second,
	}
	quickSizes = sizes{
		rounds: 2, heldRounds: 1, warmUp: 50 * time.Millisecond, length: 250 * time.Millisecond, connections: 16,
		streams: 100, frames: 10, pace: 20 * time.Millisecond, ramp: 100 * time.Millisecond, still: 200 * time.Millisecond,
	}
)

const (
	// shortFrames in shortPace are the streams whose first tokens are timed.
	shortFrames = 20
	shortPace   = 2 * time.Millisecond
)

// round is what was measured of one opponent in one round.
type round struct {
	// single is one connection, many are all of them, stream is one connection with short streams; held is nil in most rounds.
	single, many, stream, held *outcome
	// perRequest is the processor time that the opponent took for a request under load.
	perRequest time.Duration
}

// memory is what an opponent had resident, in bytes.
type memory struct{ idle, loaded, recovered int64 }

// bench is one run.
type bench struct {
	sizes  sizes
	world  *world
	rounds map[opponentName][]round
	memory map[opponentName]*memory
}

// run measures everything, round by round, so that whatever else the machine does hits all alike.
func (b *bench) run(ctx context.Context, progress func(string)) error {
	if !rig.Pause(ctx, b.sizes.still) {
		return ctx.Err()
	}
	for _, one := range b.world.opponents {
		b.memory[one.name] = &memory{}
		if one.process != nil {
			b.memory[one.name].idle = rig.ResidentBytes(one.process.PID())
		}
	}
	for number := range b.sizes.rounds {
		turn := slices.Clone(b.world.opponents)
		turn = append(turn[number%len(turn):], turn[:number%len(turn)]...)
		for _, one := range turn {
			found, err := b.measure(ctx, one, number < b.sizes.heldRounds)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", one.name, err)
			}
			b.rounds[one.name] = append(b.rounds[one.name], found)
			progress(fmt.Sprintf("round %d, %s: %s\n", number+1, one.name, found))
		}
	}
	if !rig.Pause(ctx, b.sizes.still) {
		return ctx.Err()
	}
	for _, one := range b.world.opponents {
		if one.process != nil {
			b.memory[one.name].recovered = rig.ResidentBytes(one.process.PID())
		}
	}
	return nil
}

// measure measures one opponent in one round.
func (b *bench) measure(ctx context.Context, one *opponent, held bool) (round, error) {
	s := b.sizes
	var r round
	var errs error
	try := func(into **outcome, j job) {
		j.Address, j.Key = one.address, one.key
		found, err := b.load(ctx, one, j)
		*into, errs = found, errors.Join(errs, err)
	}
	try(&r.single, job{Connections: 1, WarmUp: s.warmUp, Length: s.length})
	try(&r.stream, job{Connections: 1, WarmUp: s.warmUp, Length: s.length, Frames: shortFrames, Pace: shortPace})
	before := b.cpu(one)
	try(&r.many, job{Connections: s.connections, WarmUp: s.warmUp, Length: s.length})
	if r.many != nil && r.many.Requests > 0 {
		// The requests of the warm-up are not counted, but cost as much.
		share := float64(s.length) / float64(s.length+s.warmUp)
		r.perRequest = time.Duration(float64(b.cpu(one)-before) * share / float64(r.many.Requests))
	}
	if held {
		try(&r.held, job{Connections: s.streams, Frames: s.frames, Pace: s.pace, Ramp: s.ramp})
	}
	return r, errs
}

func (b *bench) cpu(one *opponent) time.Duration {
	if one.process == nil {
		return 0
	}
	return rig.CPUTime(one.process.PID())
}

// load lets the load generator do a job, and looks at the opponent's memory meanwhile.
func (b *bench) load(ctx context.Context, one *opponent, j job) (*outcome, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	task, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encoding a job: %w", err)
	}
	var said, complaints bytes.Buffer
	command := exec.CommandContext(ctx, program, roleLoad) //nolint:gosec // It is this program.
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(task), &said, &complaints
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the load generator: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case err = <-ended:
		case <-time.After(100 * time.Millisecond):
			if one.process != nil {
				b.memory[one.name].loaded = max(b.memory[one.name].loaded, rig.ResidentBytes(one.process.PID()))
			}
			continue
		}
		break
	}
	if err != nil {
		return nil, fmt.Errorf("the load generator, at %s: %w: %s", task, err, complaints.String())
	}
	found := &outcome{}
	if err := json.Unmarshal(said.Bytes(), found); err != nil {
		return nil, fmt.Errorf("reading what came of a job: %w", err)
	}
	return found, nil
}

// String is for people at a terminal.
func (r round) String() string {
	var line strings.Builder
	fmt.Fprintf(&line, "p50 %s p99 %s, %.0f requests/s, first token %s, %s CPU a request",
		micro(r.single.Latency.P50), micro(r.single.Latency.P99), r.many.perSecond(), micro(r.stream.First.P50), r.perRequest)
	if r.held != nil {
		fmt.Fprintf(&line, ", held %d frames, late by p50 %s p99 %s", r.held.Frames, micro(r.held.Delay.P50), micro(r.held.Delay.P99))
	}
	for _, one := range []*outcome{r.single, r.many, r.stream, r.held} {
		if one != nil && one.Failures > 0 {
			fmt.Fprintf(&line, " !! %d failures, such as: %s", one.Failures, one.Example)
		}
	}
	return line.String()
}

func micro(nanoseconds int64) string { return fmt.Sprintf("%d µs", nanoseconds/1000) }

func (o *outcome) perSecond() float64 {
	if o.Elapsed <= 0 {
		return 0
	}
	return float64(o.Requests) / o.Elapsed.Seconds()
}
