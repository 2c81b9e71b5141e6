package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testBoot = "boot-1"

// plain is a record as the tests compare it: what the caller gave, and its number.
type plain struct {
	Kind    Kind
	Number  uint64
	Payload string
}

func plainly(record Record) plain {
	return plain{Kind: record.Kind, Number: record.Number, Payload: string(record.Payload)}
}

func testOptions(directory string) Options {
	return Options{Directory: directory, BootID: testBoot, SegmentBytes: 4 << 10, ReserveBytes: 64 << 10}
}

func mustOpen(t testing.TB, options Options) (*Journal, *Replay) {
	t.Helper()
	j, replay, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j, replay
}

func mustAppend(t testing.TB, j *Journal, entries ...Entry) Written {
	t.Helper()
	written, err := j.Append(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// recordsOf reads all records of a replay, up to the error it ends with.
func recordsOf(replay *Replay) (records []plain, err error) {
	for record, err := range replay.Records() {
		if err != nil {
			return records, err
		}
		records = append(records, plainly(record))
	}
	return records, nil
}

// tail reads the numbered records from a number on.
func tail(j *Journal, number uint64) (records []plain, err error) {
	for record, err := range j.ReadFrom(number) {
		if err != nil {
			return records, err
		}
		records = append(records, plainly(record))
	}
	return records, nil
}

func mustMatch(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// copyJournal copies a journal's directory as it is at this moment, as a death would leave it.
func copyJournal(t testing.TB, directory string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(directory)); err != nil {
		t.Fatal(err)
	}
	return to
}

func segmentFiles(t testing.TB, directory string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, currentName, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// modelDisk is a disk with little space, that can be told to fail. What it writes before it is full is really there.
type modelDisk struct {
	real realDisk

	mu sync.Mutex
	// space is what is free, in bytes.
	space int64
	// truncating, writing and opening are the errors of these, or nil.
	truncating, writing, opening error
	// writes counts the calls of WriteAt, reserved is what the reserve takes.
	writes   int
	reserved int64
	// gate keeps writes waiting until something can be received from it, if it is not nil.
	gate chan struct{}
}

func newModelDisk() *modelDisk { return &modelDisk{space: 1 << 40} }

func (d *modelDisk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *modelDisk) open(path string, flags int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opening != nil {
		return nil, d.opening
	}
	opened, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return &modelFile{File: opened, disk: d}, nil
}

func (d *modelDisk) allocate(path string, bytes int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reserved == bytes {
		return nil
	}
	if d.space < 2*bytes {
		return fmt.Errorf("allocating: %w", syscall.ENOSPC)
	}
	d.reserved = bytes
	d.space -= bytes
	return os.WriteFile(path, nil, 0o600)
}

func (d *modelDisk) free(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space += d.reserved
	d.reserved = 0
	return d.real.free(path)
}

type modelFile struct {
	*os.File
	disk *modelDisk
}

func (f *modelFile) size() int64 {
	status, err := f.Stat()
	if err != nil {
		panic(err)
	}
	return status.Size()
}

func (f *modelFile) WriteAt(b []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	gate := f.disk.gate
	f.disk.writes++
	f.disk.mu.Unlock()
	if gate != nil {
		<-gate
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.writing != nil {
		return 0, f.disk.writing
	}
	before := f.size()
	fits := min(int64(len(b)), max(before-offset, 0)+f.disk.space)
	n, err := f.File.WriteAt(b[:fits], offset)
	f.disk.space -= max(f.size()-before, 0)
	if err == nil && n < len(b) {
		err = &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return n, err
}

func (f *modelFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.truncating != nil {
		return f.disk.truncating
	}
	f.disk.space += f.size() - size
	return f.File.Truncate(size)
}

var errTest = errors.New("told to fail")
