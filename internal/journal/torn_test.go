package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// placed is a record and where it is.
type placed struct {
	plain
	file       int // index among the segments
	start, end int64
}

func entryGen(most int) *rapid.Generator[Entry] {
	return rapid.Custom(func(t *rapid.T) Entry {
		return Entry{
			Kind:     Kind(rapid.Uint16Range(1, 9).Draw(t, "kind")),
			Numbered: rapid.Bool().Draw(t, "numbered"),
			Payload:  rapid.SliceOfN(rapid.Byte(), 0, most).Draw(t, "payload"),
		}
	})
}

// writtenJournal writes random records into a closed journal and returns where each is.
func writtenJournal(t *rapid.T, options Options) []placed {
	j, replay, err := Open(options)
	if err != nil || !replay.Fresh {
		t.Fatal(err)
	}
	for _, entries := range rapid.SliceOf(rapid.SliceOfN(entryGen(300), 1, 4)).Draw(t, "appends") {
		if _, err := j.Append(entries...); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, replay, err = Open(options)
	if err != nil || replay.Damage != nil || replay.Torn != nil {
		t.Fatalf("%+v: %v", replay, err)
	}
	var records []placed
	for record, err := range replay.Records() {
		if err != nil {
			t.Fatal(err)
		}
		end := record.Position.Offset + recordHeader + int64(len(record.Payload))
		file := int(record.Position.Segment) - 1
		records = append(records, placed{plain: plainly(record), file: file, start: record.Position.Offset, end: end})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return records
}

// outcome is what must come back.
type outcome struct {
	keep    int
	intact  bool
	damaged bool
	file    int
	offset  int64
}

// check opens the journal and compares it with the outcome.
func (want outcome) check(t *rapid.T, options Options, files []string, records []placed) {
	j, replay, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := recordsOf(replay)
	if len(got) != want.keep {
		t.Fatalf("%d records came back, want %d of %d: %+v %v", len(got), want.keep, len(records), replay, err)
	}
	next := uint64(1)
	for i := range got {
		if got[i] != records[i].plain {
			t.Fatalf("record %d is %+v, want %+v", i, got[i], records[i].plain)
		}
		next = max(next, got[i].Number+1)
	}
	var damage *DamageError
	switch {
	case want.damaged:
		if !errors.As(err, &damage) || damage != replay.Damage || damage.File != files[want.file] || damage.Offset != want.offset {
			t.Fatalf("the damage is %v, want it in %s at %d", err, files[want.file], want.offset)
		}
		if _, err := j.Append(Entry{Kind: 1}); !errors.As(err, &damage) {
			t.Fatalf("appending to the damaged journal: %v", err)
		}
		return
	case err != nil || want.intact != (replay.Torn == nil):
		t.Fatalf("torn %+v, error %v; intact should be %v", replay.Torn, err, want.intact)
	case !want.intact && (replay.Torn.File != files[want.file] || replay.Torn.Offset != want.offset):
		t.Fatalf("torn %+v, want %s at %d", replay.Torn, files[want.file], want.offset)
	}
	if written, err := j.Append(Entry{Kind: 1, Numbered: true}); err != nil || written.First != next {
		t.Fatalf("the next record has number %d, want %d: %v", written.First, next, err)
	}
}

// before returns how many records come before an offset of a file, and where the last of those ends.
func before(records []placed, file int, offset int64) (count int, end int64) {
	end = segmentHeader
	for _, record := range records {
		if record.file > file || record.file == file && record.end > offset {
			break
		}
		count++
		if record.file == file {
			end = record.end
		}
	}
	if offset < segmentHeader {
		end = 0
	}
	return count, end
}

func TestExactlyTheWholeRecordsBeforeACutComeBack(t *testing.T) {
	directory := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		options := freshOptions(rt, directory)
		records := writtenJournal(rt, options)
		files := segmentFiles(t, options.Directory)
		file := rapid.IntRange(0, len(files)-1).Draw(rt, "file")
		status, err := os.Stat(files[file])
		mustDo(t, err)
		length := rapid.Int64Range(0, status.Size()).Draw(rt, "length")
		mustDo(t, os.Truncate(files[file], length))

		keep, end := before(records, file, length)
		want := outcome{keep: keep, file: file, offset: end, intact: length == end && length > 0}
		switch {
		case length == status.Size():
			want.keep, want.intact = len(records), true
		case file < len(files)-1, length < segmentHeader && file == 0:
			want.damaged = true
		}
		want.check(rt, options, files, records)
	})
}

func TestAChangedByteIsATornEndOrDamageAndNeverSilent(t *testing.T) {
	directory := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		options := freshOptions(rt, directory)
		records := writtenJournal(rt, options)
		files := segmentFiles(t, options.Directory)
		file := rapid.IntRange(0, len(files)-1).Draw(rt, "file")
		content, err := os.ReadFile(files[file])
		mustDo(t, err)
		at := rapid.IntRange(0, len(content)-1).Draw(rt, "at")
		content[at] ^= rapid.ByteRange(1, 255).Draw(rt, "change")
		mustDo(t, os.WriteFile(files[file], content, 0o600))

		keep, end := before(records, file, int64(at))
		want := outcome{keep: keep, file: file, offset: end, damaged: true}
		lastRecord := keep == len(records)-1 && at >= segmentHeader
		emptySegment := keep == len(records) && at < segmentHeader && file > 0
		if file == len(files)-1 && (lastRecord || emptySegment) {
			want.damaged = false
		}
		want.check(rt, options, files, records)
	})
}

func TestAGapBetweenSegmentsIsDamage(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := mustOpen(t, options)
	for range 40 {
		mustAppend(t, j, Entry{Kind: 1, Numbered: true, Payload: make([]byte, 500)})
	}
	mustDo(t, j.Close())
	files := segmentFiles(t, options.Directory)
	mustDo(t, os.Remove(files[2]))
	_, replay := mustOpen(t, options)
	if replay.Damage == nil || replay.Damage.File != files[2] {
		t.Errorf("a missing segment is %v", replay.Damage)
	}
}

func TestASegmentThatEndsBetweenTwoRecordsIsMissed(t *testing.T) {
	options := testOptions(t.TempDir())
	j, written := filled(t, options, 20)
	mustDo(t, j.Close())
	path := segmentFiles(t, options.Directory)[0]
	mustDo(t, os.Truncate(path, written[3].Position.Offset))
	_, replay := mustOpen(t, options)
	records, err := recordsOf(replay)
	if replay.Damage == nil || replay.Damage.File != path || replay.Damage.Offset != written[3].Position.Offset || len(records) != 3 {
		t.Errorf("%d records, then %v", len(records), err)
	}
}

func TestWholeSegmentsOfAnotherOriginAreDamage(t *testing.T) {
	options := testOptions(t.TempDir())
	j, written := filled(t, options, 20)
	mustDo(t, j.Close())
	folder := j.path(currentName)
	original, err := os.ReadFile(segmentPath(folder, 2))
	mustDo(t, err)
	before := header{sequence: 2, first: written[7].First, previous: written[6].Position.Offset + 520, proxy: j.proxy}
	for name, change := range map[string]func(*header){
		"of another proxy":           func(h *header) { h.proxy[0]++ },
		"of another place":           func(h *header) { h.sequence++ },
		"with other numbers":         func(h *header) { h.first++ },
		"behind a different segment": func(h *header) { h.previous++ },
	} {
		t.Run(name, func(t *testing.T) {
			changed := before
			change(&changed)
			mustDo(t, os.WriteFile(segmentPath(folder, 2), append(changed.encode(), original[segmentHeader:]...), 0o600))
			damaged, replay := mustOpen(t, options)
			if records, err := recordsOf(replay); replay.Damage == nil || len(records) != 7 {
				t.Errorf("%d records, then %v", len(records), err)
			}
			mustDo(t, damaged.Close())
		})
	}
	mustDo(t, os.WriteFile(segmentPath(folder, 2), append(before.encode(), original[segmentHeader:]...), 0o600))
	if _, replay := mustOpen(t, options); replay.Damage != nil {
		t.Errorf("as it was, it is %v", replay.Damage)
	}
}

func TestAnUnfinishedSegmentIsNoDamage(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := mustOpen(t, options)
	mustAppend(t, j, Entry{Kind: 1})
	mustDo(t, j.Close())
	mustDo(t, os.WriteFile(segmentPath(j.path(currentName), 2)+".tmp", []byte("mrj"), 0o600))
	again, replay := mustOpen(t, options)
	if records, err := recordsOf(replay); err != nil || len(records) != 1 || replay.Torn != nil {
		t.Errorf("%d records, %+v: %v", len(records), replay, err)
	}
	for range 20 {
		mustAppend(t, again, Entry{Kind: 1, Payload: make([]byte, 500)})
	}
}

// freshOptions are for a directory of its own in every run of a property.
func freshOptions(t *rapid.T, directory string) Options {
	own, err := os.MkdirTemp(directory, "run")
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions(filepath.Join(own, "journal"))
	options.SegmentBytes = 1 << 10
	options.ReserveBytes = -1
	return options
}
