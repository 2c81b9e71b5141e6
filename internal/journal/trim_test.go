package journal

import (
	"errors"
	"os"
	"testing"
)

// filled is a journal with numbered records of half a KiB, eight or so to a segment.
func filled(t *testing.T, options Options, records int) (*Journal, []Written) {
	t.Helper()
	j, _ := mustOpen(t, options)
	var written []Written
	for range records {
		written = append(written, mustAppend(t, j, Entry{Kind: 2, Numbered: true, Payload: make([]byte, 500)}))
	}
	return j, written
}

func TestTrimDeletesOnlyWhatNobodyNeeds(t *testing.T) {
	for name, test := range map[string]struct {
		through uint64
		needed  func(written []Written, end Position) Position
		retain  int64
		first   uint64 // that must still be there
	}{
		"nothing is acknowledged":           {0, func(_ []Written, end Position) Position { return end }, 0, 1},
		"one of the first is not":           {6, func(_ []Written, end Position) Position { return end }, 0, 1},
		"all of the first segment is":       {7, func(_ []Written, end Position) Position { return end }, 0, 8},
		"all is, and the last one stays":    {40, func(_ []Written, end Position) Position { return end }, 0, 36},
		"more than there is":                {1 << 63, func(_ []Written, end Position) Position { return end }, 0, 36},
		"a hold in the first is open":       {40, func(written []Written, _ Position) Position { return written[3].Position }, 0, 1},
		"a hold in the third is open":       {40, func(written []Written, _ Position) Position { return written[15].Position }, 0, 15},
		"everything is needed":              {40, func([]Written, Position) Position { return Position{} }, 0, 1},
		"some is retained":                  {40, func(_ []Written, end Position) Position { return end }, 8 << 10, 22},
		"all is retained":                   {40, func(_ []Written, end Position) Position { return end }, 1 << 30, 1},
		"less than nothing can be retained": {0, func(_ []Written, end Position) Position { return end }, -1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t.TempDir())
			options.RetainBytes = test.retain
			j, written := filled(t, options, 40)
			mustDo(t, j.Trim(test.through, test.needed(written, j.End())))
			records, err := tail(j, test.first)
			if err != nil || len(records) != 41-int(test.first) {
				t.Errorf("%d records from %d: %v", len(records), test.first, err)
			}
			if test.first > 1 {
				if _, err := tail(j, test.first-1); !errors.Is(err, ErrTrimmed) {
					t.Errorf("number %d is still there: %v", test.first-1, err)
				}
			}
			mustDo(t, j.Close())
			again, replay := mustOpen(t, options)
			if replay.First != test.first || replay.Next != 41 || replay.Damage != nil {
				t.Errorf("it opens again as %+v", replay)
			}
			if written := mustAppend(t, again, Entry{Kind: 1, Numbered: true}); written.First != 41 {
				t.Errorf("the next number is %d", written.First)
			}
		})
	}
}

func TestNumbersGoOnWhereAllNumberedRecordsAreTrimmed(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := filled(t, options, 40)
	for range 16 {
		mustAppend(t, j, Entry{Kind: 1, Payload: make([]byte, 500)})
	}
	mustDo(t, j.Trim(40, j.End()))
	mustDo(t, j.Close())
	again, replay := mustOpen(t, options)
	if replay.First != 41 || replay.Next != 41 {
		t.Errorf("it opens again as %+v", replay)
	}
	if written := mustAppend(t, again, Entry{Kind: 1, Numbered: true}); written.First != 41 {
		t.Errorf("the next number is %d", written.First)
	}
}

func TestAFailedTrimLeavesNoGap(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := filled(t, options, 40)
	// What cannot be removed: a folder that is not empty, in the place of the second segment.
	files := segmentFiles(t, options.Directory)
	mustDo(t, os.Rename(files[1], files[1]+".away"))
	mustDo(t, os.MkdirAll(files[1]+"/stays", 0o700))
	if err := j.Trim(40, j.End()); err == nil {
		t.Error("a segment that could not be removed was trimmed")
	}
	mustDo(t, os.RemoveAll(files[1]))
	mustDo(t, os.Rename(files[1]+".away", files[1]))
	if records, err := tail(j, 8); err != nil || len(records) != 33 {
		t.Errorf("%d records from 8: %v", len(records), err)
	}
	mustDo(t, j.Trim(40, j.End()))
	if left := segmentFiles(t, options.Directory); len(left) != 1 {
		t.Errorf("%d segments are left", len(left))
	}
}

func TestReadFromBeginsNearTheNumber(t *testing.T) {
	options := testOptions(t.TempDir())
	options.SegmentBytes = 0
	j, written := filled(t, options, 1000)
	for _, number := range []uint64{1, 2, 500, 999, 1000} {
		records, err := tail(j, number)
		if err != nil || len(records) != 1001-int(number) || records[0].Number != number {
			t.Errorf("%d records from %d: %v", len(records), number, err)
		}
		_, parts, err := j.partsFrom(number)
		mustDo(t, err)
		if distance := written[number-1].Position.Offset - parts[0].near(number); distance < 0 || distance > indexStep+recordHeader+500 {
			t.Errorf("number %d is sought from %d bytes before it", number, distance)
		}
	}
	if records, err := tail(j, 1001); err != nil || len(records) != 0 {
		t.Errorf("%d records behind the last: %v", len(records), err)
	}
	if _, err := tail(j, 0); !errors.Is(err, ErrTrimmed) {
		t.Errorf("reading from number 0: %v", err)
	}
	count := 0
	for _, err := range j.ReadFrom(1) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 3 {
			break
		}
	}
}

func TestDamageIsFoundWhileReading(t *testing.T) {
	options := testOptions(t.TempDir())
	j, written := filled(t, options, 10)
	path := segmentFiles(t, options.Directory)[0]
	content, err := os.ReadFile(path)
	mustDo(t, err)
	content[written[4].Position.Offset+recordHeader]++
	mustDo(t, os.WriteFile(path, content, 0o600))
	records, err := tail(j, 3)
	var damage *DamageError
	if !errors.As(err, &damage) || damage.File != path || damage.Offset != written[4].Position.Offset || len(records) != 2 {
		t.Errorf("%d records, then %v", len(records), err)
	}
}
