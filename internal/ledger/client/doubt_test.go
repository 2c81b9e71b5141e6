package client_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// doubtful makes an attempt that the upstream named and whose cost is not known.
func doubtful(t *testing.T, c *client.Client, nano int64, generation string) *client.Hold {
	t.Helper()
	hold := reserve(t, c, nano)
	hold.Sent(generation)
	settle(t, hold, nano, client.Uncertain)
	return hold
}

func correct(t *testing.T, hold *client.Hold, nano int64) {
	t.Helper()
	if err := hold.Correct(money.FromNano(nano)); err != nil {
		t.Errorf("Correct: %v", err)
	}
}

// pastDoubts are the doubts that a client finds, by the upstream's id.
func pastDoubts(t *testing.T, c *client.Client) map[string]client.Doubt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found := map[string]client.Doubt{}
	for _, one := range c.PastDoubts(ctx) {
		if one.Route != route || one.Consumer != "alice" {
			t.Errorf("the doubt is of %+v of %s", one.Route, one.Consumer)
		}
		found[one.Generation] = one
	}
	if ctx.Err() != nil {
		t.Fatal("the ledger does not get what the earlier process left")
	}
	return found
}

// wantDoubts checks what is found, in nano-USD by the upstream's id.
func wantDoubts(t *testing.T, found map[string]client.Doubt, want map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for generation, one := range found {
		got[generation] = one.Amount.Nano()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the doubts are not those that were left (-want +got):\n%s", diff)
	}
}

func TestWhatADeadProcessLeftUncertainCanBeCorrectedOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	journals := journal.Options{Directory: t.TempDir()}
	c := start(t, l, journals)
	doubtful(t, c.Client, 100, "settled")
	correct(t, doubtful(t, c.Client, 200, "corrected"), 20)
	doubtful(t, c.Client, 400, "given up").GiveUp()
	settle(t, reserve(t, c.Client, 800), 800, client.Uncertain)
	reserve(t, c.Client, 1600).Sent("open")
	reserve(t, c.Client, 3200)
	known := reserve(t, c.Client, 6400)
	known.Sent("known")
	settle(t, known, 64, client.Exact)
	c.stop()

	c = start(t, l, journals)
	found := pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"settled": 100, "open": 1600})
	wantBooks(t, l, books{Settled: 20 + 64, Uncertain: 100 + 400 + 800 + 1600 + 3200})
	for range 2 {
		correct(t, found["settled"].Hold, 10)
	}
	c.stop() // Maybe before the ledger has it.

	c = start(t, l, journals)
	found = pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"open": 1600})
	wantBooks(t, l, books{Settled: 20 + 64 + 10, Uncertain: 400 + 800 + 1600 + 3200})
	correct(t, found["open"].Hold, 2000)
	c.stop()

	c = start(t, l, journals)
	wantDoubts(t, pastDoubts(t, c.Client), map[string]int64{})
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 20 + 64 + 10 + 2000, Uncertain: 400 + 800 + 3200})
}

func TestADoubtThatIsGivenUpOrCannotBeBelievedIsNotFoundAgain(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	journals := journal.Options{Directory: t.TempDir()}
	c := start(t, l, journals)
	doubtful(t, c.Client, 100, "one")
	doubtful(t, c.Client, 200, "two")
	doubtful(t, c.Client, 400, strings.Repeat("long", 100))
	c.stop()
	c = start(t, l, journals)
	found := pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"one": 100, "two": 200})
	found["one"].GiveUp()
	correct(t, found["one"].Hold, 1)
	if err := found["two"].Correct(money.FromNano(-1)); err == nil {
		t.Error("a negative cost was booked")
	}
	c.stop()
	c = start(t, l, journals)
	wantDoubts(t, pastDoubts(t, c.Client), map[string]int64{})
	wantBooks(t, l, books{Uncertain: 700})
}

func TestADoubtOutlivesTheSegmentsThatAreDeletedAndKeepsNone(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	journals := journal.Options{Directory: t.TempDir(), SegmentBytes: 4096}
	c := start(t, l, journals)
	// A segment has about ten attempts.
	spendMuch := func(c *proxy) {
		t.Helper()
		for range 20 {
			for range 10 {
				spend(t, c.Client, 1)
			}
			eventually(t, func() string {
				if owed := c.Owed(); owed > 0 {
					return fmt.Sprintf("%d records are owed", owed)
				}
				return ""
			})
		}
		if segments := c.journal.Status().Segments; segments > 6 {
			t.Errorf("the journal has %d segments", segments)
		}
	}
	own := doubtful(t, c.Client, 1000, "own")
	doubtful(t, c.Client, 2000, "left")
	spendMuch(c)
	correct(t, own, 10)
	c.stop()
	c = start(t, l, journals)
	found := pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"left": 2000})
	spendMuch(c)
	c.stop()
	c = start(t, l, journals)
	found = pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"left": 2000})
	correct(t, found["left"].Hold, 20)
	spendMuch(c)
	c.stop()
	c = start(t, l, journals)
	wantDoubts(t, pastDoubts(t, c.Client), map[string]int64{})
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 3*200 + 10 + 20})
}

func TestADoubtMovesToTheJournalOfAnotherIdentity(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond, Silence: time.Second})
	put(l, 1_000_000)
	journals := journal.Options{Directory: t.TempDir()}
	w := &wire{}
	c := start(t, l, journals, w.through)
	doubtful(t, c.Client, 1000, "moved")
	wantSpend(t, l, [3]int64{0, 1000, 0})
	before := c.journal.ProxyID()
	// The ledger hears nothing of the proxy, and an operator gives it up.
	w.breaks(func(string) (bool, bool) { return true, true })
	eventually(t, func() string {
		if err := l.ReleaseProxy(before); err != nil {
			return err.Error()
		}
		return ""
	})
	w.heal()
	// It learns that when it asks for money.
	eventually(t, func() string {
		if hold, err := c.Reserve(t.Context(), demand(900_000)); err == nil {
			settle(t, hold, 0, client.Exact)
		}
		if c.journal.ProxyID() == before {
			return "the proxy has the same identity"
		}
		return ""
	})
	spend(t, c.Client, 1)
	eventually(t, func() string {
		if c.Owed() > 0 {
			return "records are owed"
		}
		return ""
	})
	c.stop()
	c = start(t, l, journals)
	found := pastDoubts(t, c.Client)
	wantDoubts(t, found, map[string]int64{"moved": 1000})
	correct(t, found["moved"].Hold, 10)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 11})
}

func TestTheDoubtsOfAnOlderCopyOfAJournalStayAsTheyAre(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	journals, older := journal.Options{Directory: t.TempDir()}, journal.Options{Directory: t.TempDir()}
	c := start(t, l, journals)
	hold := doubtful(t, c.Client, 1000, "of the first")
	wantSpend(t, l, [3]int64{0, 1000, 0})
	copyJournal(t, journals.Directory, older.Directory)
	correct(t, hold, 10)
	closeClient(t, c.Client)
	c.stop()
	c = start(t, l, older)
	wantDoubts(t, pastDoubts(t, c.Client), map[string]int64{})
	spend(t, c.Client, 1)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 11})
}

// doubtUntilKilled makes attempts whose cost is known only much later, and tells of each.
func doubtUntilKilled(ctx context.Context, c *client.Client) error {
	waiting := []*client.Hold{}
	for _, one := range c.PastDoubts(ctx) {
		waiting = append(waiting, one.Hold)
	}
	for {
		hold, err := c.Reserve(ctx, demand(doubtHeld))
		if err != nil {
			tell("error 0", err)
			return err
		}
		hold.Sent("named")
		tell("held", 1)
		if err := hold.Settle(hold.Worst()); err != nil {
			return err
		}
		for waiting = append(waiting, hold); len(waiting) > 100; waiting = waiting[1:] {
			if err := waiting[0].Correct(money.FromNano(doubtCost)); err != nil {
				return err
			}
		}
	}
}

const (
	// doubtHeld is what is held for each attempt of doubtUntilKilled, and doubtCost what it turns out to cost.
	doubtHeld = 1_000_000
	doubtCost = 1
)

func TestProcessesThatAreKilledCorrectEachDoubtOnce(t *testing.T) {
	t.Parallel()
	for name, journals := range map[string]journal.Options{
		// What is deleted from the journal is what tells whether a doubt is written anew in time, and what is kept what became of each.
		"with a journal that is deleted": {SegmentBytes: 64 << 10},
		"with a journal that is kept":    {SegmentBytes: 64 << 10, RetainBytes: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Start(t)
			put(l, 1_000_000_000_000)
			journals.Directory = t.TempDir()
			var sum told
			const rounds = 16
			for round := range rounds {
				command := child(t, l, "doubt", journals.Directory)
				command.Env = append(command.Env, fmt.Sprintf("%s=%d", childRetain, journals.RetainBytes))
				spendAndDie(t, command, 1+rand.IntN([]int{1, 40, 300, 900}[round%4]), &sum)
			}
			c := start(t, l, journals)
			for _, one := range c.PastDoubts(t.Context()) {
				correct(t, one.Hold, doubtCost)
			}
			closeClient(t, c.Client)
			got := booksOf(l)
			// Each child may have been killed between the hold and the upstream's name for it, or before it told of it.
			unnamed := got.Uncertain / doubtHeld
			if got.Settled < sum.held || got.Settled > sum.held+rounds || got.Uncertain%doubtHeld != 0 || unnamed > rounds {
				t.Errorf("of %d attempts %d are corrected, and %d nano-USD are uncertain", sum.held, got.Settled, got.Uncertain)
			}
			c.stop()
			if journals.RetainBytes > 0 {
				correctedOnce(t, journals, got.Settled, unnamed)
			}
		})
	}
}

// correctedOnce reads a whole journal: each hold has one settlement, and one correction unless it has no name.
func correctedOnce(t *testing.T, journals journal.Options, corrected, unnamed int64) {
	t.Helper()
	kept, replay, err := journal.Open(journals)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	settlements, corrections := map[uint64]int{}, map[uint64]int{}
	for record, err := range replay.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if record.Number == 0 {
			continue
		}
		read := &ledgerpb.Record{}
		if err := proto.Unmarshal(record.Payload[8:], read); err != nil {
			t.Fatal(err)
		}
		switch hold := binary.LittleEndian.Uint64(record.Payload); {
		case read.GetSettlement().GetReplacesNanoUsd() > 0:
			corrections[hold]++
		case read.GetSettlement() != nil:
			settlements[hold]++
		}
	}
	for hold, count := range settlements {
		if count != 1 || corrections[hold] > 1 {
			t.Errorf("hold %d has %d settlements and %d corrections", hold, count, corrections[hold])
		}
	}
	if int64(len(corrections)) != corrected || int64(len(settlements)) != corrected+unnamed {
		t.Errorf("the journal has %d corrections and %d settlements, the ledger %d, and %d without a name",
			len(corrections), len(settlements), corrected, unnamed)
	}
}
