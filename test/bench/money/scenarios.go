package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/modelroute/modelroute/test/bench/rig"
)

// scenario is what goes wrong while clients spend.
type scenario struct {
	name, what string
	mix        mix
	// silence is when the ledger takes a proxy for silent; 0 for the 30 s that it has by itself.
	silence time.Duration
	// chaos runs until ctx ends, and leaves everything running.
	chaos func(ctx context.Context, w *world, random *rand.Rand)
	// finale is how the load ends and the money comes back.
	finale finale
	// only is set for what there is with one store only.
	only storeKind
}

var (
	usual = mix{streamed: 50, unlimited: 5, think: 300 * time.Millisecond}
	rude  = mix{streamed: 60, unlimited: 5, hangUp: 15, slow: 3, broken: 6, think: 300 * time.Millisecond}
)

// shortSilence makes proxies silent by what a scenario does to them, in the time that it has.
const shortSilence = 3 * time.Second

var scenarios = []scenario{
	{name: "steady", what: "Nothing goes wrong.", mix: usual, chaos: calm, finale: leaveIdle},
	{name: "kill-proxies", what: "Proxies are killed (`kill -9`) at random and started again on their journals.",
		mix: usual, chaos: killProxies, finale: crashAll},
	{name: "kill-ledger", what: "The ledger is killed (`kill -9`) at random and started again.",
		mix: usual, chaos: killLedgers, finale: stopAll},
	{name: "kill-both", what: "Both at the same time.", mix: usual, chaos: together(killProxies, killLedgers), finale: crashAll},
	{name: "network", what: "The network between proxies and ledger is cut, stalls, or loses answers.",
		mix: usual, silence: shortSilence, chaos: cutNetwork, finale: stopAll},
	{name: "clients", what: "Clients hang up early or read slowly, and the upstream breaks off, resets, or says no usage.",
		mix: rude, chaos: calm, finale: stopAll},
	{name: "rollout", what: "Proxies are replaced one after the other, over and over: a new one with a new journal, then SIGTERM.",
		mix: usual, chaos: rollOut, finale: stopAll},
	{name: "lost-pod", what: "A proxy is killed and its journal is deleted.",
		mix: usual, silence: shortSilence, chaos: losePod, finale: loseAtEnd},
	{name: "database", what: "PostgreSQL is killed (`kill -9`) at random and started again.",
		mix: usual, chaos: killDatabase, finale: stopAll, only: postgresStore},
}

func scenarioNames() []string {
	names := make([]string, 0, len(scenarios))
	for _, one := range scenarios {
		names = append(names, one.name)
	}
	return names
}

// between is a random duration.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}

const (
	leastBreak = 250 * time.Millisecond
	mostBreak  = 1200 * time.Millisecond
)

func calm(ctx context.Context, _ *world, _ *rand.Rand) { <-ctx.Done() }

func killProxies(ctx context.Context, w *world, random *rand.Rand) {
	for rig.Pause(ctx, between(random, leastBreak, mostBreak)) {
		w.crash(random.IntN(replicas), between(random, 0, 500*time.Millisecond))
	}
}

func killLedgers(ctx context.Context, w *world, random *rand.Rand) {
	for rig.Pause(ctx, between(random, leastBreak, mostBreak)) {
		w.killLedger(random.IntN(len(w.ledgers)), between(random, 0, 800*time.Millisecond))
	}
}

// together does several things at the same time.
func together(all ...func(context.Context, *world, *rand.Rand)) func(context.Context, *world, *rand.Rand) {
	return func(ctx context.Context, w *world, random *rand.Rand) {
		var running sync.WaitGroup
		for _, one := range all {
			//nolint:gosec // Nothing secret comes of it.
			own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
			running.Go(func() { one(ctx, w, own) })
		}
		running.Wait()
	}
}

// cutNetwork breaks the network of one proxy, or of all, now and then for longer than the ledger takes for silence.
func cutNetwork(ctx context.Context, w *world, random *rand.Rand) {
	states := []link{linkCut, linkStalled, linkDeaf}
	for rig.Pause(ctx, between(random, leastBreak, mostBreak)) {
		first, last := 0, replicas-1
		if random.IntN(3) > 0 {
			first = random.IntN(replicas)
			last = first
		}
		state := states[random.IntN(len(states))]
		length := between(random, 50*time.Millisecond, time.Second)
		if random.IntN(4) == 0 {
			length += shortSilence
		}
		for i := first; i <= last; i++ {
			w.slots[i].relay.set(state)
		}
		rig.Pause(ctx, length)
		for i := first; i <= last; i++ {
			w.slots[i].relay.set(linkUp)
		}
	}
}

func rollOut(ctx context.Context, w *world, _ *rand.Rand) {
	for number := 0; rig.Pause(ctx, leastBreak); number++ {
		w.roll(number % replicas)
	}
}

func losePod(ctx context.Context, w *world, random *rand.Rand) {
	if rig.Pause(ctx, mostBreak) {
		w.lose(random.IntN(replicas))
	}
	<-ctx.Done()
}

func killDatabase(ctx context.Context, w *world, random *rand.Rand) {
	for rig.Pause(ctx, between(random, leastBreak, 2*mostBreak)) {
		w.note(w.database.server.restart(w.ctx, between(random, 0, 500*time.Millisecond)))
	}
}

// finale ends the load, and says what is stranded then and since when it should come back. More is done once the books were compared.
type finale func(w *world, stopLoad func(), r *result) (since time.Time, more func())

func nothing() {}

// leaveIdle lets the clients stop and nothing else: what is idle goes back by itself.
func leaveIdle(w *world, stopLoad func(), r *result) (time.Time, func()) {
	stopLoad()
	r.strand(w)
	return time.Now(), nothing
}

// stopAll ends every proxy in the middle of the load, cleanly.
func stopAll(w *world, stopLoad func(), r *result) (time.Time, func()) {
	r.strand(w)
	since := time.Now()
	w.stopProxies()
	stopLoad()
	return since, nothing
}

// crashAll kills every proxy in the middle of the load and starts them again.
func crashAll(w *world, stopLoad func(), r *result) (time.Time, func()) {
	for _, s := range w.slots {
		s.replica().Kill()
	}
	stopLoad()
	r.strand(w)
	since := time.Now()
	var running sync.WaitGroup
	for i, s := range w.slots {
		killed := s.replica()
		running.Go(func() { w.note(w.startProxy(i, killed.instance, killed.journal)) })
	}
	running.Wait()
	return since, nothing
}

// loseAtEnd loses a proxy in the middle of the load, with its journal. What the lost ones had is given up after the books were compared.
func loseAtEnd(w *world, stopLoad func(), r *result) (time.Time, func()) {
	since := time.Now()
	w.lose(0)
	stopLoad()
	r.strand(w)
	w.stopProxies()
	return since, func() {
		for _, id := range w.lost {
			w.note(rig.Await(w.ctx, "the ledger gives up on a lost proxy", rig.StartTime, func() bool { return w.releaseProxy(id) == nil }))
		}
		r.release(w)
	}
}
