package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func fullWorld(t *testing.T) (*Journal, *modelDisk, Options) {
	t.Helper()
	options := testOptions(t.TempDir())
	options.SegmentBytes = 1 << 20
	disk := newModelDisk()
	options.disk = disk
	j, _ := mustOpen(t, options)
	return j, disk, options
}

func TestAFullDiskDeniesTheNewAndFinishesTheOld(t *testing.T) {
	j, disk, options := fullWorld(t)
	entry := Entry{Kind: 2, Numbered: true, Payload: make([]byte, 1000)}
	mustAppend(t, j, entry)
	disk.set(func() { disk.space = 500 })
	if _, err := j.Append(entry); !errors.Is(err, ErrFull) || !j.Status().Reserved {
		t.Errorf("appending to a full disk: %v; the reserve must not be touched", err)
	}
	if written, err := j.AppendEssential(entry); err != nil || written.First != 2 {
		t.Errorf("an essential append on a full disk is %+v: %v", written, err)
	}
	if _, err := j.Append(Entry{Kind: 1}); !errors.Is(err, ErrFull) || j.Status().Reserved {
		t.Errorf("appending while the reserve is used: %v", err)
	}
	for {
		if _, err := j.AppendEssential(entry); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Errorf("the reserve is used up: %v", err)
			}
			break
		}
	}
	if next := j.Status().Next; next < uint64(options.ReserveBytes/1100) {
		t.Errorf("the reserve held only %d records", next)
	}
	disk.set(func() { disk.space = 2 * options.ReserveBytes })
	if written := mustAppend(t, j, entry); written.First != j.Status().Next-1 || !j.Status().Reserved {
		t.Errorf("with space again it is %+v", j.Status())
	}
}

func TestTheEssentialOfAMixedGroupIsWritten(t *testing.T) {
	j, disk, _ := fullWorld(t)
	var written [2]Written
	var ordinary, essential [2]error
	entry := Entry{Kind: 2, Numbered: true, Payload: make([]byte, 1000)}
	behindAWrite(t, j, disk,
		func() {
			disk.set(func() { disk.space = 1500 })
			_, ordinary[0] = j.Append(entry)
		},
		func() { written[0], essential[0] = j.AppendEssential(entry, entry) },
		func() { _, ordinary[1] = j.Append(entry) },
		func() { written[1], essential[1] = j.AppendEssential(entry) },
	)
	for i := range 2 {
		if !errors.Is(ordinary[i], ErrFull) || essential[i] != nil {
			t.Errorf("ordinary: %v; essential: %v", ordinary[i], essential[i])
		}
	}
	if written[0].First != 1 || written[1].First != 3 || j.Status().Next != 4 {
		t.Errorf("the essential ones are %+v, and the journal %+v", written, j.Status())
	}
	records, err := tail(j, written[1].First)
	if err != nil || len(records) != 1 {
		t.Errorf("%d records: %v", len(records), err)
	}
}

func TestAFailedWriteLeavesTheJournalAsItWas(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(disk *modelDisk)
		full bool
	}{
		"a full disk in the middle of a record": {func(disk *modelDisk) { disk.space = 1030 }, true},
		"an error of the disk":                  {func(disk *modelDisk) { disk.writing = fmt.Errorf("writing: %w", syscall.EIO) }, false},
		"a full disk that cannot be cut": {func(disk *modelDisk) {
			disk.space = 1030
			disk.truncating = syscall.EIO
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			j, disk, options := fullWorld(t)
			entry := Entry{Kind: 2, Numbered: true, Payload: make([]byte, 1000)}
			first := mustAppend(t, j, entry)
			end := j.End()
			disk.set(func() { test.fail(disk) })
			if _, err := j.Append(entry, entry); err == nil || errors.Is(err, ErrFull) != test.full {
				t.Errorf("the append: %v", err)
			}
			if j.End() != end {
				t.Errorf("the end is %+v, want %+v", j.End(), end)
			}
			// A death now leaves at most whole records that nobody was told of, and a torn one.
			killed, replay := mustOpen(t, testOptions(copyJournal(t, options.Directory)))
			records, err := recordsOf(replay)
			if err != nil || replay.Damage != nil || records[0].Number != first.First || killed.Status().Next != uint64(len(records)+1) {
				t.Errorf("a copy has %d records, %+v: %v", len(records), replay, err)
			}
			disk.set(func() { disk.space, disk.writing = 1<<40, nil })
			if disk.truncating != nil {
				if _, err := j.AppendEssential(entry); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrFull) {
					t.Errorf("appending behind rubbish: %v", err)
				}
				disk.set(func() { disk.truncating = nil })
			}
			if written := mustAppend(t, j, entry); written.First != 2 || written.Position != end {
				t.Errorf("the next is %+v", written)
			}
			mustDo(t, j.Close())
			_, replay = mustOpen(t, options)
			if records, err := recordsOf(replay); err != nil || len(records) != 2 || replay.Torn != nil {
				t.Errorf("%d records, %+v: %v", len(records), replay, err)
			}
		})
	}
}

func TestAJournalWithoutSpaceForItsReserveFinishesTheOld(t *testing.T) {
	options := testOptions(t.TempDir())
	disk := newModelDisk()
	disk.space = options.ReserveBytes
	options.disk = disk
	j, _ := mustOpen(t, options)
	if _, err := j.Append(Entry{Kind: 1}); !errors.Is(err, ErrFull) || j.Status().Reserved {
		t.Errorf("appending without a reserve: %v", err)
	}
	if _, err := j.AppendEssential(Entry{Kind: 1}); err != nil {
		t.Error(err)
	}
	disk.set(func() { disk.space = 1 << 30 })
	mustAppend(t, j, Entry{Kind: 1})
}

func TestTheReserveIsReallyOnDisk(t *testing.T) {
	const size = 100_000
	path := filepath.Join(t.TempDir(), reserveName)
	isOwned := func() bool {
		opened, err := os.Open(path)
		mustDo(t, err)
		defer func() { mustDo(t, opened.Close()) }()
		return owned(opened, size)
	}
	mustDo(t, os.WriteFile(path, nil, 0o600))
	mustDo(t, os.Truncate(path, size))
	if isOwned() {
		t.Error("a hole passes for space")
	}
	mustDo(t, realDisk{}.allocate(path, size))
	if !isOwned() {
		t.Error("allocating gave it no space")
	}
	mustDo(t, realDisk{}.free(path))
	if isOwned() {
		t.Error("freeing left it its space")
	}
	opened, err := os.OpenFile(path, os.O_RDWR, 0o600)
	mustDo(t, err)
	mustDo(t, errors.Join(fill(opened, size), opened.Sync(), opened.Close()))
	if !isOwned() {
		t.Error("filling gave it no space")
	}
	if err := (realDisk{}).allocate(path, 1<<60); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocating more than there is: %v", err)
	}
}

func TestASegmentGrowsWhereNoOtherCanBeBegun(t *testing.T) {
	options := testOptions(t.TempDir())
	disk := newModelDisk()
	options.disk = disk
	j, _ := mustOpen(t, options)
	disk.set(func() { disk.opening = errTest })
	entry := Entry{Kind: 1, Payload: make([]byte, 500)}
	for range 30 {
		mustAppend(t, j, entry)
	}
	if status := j.Status(); status.Segments != 1 || !errors.Is(status.Rotation, errTest) {
		t.Errorf("the journal is %+v", status)
	}
	disk.set(func() { disk.opening = nil })
	mustAppend(t, j, entry)
	if status := j.Status(); status.Segments != 2 || status.Rotation != nil {
		t.Errorf("the journal is %+v", status)
	}
	mustDo(t, j.Close())
	_, replay := mustOpen(t, options)
	if records, err := recordsOf(replay); err != nil || len(records) != 31 {
		t.Errorf("%d records: %v", len(records), err)
	}
}
