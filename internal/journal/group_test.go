package journal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// awaitMembers waits until that many appends have joined the group that gathers.
func awaitMembers(t testing.TB, j *Journal, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		j.mu.Lock()
		got := len(j.gathering.members)
		j.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d appends wait, want %d", got, want)
		}
	}
}

// behindAWrite starts the appends while a write is kept waiting, so that they are one group, and lets both go.
func behindAWrite(t testing.TB, j *Journal, disk *modelDisk, appends ...func()) {
	t.Helper()
	gate := make(chan struct{})
	disk.set(func() { disk.gate = gate })
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := j.AppendEssential(Entry{Kind: 1}); err != nil {
			t.Error(err)
		}
	})
	awaitWrite(t, j)
	for i, appending := range appends {
		all.Go(appending)
		awaitMembers(t, j, i+1)
	}
	disk.set(func() { disk.gate = nil })
	close(gate)
	all.Wait()
}

// awaitWrite waits until a write is under way and the group behind it is empty.
func awaitWrite(t testing.TB, j *Journal) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if !j.writing.TryLock() {
			j.mu.Lock()
			empty := len(j.gathering.members) == 0
			j.mu.Unlock()
			if empty {
				return
			}
		} else {
			j.writing.Unlock()
		}
		if time.Now().After(deadline) {
			t.Fatal("no write is under way")
		}
	}
}

func TestAppendsThatWaitAreWrittenAtOnce(t *testing.T) {
	options := testOptions(t.TempDir())
	options.SegmentBytes = 1 << 20
	disk := newModelDisk()
	options.disk = disk
	j, _ := mustOpen(t, options)
	const waiting = 50
	written := make([]Written, waiting)
	var appends []func()
	for i := range waiting {
		appends = append(appends, func() {
			var err error
			payload := []byte(fmt.Sprint(i))
			if written[i], err = j.Append(Entry{Kind: 1, Payload: payload}, Entry{Kind: 2, Numbered: true, Payload: payload}); err != nil {
				t.Error(err)
			}
		})
	}
	behindAWrite(t, j, disk, appends...)
	if disk.writes != 2 {
		t.Errorf("the first and the %d that waited took %d writes", waiting, disk.writes)
	}
	records, err := tail(j, 1)
	if err != nil || len(records) != waiting {
		t.Fatalf("%d records: %v", len(records), err)
	}
	for i, one := range written {
		if one.First == 0 || records[one.First-1].Payload != fmt.Sprint(i) {
			t.Errorf("append %d was told %+v", i, one)
		}
	}
}

func TestManyAppendAndReadAndTrimAtOnce(t *testing.T) {
	const writers, each = 16, 300
	options := testOptions(t.TempDir())
	options.SegmentBytes = 16 << 10
	options.RetainBytes = 1 << 30
	j, _ := mustOpen(t, options)
	var all, reading sync.WaitGroup
	stop := make(chan struct{})
	reading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			next := j.Status().Next
			if _, err := tail(j, max(next, 20)-19); err != nil {
				t.Error(err)
			}
			if err := j.Trim(next-1, j.End()); err != nil {
				t.Error(err)
			}
		}
	})
	numbers := make([][]uint64, writers)
	for w := range writers {
		all.Go(func() {
			for i := range each {
				payload := fmt.Appendf(nil, "%d/%d", w, i)
				written, err := j.Append(Entry{Kind: 1, Payload: payload}, Entry{Kind: 2, Numbered: true, Payload: payload})
				if err != nil {
					t.Error(err)
				}
				numbers[w] = append(numbers[w], written.First)
			}
		})
	}
	all.Wait()
	close(stop)
	reading.Wait()
	mustDo(t, j.Close())
	again, replay := mustOpen(t, options)
	if _, err := recordsOf(replay); err != nil || replay.Torn != nil {
		t.Errorf("%+v: %v", replay, err)
	}
	records, err := tail(again, 1)
	if err != nil || len(records) != writers*each {
		t.Fatalf("%d records: %v", len(records), err)
	}
	for w := range numbers {
		for i, number := range numbers[w] {
			if want := fmt.Sprintf("%d/%d", w, i); records[number-1].Payload != want {
				t.Errorf("number %d is %s, want %s", number, records[number-1].Payload, want)
			}
		}
	}
}

func TestCloseRefusesThoseWhoWait(t *testing.T) {
	options := testOptions(t.TempDir())
	disk := newModelDisk()
	options.disk = disk
	j, _ := mustOpen(t, options)
	j.writing.Lock()
	var waiting error
	var all sync.WaitGroup
	all.Go(func() { _, waiting = j.Append(Entry{Kind: 1}) })
	awaitMembers(t, j, 1)
	j.mu.Lock()
	j.refusal = ErrClosed
	j.mu.Unlock()
	j.writing.Unlock()
	all.Wait()
	if !errors.Is(waiting, ErrClosed) {
		t.Errorf("an append that waited for a journal that was closed: %v", waiting)
	}
	mustDo(t, errors.Join(j.active.Close(), j.held.Close()))
}

func TestAnAppendAllocatesNothing(t *testing.T) {
	options := testOptions(t.TempDir())
	options.SegmentBytes = 0
	j, _ := mustOpen(t, options)
	payload := make([]byte, 200)
	average := testing.AllocsPerRun(1000, func() {
		if _, err := j.Append(Entry{Kind: 1, Payload: payload}, Entry{Kind: 2, Numbered: true, Payload: payload}); err != nil {
			t.Fatal(err)
		}
	})
	if average != 0 {
		t.Errorf("an append allocates %v times", average)
	}
}

// TestAJournalIsItsAcknowledgedAppends does anything in any order and compares the journal with a list.
func TestAJournalIsItsAcknowledgedAppends(t *testing.T) {
	directory := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		w := &model{options: freshOptions(rt, directory), disk: newModelDisk(), next: 1}
		w.options.ReserveBytes = 8 << 10
		w.options.disk = w.disk
		w.open(rt)
		defer func() {
			if err := w.j.Close(); err != nil {
				rt.Error(err)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"append": w.append,
			"space": func(t *rapid.T) {
				w.disk.space = rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Just(int64(1<<30))).Draw(t, "space")
			},
			"truncating": func(t *rapid.T) { w.disk.truncating = rapid.SampledFrom([]error{nil, errTest}).Draw(t, "truncating") },
			"reopen":     w.reopen,
			"":           w.check,
		})
	})
}

// model is a journal and what must be in it.
type model struct {
	options Options
	disk    *modelDisk
	j       *Journal
	records []plain
	next    uint64
}

func (w *model) open(t *rapid.T) {
	j, replay, err := Open(w.options)
	if err != nil || replay.Damage != nil {
		t.Fatalf("%+v: %v", replay, err)
	}
	records, err := recordsOf(replay)
	if err != nil || len(records) < len(w.records) {
		t.Fatalf("%d records, want %d: %v", len(records), len(w.records), err)
	}
	for i := range w.records {
		if records[i] != w.records[i] {
			t.Fatalf("record %d is %+v, want %+v", i, records[i], w.records[i])
		}
	}
	// Of an append that failed there may be whole records, if what it left could not be cut off before the end.
	if len(records) > len(w.records) && (w.j == nil || !w.j.dirty) {
		t.Fatalf("%d records, want %d", len(records), len(w.records))
	}
	w.j, w.records, w.next = j, records, replay.Next
}

func (w *model) append(t *rapid.T) {
	entries := rapid.SliceOfN(entryGen(400), 1, 3).Draw(t, "entries")
	essential := rapid.Bool().Draw(t, "essential")
	roomy := w.disk.space > 1<<20
	written, err := w.j.append(essential, entries)
	if err != nil {
		if !errors.Is(err, ErrFull) && !errors.Is(err, errTest) || roomy && w.disk.truncating == nil {
			t.Fatalf("with %d bytes free: %v", w.disk.space, err)
		}
		return
	}
	first := uint64(0)
	for _, entry := range entries {
		record := plain{Kind: entry.Kind, Payload: string(entry.Payload)}
		if entry.Numbered {
			record.Number = w.next
			if first == 0 {
				first = w.next
			}
			w.next++
		}
		w.records = append(w.records, record)
	}
	if written.First != first {
		t.Fatalf("first is %d, want %d", written.First, first)
	}
}

func (w *model) reopen(t *rapid.T) {
	if err := w.j.Close(); err != nil {
		t.Fatal(err)
	}
	w.disk.truncating = nil
	w.open(t)
}

func (w *model) check(t *rapid.T) {
	from := rapid.Uint64Range(1, w.next).Draw(t, "from")
	got, err := tail(w.j, from)
	if err != nil {
		t.Fatal(err)
	}
	var want []plain
	for _, record := range w.records {
		if record.Number >= from {
			want = append(want, record)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records from %d, want %d", len(got), from, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%+v, want %+v", got[i], want[i])
		}
	}
}
