package journal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// DamageError says where a journal is damaged in a way that no death of a process explains. What is behind that place cannot be trusted.
type DamageError struct {
	// File is the path of the file, Offset where in it the damage begins, in bytes.
	File   string
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the journal is damaged: %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Torn says what was cut off the end of the journal because its writing was cut short. No Append has returned for it, unless the machine
// went down or something else wrote to the file.
type Torn struct {
	// File is the path of the file, Offset where the cut is, Bytes how much was cut off.
	File   string
	Offset int64
	Bytes  int64
	Reason string
}

// Replay is what Open found.
type Replay struct {
	// ProxyID is the identity that the records belong to: 128 bits in hex.
	ProxyID string
	// Fresh says that there was no journal, and that Open has begun one.
	Fresh bool
	// SameBoot says that the machine has not been rebooted since the journal was begun, so that all that was ever appended is there. If
	// it is false, the journal takes nothing until Retire or SetAside has begun another.
	SameBoot bool
	// Torn is what was cut off the end, or nil.
	Torn *Torn
	// Damage is why the journal cannot be used, or nil. The records before it are there; it takes nothing until SetAside.
	Damage *DamageError
	// First is the number of the first numbered record that is there, Next the number behind the last: nothing is there if they are the
	// same.
	First, Next uint64

	folder   string
	proxy    proxyID
	segments []segment
}

// Records are all the records that were there when Open returned, in the order of writing. They end with an error if the journal is
// damaged, or if a file cannot be read. They are there until Trim, Retire or SetAside takes them.
func (r *Replay) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for i := range r.segments {
			if !walk(r.folder, r.proxy, &r.segments[i], segmentHeader, yield) {
				return
			}
		}
		if r.Damage != nil {
			yield(Record{}, r.Damage)
		}
	}
}

// walk yields the records of a segment from an offset on, and reports whether to go on.
func walk(folder string, proxy proxyID, part *segment, offset int64, yield func(Record, error) bool) bool {
	opened, _, err := openSegment(folder, part.sequence, proxy)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrTrimmed, err)
	}
	if err != nil {
		yield(Record{}, err)
		return false
	}
	// It was only read: there is nothing that closing it could lose.
	defer func() { _ = opened.Close() }()
	records := newReader(opened, Position{Segment: part.sequence, Offset: offset}, part.bytes)
	defer records.release()
	for {
		record, err := records.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(Record{}, damageIn(opened.Name(), records.at.Offset, err))
			return false
		}
		if !yield(record, nil) {
			return false
		}
	}
}

// damageIn returns a fault as the damage that it is, and any other error as it is. What is read here was good when it was written.
func damageIn(path string, offset int64, err error) error {
	if wrong := fault(""); errors.As(err, &wrong) {
		return &DamageError{File: path, Offset: offset, Reason: wrong.Error()}
	}
	return err
}
