// Package journal is the proxy's write-ahead journal: what a proxy must still know after it was killed. It carries the caller's bytes and
// knows nothing of money.
//
// An append returns after its write(2), without fsync: what was appended survives the death of the process, not that of the machine. So
// the journal remembers in which boot of the machine it was begun. In the same boot all that was appended is there, and the next process
// goes on with it. In another one the end may be missing: then the journal is read, and another is begun under a new identity.
//
// Its directory holds the folder "current" with the identity and the segments, the file "reserve", whose space is for essential appends
// on a full disk, and the folders "damaged-<n>" that were set aside and are never touched again.
package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

const (
	defaultSegmentBytes = 16 << 20
	defaultReserveBytes = 1 << 20
)

var (
	// ErrLocked is in the error of Open when another process has the journal, or this one has it already.
	ErrLocked = errors.New("another process has this journal")
	// ErrFull is in the error of an append that found no space. Nothing of it is in the journal; later appends may find some.
	ErrFull = errors.New("there is no space for the journal")
	// ErrOtherBoot is in the errors of a journal that was begun before the machine was rebooted, until it is retired.
	ErrOtherBoot = errors.New("the journal is from before the machine was rebooted")
	// ErrTrimmed is in the errors of reading what was trimmed, or belongs to a journal that is no more.
	ErrTrimmed = errors.New("the journal does not have these records any more")
	// ErrClosed is in the errors of a closed journal.
	ErrClosed = errors.New("the journal is closed")
)

// Options are how to open a journal.
type Options struct {
	// Directory is made if it is missing. It has to be on a disk of the machine: the lock and the boot id mean little elsewhere.
	Directory string
	// BootID tells this boot of the machine from others; empty is what Linux says.
	BootID string
	// SegmentBytes is the size at which a file is full and another is begun; 0 is 16 MiB. A single append may make it larger.
	SegmentBytes int64
	// ReserveBytes is the space set apart for essential appends on a full disk; 0 is 1 MiB, and less is none.
	ReserveBytes int64
	// RetainBytes is up to how many bytes of segments are kept although they are acknowledged, so that a ledger restored from a backup
	// can be sent what it lost. 0 keeps none.
	RetainBytes int64

	// disk is the real one if it is nil.
	disk disk
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	options Options
	disk    disk
	held    *os.File

	// writing is held by whoever changes the files at their end. It guards the fields here, and is taken before mu.
	writing sync.Mutex
	active  file
	// last is the last segment, which active is. Its size and numbers are only changed with mu held, too.
	last *segment
	// dirty is set while bytes of a failed write may be behind the end.
	dirty bool
	// reserved is whether the reserve has its space.
	reserved bool
	// rotateAt is the size at which the active segment is full. It grows if no other can be begun.
	rotateAt int64

	// trimming is held while segments are deleted, and taken before mu.
	trimming sync.Mutex

	// mu guards what is below; it is never held over a system call.
	mu        sync.Mutex
	gathering *group
	idle      []*group
	// proxy is only changed with writing held, too.
	proxy    proxyID
	segments []*segment
	// refusal is why nothing can be appended, or nil.
	refusal error
	status  Status
}

// Status is how a journal is doing.
type Status struct {
	// Segments is how many files it has, Bytes how much they hold.
	Segments int
	Bytes    int64
	// Next is the number that the next numbered record gets.
	Next uint64
	// Reserved says that the reserve is there. While it is not, only essential appends succeed.
	Reserved bool
	// Rotation is why the last segment is larger than it should be, or nil.
	Rotation error
}

// Open locks the directory and reads the journal in it, or begins one. If the journal was damaged or is from another boot, Open succeeds
// and the Replay says so: the records that are there can be read, and appending fails until SetAside or Retire has begun another journal.
// The error wraps ErrLocked if the journal is in use.
func Open(options Options) (*Journal, *Replay, error) {
	options, err := options.complete()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(options.Directory, 0o700); err != nil {
		return nil, nil, fmt.Errorf("making the journal's directory: %w", err)
	}
	held, err := lock(options.Directory)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{options: options, disk: options.disk, held: held, gathering: &group{}}
	replay, err := j.load()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening the journal in %s: %w", options.Directory, err), unlock(held))
	}
	// Without a reserve the journal is of use for what is essential, and every other append tries again to make one.
	_ = j.restoreReserve()
	return j, replay, nil
}

func (o Options) complete() (Options, error) {
	if o.BootID == "" {
		boot, err := readBootID()
		if err != nil {
			return o, err
		}
		o.BootID = boot
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = defaultReserveBytes
	}
	o.RetainBytes = max(o.RetainBytes, 0)
	if o.disk == nil {
		o.disk = realDisk{}
	}
	return o, nil
}

func (j *Journal) path(name string) string { return filepath.Join(j.options.Directory, name) }

// load reads the current journal, or begins one. What was left half done by a death in Retire or begin is taken away first.
func (j *Journal) load() (*Replay, error) {
	if err := errors.Join(os.RemoveAll(j.path(retiredName)), os.RemoveAll(j.path(nextName))); err != nil {
		return nil, err
	}
	current := j.path(currentName)
	_, err := os.Lstat(current)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh {
		err = errors.Join(j.prepare(), j.promote())
	}
	if err != nil {
		return nil, err
	}
	boot, found, err := readFolder(current)
	if err != nil {
		return nil, err
	}
	replay := &Replay{
		ProxyID: found.proxy.String(), Fresh: fresh, SameBoot: boot == j.options.BootID, Torn: found.torn, Damage: found.damage,
		First: 1, Next: 1, folder: current, proxy: found.proxy,
	}
	for _, part := range found.segments {
		replay.segments = append(replay.segments, *part)
	}
	if len(found.segments) > 0 {
		replay.First, replay.Next = found.segments[0].first, found.last().next
	}
	return replay, j.adopt(found, replay)
}

// readFolder reads from which boot the folder is, and its segments. If only the identity is damaged, the records are still there: the
// first segment says whose they are, and nothing says from which boot.
func readFolder(folder string) (boot string, found *survey, err error) {
	proxy, boot, err := readIdentity(folder)
	var damage *DamageError
	if errors.As(err, &damage) {
		proxy, err = firstProxy(folder)
	}
	if err != nil {
		return "", nil, err
	}
	found, err = surveyFolder(folder, proxy)
	if err != nil || damage == nil {
		return boot, found, err
	}
	if found.damage != nil {
		damage.Reason += "; also: " + found.damage.Error()
	}
	found.damage, found.torn = damage, nil
	return boot, found, nil
}

// firstProxy returns the proxy id in the first segment, if that can be read.
func firstProxy(folder string) (proxyID, error) {
	sequences, err := listSegments(folder)
	if err != nil || len(sequences) == 0 {
		return proxyID{}, err
	}
	content, err := os.ReadFile(segmentPath(folder, sequences[0]))
	if err != nil {
		return proxyID{}, fmt.Errorf("reading the first segment: %w", err)
	}
	// What is wrong with it is found when the segment is read.
	head, _ := decodeHeader(content[:min(len(content), segmentHeader)])
	return head.proxy, nil
}

// adopt makes what was found the journal's. A torn end is cut off last, so that nothing that fails keeps it from being told.
func (j *Journal) adopt(found *survey, replay *Replay) error {
	j.proxy, j.segments = found.proxy, found.segments
	switch {
	case found.damage != nil:
		j.refusal = found.damage
		return nil //nolint:nilerr // The Replay tells of the damage: what is there can still be read.
	case !replay.SameBoot:
		j.refusal = fmt.Errorf("%w: it was begun by proxy %s", ErrOtherBoot, replay.ProxyID)
	}
	if err := j.openActive(found.last()); err != nil {
		return err
	}
	if found.torn != nil {
		if err := found.torn.cut(); err != nil {
			return errors.Join(err, j.active.Close())
		}
	}
	return nil
}

// openActive opens the last segment for appending.
func (j *Journal) openActive(last *segment) error {
	opened, err := j.disk.open(segmentPath(j.path(currentName), last.sequence), 0)
	if err != nil {
		return fmt.Errorf("opening the last segment: %w", err)
	}
	j.active, j.last, j.dirty, j.rotateAt = opened, last, false, j.options.SegmentBytes
	return nil
}

// ProxyID is the identity that the journal has now: 128 bits in hex.
func (j *Journal) ProxyID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.proxy.String()
}

// Status returns how the journal is doing.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	status := j.status
	status.Segments, status.Next = len(j.segments), 1
	for _, part := range j.segments {
		status.Bytes += part.bytes
		status.Next = part.next
	}
	return status
}

// End is the position behind the last record: the next one goes there, or into the next segment. It never goes back as long as the
// identity stays.
func (j *Journal) End() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return Position{}
	}
	last := j.segments[len(j.segments)-1]
	return Position{Segment: last.sequence, Offset: last.bytes}
}

// Close waits for the write that is under way, refuses the appends that wait, and unlocks the directory. A second call does nothing.
func (j *Journal) Close() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	closed := errors.Is(j.refusal, ErrClosed)
	j.refusal = ErrClosed
	j.mu.Unlock()
	if closed {
		return nil
	}
	err := j.closeActive()
	if err := errors.Join(err, unlock(j.held)); err != nil {
		return fmt.Errorf("closing the journal in %s: %w", j.options.Directory, err)
	}
	return nil
}

func (j *Journal) closeActive() error {
	if j.active == nil {
		return nil
	}
	closing := j.active
	j.active = nil
	return closing.Close()
}
