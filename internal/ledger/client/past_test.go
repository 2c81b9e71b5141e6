package client_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// left makes a journal that has a settlement of 40 that the ledger does not have yet, and an open hold of 200.
func left(t *testing.T, l *ledgertest.Ledger, journals journal.Options) (id string) {
	t.Helper()
	w := &wire{}
	c := start(t, l, journals, w.through)
	first, second := reserve(t, c.Client, 100), reserve(t, c.Client, 200)
	w.breaks(func(string) (bool, bool) { return true, true })
	settle(t, first, 40, client.Exact)
	if second.Worst().Amount.Nano() != 200 {
		t.Fatal("the hold is not what was asked for")
	}
	c.stop()
	return c.journal.ProxyID()
}

func TestAfterARebootWhatIsThereIsReportedAndNothingIsReleased(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Silence: time.Second})
	put(l, 1000)
	journals := journal.Options{Directory: t.TempDir(), BootID: "one"}
	before := left(t, l, journals)
	journals.BootID = "another"
	c := start(t, l, journals)
	eventually(t, func() string {
		if booksOf(l).Settled == 40 {
			return ""
		}
		return "the settlement does not arrive"
	})
	spend(t, c.Client, 10)
	if after := c.journal.ProxyID(); after == before {
		t.Error("the proxy has the same identity")
	}
	closeClient(t, c.Client)
	got := booksOf(l)
	if out := got.Leased + got.Stranded; out < 260 || got.Settled != 50 || got.Uncertain != 0 {
		t.Errorf("the books are %+v, of which %d are out; want at least the 200 that were held and 60 of the other", got, out)
	}
	// The old identity falls silent, and an operator gives it up when the upstream's books were looked at.
	eventually(t, func() string {
		if err := l.ReleaseProxy(before); err != nil {
			return err.Error()
		}
		return ""
	})
	wantBooks(t, l, books{Settled: 50})
}

func TestOfADamagedJournalWhatCanBeReadIsReportedAndItIsSetAside(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	directory := t.TempDir()
	before := left(t, l, journal.Options{Directory: directory})
	// Two whole records are put behind the end, and the first of them is broken.
	whole := segmentOf(t, directory)
	extra := start(t, l, journal.Options{Directory: directory}, offline)
	eventually(t, func() string {
		if len(segmentOf(t, directory)) > len(whole) {
			return ""
		}
		return "nothing was appended"
	})
	extra.stop()
	damaged := segmentOf(t, directory)
	damaged[len(whole)+30] ^= 0xff
	if err := os.WriteFile(segmentPath(t, directory), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, l, journal.Options{Directory: directory})
	spend(t, c.Client, 10)
	if after := c.journal.ProxyID(); after == before {
		t.Error("the proxy has the same identity")
	}
	closeClient(t, c.Client)
	if got := booksOf(l); got.Settled != 50 || got.Leased+got.Stranded < 260 {
		t.Errorf("the books are %+v", got)
	}
	if found, err := filepath.Glob(filepath.Join(directory, "damaged-*")); err != nil || len(found) != 1 {
		t.Errorf("set aside are %v: %v", found, err)
	}
}

// offline keeps a client from calling.
func offline(o *client.Options) {
	w := &wire{}
	w.through(o)
	w.breaks(func(string) (bool, bool) { return true, true })
}

func TestALedgerThatWasRestoredGetsWhatItLost(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 100_000)
	journals := journal.Options{Directory: t.TempDir(), SegmentBytes: 4096, RetainBytes: 1 << 20}
	c := start(t, l, journals)
	spend(t, c.Client, 10)
	wantSpend(t, l, [3]int64{10, 0, 0})
	restore := l.Backup()
	for range 100 {
		spend(t, c.Client, 10)
	}
	wantSpend(t, l, [3]int64{1010, 0, 0})
	restore()
	wantSpend(t, l, [3]int64{1010, 0, 0})
	spend(t, c.Client, 10)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 1020})
}

func TestALedgerThatLacksWhatWasDeletedGetsTheRestUnderAnotherIdentity(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 100_000)
	// Nothing is retained, and a segment has about 25 settlements.
	c := start(t, l, journal.Options{SegmentBytes: 4096})
	spend(t, c.Client, 10)
	wantSpend(t, l, [3]int64{10, 0, 0})
	restore := l.Backup()
	before := c.journal.ProxyID()
	for range 4 {
		for range 50 {
			spend(t, c.Client, 10)
		}
		eventually(t, func() string {
			if booksOf(l).Settled%500 == 10 {
				return ""
			}
			return "the settlements do not arrive"
		})
	}
	wantSpend(t, l, [3]int64{2010, 0, 0})
	if segments := c.journal.Status().Segments; segments > 3 {
		t.Fatalf("nothing was deleted: %d segments", segments)
	}
	hold := reserve(t, c.Client, 70)
	restore()
	settle(t, hold, 70, client.Exact)
	eventually(t, func() string {
		if c.journal.ProxyID() != before {
			return ""
		}
		return "the proxy has the same identity"
	})
	spend(t, c.Client, 5)
	closeClient(t, c.Client)
	// What is in the last segment came again, and what was new.
	if got := booksOf(l).Settled; got < 10+70+5 || got >= 2010+75 || got%10 != 5 {
		t.Errorf("%d are settled", got)
	}
}

func TestALedgerThatHasMoreThanTheJournalMissesNothingNew(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 100_000)
	directory, older := t.TempDir(), t.TempDir()
	c := start(t, l, journal.Options{Directory: directory})
	spend(t, c.Client, 10)
	reserve(t, c.Client, 300)
	wantSpend(t, l, [3]int64{10, 0, 300})
	c.stop()
	copyJournal(t, directory, older)
	c = start(t, l, journal.Options{Directory: directory})
	for range 20 {
		spend(t, c.Client, 10)
	}
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 210, Uncertain: 300})
	before := c.journal.ProxyID()
	c.stop()
	// An older copy of the volume: the numbers that it gives out next were given out.
	c = start(t, l, journal.Options{Directory: older})
	for range 20 {
		spend(t, c.Client, 7)
	}
	if c.journal.ProxyID() == before {
		t.Error("the proxy has the same identity")
	}
	closeClient(t, c.Client)
	// The open hold in the copy is booked again: it is uncertain whether it is the same.
	wantBooks(t, l, books{Settled: 350, Uncertain: 600})
}

func copyJournal(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestOfTwinsWithOneJournalOneGetsAnotherIdentity(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	put(l, 100_000)
	directory, copied := t.TempDir(), t.TempDir()
	c := start(t, l, journal.Options{Directory: directory})
	spend(t, c.Client, 10)
	wantSpend(t, l, [3]int64{10, 0, 0})
	copyJournal(t, directory, copied)
	hold := reserve(t, c.Client, 100)
	twin := start(t, l, journal.Options{Directory: copied})
	for range 20 {
		spend(t, twin.Client, 10)
	}
	closeClient(t, twin.Client)
	settle(t, hold, 100, client.Exact)
	eventually(t, func() string {
		if c.journal.ProxyID() != twin.journal.ProxyID() {
			return ""
		}
		return fmt.Sprintf("both are %s", c.journal.ProxyID())
	})
}

func TestARecordThatWaitsForTheLedgerIsReadFromTheJournal(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000_000)
	directory := t.TempDir()
	w := &wire{}
	c := start(t, l, journal.Options{Directory: directory, SegmentBytes: 64 << 10}, w.through)
	hold := reserve(t, c.Client, 1_000_000)
	w.breaks(func(string) (bool, bool) { return true, true })
	settle(t, hold, 1, client.Exact)
	for range 3000 {
		spend(t, c.Client, 10)
	}
	c.stop()
	c = start(t, l, journal.Options{Directory: directory})
	wantBooks(t, l, books{Settled: 30_001})
	if segments := c.journal.Status().Segments; segments > 2 {
		t.Errorf("%d segments are left", segments)
	}
}
