package leasemodel

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// bound allows a kind of step so many times.
type bound struct {
	kind  stepKind
	times int8
}

// with returns the scenario with a rule broken and some steps allowed.
func (c config) with(f flaw, bounds ...bound) *config {
	c.flaw |= f
	for _, b := range bounds {
		c.allowed[b.kind] = b.times
	}
	return &c
}

// The tiny worlds: one budget of two units.
var (
	alone     = config{machines: 1, masks: []int8{1}, amounts: []units{2}, limits: [accounts]units{2, 2}}
	pair      = config{machines: 2, masks: []int8{1}, amounts: []units{2}, limits: [accounts]units{2, 2}}
	cents     = config{machines: 1, masks: []int8{1}, amounts: []units{1}, limits: [accounts]units{2, 2}}
	pairCents = config{machines: 2, masks: []int8{1}, amounts: []units{1}, limits: [accounts]units{2, 2}}
	shared    = config{machines: 2, masks: []int8{1, 3}, amounts: []units{1}, limits: [accounts]units{2, 1}}
	skewed    = config{machines: 1, masks: []int8{1}, amounts: []units{2}, limits: [accounts]units{2, 2}, skewed: true}
	indebted  = config{machines: 2, masks: []int8{1}, amounts: []units{1, 2}, limits: [accounts]units{2, 2}, debts: true, changed: []units{1, 3}}
	fenced    = config{machines: 1, masks: []int8{1}, amounts: []units{2}, limits: [accounts]units{2, 2}, fenced: true}
	pipelined = config{machines: 1, masks: []int8{1}, amounts: []units{2}, limits: [accounts]units{2, 2}, pipelined: true}
)

// wide is the large world: three proxies, a route and consumers of it, limits that change, debts, batches that overtake each other.
var wide = config{
	machines: 3, masks: []int8{1, 2, 3}, amounts: []units{1, 2, 3}, limits: [accounts]units{7, 5}, changed: []units{3, 9}, extra: true,
	pipelined: true, skewed: true,
}

func TestTheProtocolHoldsInEveryInterleaving(t *testing.T) {
	for name, c := range map[string]*config{
		"a process is killed and started": pair.with(0, bound{draws, 2}, bound{holds, 2}, bound{crashes, 1}, bound{starts, 1}, bound{openServed, 2}),
		"killed twice":                    alone.with(0, bound{draws, 2}, bound{holds, 2}, bound{crashes, 2}, bound{starts, 2}, bound{openServed, 3}),
		"a machine reboots":               pair.with(0, bound{draws, 2}, bound{holds, 2}, bound{reboots, 1}, bound{starts, 1}, bound{openServed, 2}),
		"killed, then rebooted": alone.with(0, bound{draws, 2}, bound{holds, 2}, bound{crashes, 1}, bound{reboots, 1}, bound{starts, 2},
			bound{openServed, 2}),
		"a fence in place of waiting": fenced.with(drawsBeforeRelease|stopsDuringDraw, bound{draws, 3}, bound{holds, 2}, bound{crashes, 1},
			bound{stopsCleanly, 1}, bound{starts, 1}, bound{openServed, 2}),
		"silence and an operator": pair.with(0, bound{draws, 2}, bound{holds, 1}, bound{fallsSilent, 1}, bound{isReleased, 1}, bound{openServed, 1}),
		"a clean stop":            pairCents.with(0, bound{draws, 3}, bound{holds, 1}, bound{stopsCleanly, 1}, bound{starts, 1}, bound{openServed, 1}),
		"two accounts":            shared.with(0, bound{draws, 2}, bound{holds, 1}, bound{returns, 1}),
		"the window ends":         pair.with(0, bound{draws, 2}, bound{holds, 1}, bound{asksAgain, 1}, bound{rolls, 1}, bound{expires, 1}, bound{returns, 1}),
		"the window is edited":    pair.with(0, bound{draws, 2}, bound{holds, 2}, bound{edits, 1}, bound{returns, 1}),
		"debts and other limits":  indebted.with(0, bound{draws, 2}, bound{holds, 1}, bound{changesLimit, 1}),
		"batches overtake":        pipelined.with(0, bound{draws, 3}, bound{holds, 3}, bound{returns, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := explore(c, 60000)
			if result.broken != "" || !result.complete {
				t.Fatal(result)
			}
			t.Log(result)
		})
	}
}

// restartable is enough to kill a proxy that holds, to start it, and to hold again.
var restartable = []bound{{draws, 2}, {holds, 2}, {crashes, 1}, {starts, 1}, {openServed, 1}}

// rebooted is enough to reboot a proxy that holds, and to start it.
var rebooted = []bound{{draws, 1}, {holds, 2}, {reboots, 1}, {starts, 1}, {openServed, 2}}

func TestTheExplorationCatchesEveryFlaw(t *testing.T) {
	for name, c := range map[string]*config{
		"draws before its ReleaseAll is applied": alone.with(drawsBeforeRelease, restartable...),
		"stops while a draw is under way":        alone.with(stopsDuringDraw, bound{draws, 1}, bound{stopsCleanly, 1}),
		"opens a session without its leases":     alone.with(reopensBlindly, bound{draws, 1}, bound{starts, 1}, bound{crashes, 1}, bound{openServed, 3}),
		"counts validity from the repeat":        alone.with(validFromRepeat, bound{draws, 1}, bound{asksAgain, 1}, bound{holds, 1}, bound{rolls, 1}),
		"edits a window without its leases":      pair.with(windowsOverlap, bound{draws, 2}, bound{edits, 1}),
		"books by the proxy's clock":             skewed.with(booksByClock, bound{draws, 1}, bound{holds, 1}),
		"serves after an operator's release":     alone.with(servesWhenGone, bound{draws, 1}, bound{fallsSilent, 1}, bound{isReleased, 1}),
		"opens no session after an operator's release": cents.with(refusesGone, bound{draws, 1}, bound{fallsSilent, 1}, bound{isReleased, 1},
			bound{crashes, 1}, bound{starts, 1}, bound{openServed, 1}),
		"applies repeats":                            alone.with(appliesRepeats, bound{draws, 2}, bound{holds, 2}),
		"applies after a gap":                        pipelined.with(appliesGaps, bound{draws, 2}, bound{holds, 2}),
		"ignores sessions":                           alone.with(ignoresSessions, restartable...),
		"frees leases on silence":                    alone.with(freesOnSilence, bound{draws, 1}, bound{fallsSilent, 1}),
		"forgets that a silent proxy was uncertain":  alone.with(silenceForgotten, bound{draws, 2}, bound{fallsSilent, 1}),
		"releases after a reboot":                    alone.with(releasesAfterReboot, rebooted...),
		"settles open holds after a reboot":          alone.with(settlesAfterReboot, rebooted...),
		"sends before the hold is in the journal":    alone.with(sendsBeforeJournal, restartable...),
		"sends a record before it is in the journal": cents.with(sendsBeforeWriting, append(restartable, bound{returns, 1})...),
		"counts validity from the answer":            alone.with(validFromAnswer, bound{draws, 1}, bound{holds, 1}, bound{rolls, 1}),
		"grants without the invariant":               pair.with(grantsFreely, bound{draws, 2}),
		"does not remember a draw's answer":          cents.with(forgetsAnswers, bound{draws, 1}),
		"serves draws out of order":                  cents.with(drawsOutOfOrder, bound{draws, 2}, bound{holds, 1}),
		"keeps the sequence of the session before":   alone.with(keepsSequence, restartable...),
		"gives a draw up":                            alone.with(givesUpDraws, bound{draws, 1}, bound{givesUp, 1}),
		"releases all while something is held":       alone.with(releasesHeld, bound{draws, 2}, bound{holds, 2}, bound{stopsCleanly, 1}),
		"forgets open holds at the replay":           alone.with(forgetsOpenHolds, restartable...),
		"keeps what it returned":                     alone.with(keepsReturned, bound{draws, 1}, bound{returns, 1}),
		"takes the whole hold from the lease":        alone.with(takesWholeHold, bound{draws, 1}, bound{holds, 1}),
		"takes a debt from the lease":                indebted.with(takesDebt, bound{draws, 2}, bound{holds, 1}),
		"holds in one account of two":                shared.with(holdsHalf, bound{draws, 1}, bound{holds, 1}),
		"leases to a proxy that was released":        alone.with(drawsWhenGone, bound{draws, 1}, bound{fallsSilent, 1}, bound{isReleased, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			result := explore(c, 12000)
			if result.broken == "" {
				t.Fatal("nothing is found", result)
			}
			t.Log(result)
			sound := *c
			sound.flaw = 0
			if result := explore(&sound, 1000); result.broken != "" {
				t.Error("and without the flaw, too:", result)
			}
		})
	}
}

// anything allows every step of the large world.
func anything(flaws flaw, restores bool) *config {
	c := wide
	for kind := range c.allowed {
		c.allowed[kind] = 30
	}
	for _, kind := range []stepKind{crashes, reboots, isReleased, fallsSilent, changesLimit, stopsCleanly} {
		c.allowed[kind] = 3
	}
	c.allowed[rolls], c.allowed[edits] = 1, 1
	if restores {
		c.allowed[isReleased], c.allowed[edits] = 0, 0
	}
	c.flaw = flaws
	return &c
}

func TestTheProtocolHoldsOnRandomWalks(t *testing.T) {
	for name, restores := range map[string]bool{"the ledger is never restored": false, "the ledger is restored from a backup": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				c := anything(0, restores)
				c.debts, c.trimmed = rapid.Bool().Draw(t, "debts"), rapid.Bool().Draw(t, "trimmed")
				choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
				if result := walk(c, choose, 80, restores); result.broken != "" {
					t.Fatal(result)
				}
			})
		})
	}
}

// Fixed walks go further than those of rapid, which are there to be shrunk. Some flaws show only after a restore, which is for walks alone.
func TestLongWalksCatchWhatBelongsToThem(t *testing.T) {
	for name, test := range map[string]struct {
		flaw     flaw
		restores bool
		caught   bool
	}{
		"the protocol":                                {0, false, false},
		"the protocol, after a restore":               {0, true, false},
		"a fence in place of waiting":                 {drawsBeforeRelease | stopsDuringDraw, false, false},
		"a proxy draws before it is covered":          {drawsUncovered, true, true},
		"a late answer of an ended session is heeded": {heedsEndedSessions, true, true},
		"a proxy hides which records it forgot":       {hidesOldest, true, true},
		"the sessions of the backup are taken up":     {sessionsOutliveRestore, true, true},
		"a session is opened without its leases":      {reopensBlindly, true, true},
		"a restarted proxy draws before its release":  {drawsBeforeRelease, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 2))
			c := anything(test.flaw, test.restores)
			c.fenced = test.flaw&stopsDuringDraw != 0
			c.trimmed = true
			tries := 800
			if test.caught {
				tries = 4000
			}
			for tried := range tries {
				if result := walk(c, random.IntN, 100, test.restores); result.broken != "" {
					if !test.caught {
						t.Fatal(result)
					}
					t.Log("caught by walk", tried, result.broken)
					return
				}
			}
			if test.caught {
				t.Error("nothing is found")
			}
		})
	}
}
