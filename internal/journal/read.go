package journal

import (
	"errors"
	"fmt"
	"iter"
	"os"
)

// ReadFrom yields the numbered records from a number on, as far as they are written when the iteration begins. Recent ones are found in
// the last 32 KiB or so that have to be read. It ends with an error that wraps ErrTrimmed if the records are not there any more, or that
// is a *DamageError. The records before a damage, and those of another boot, can be read like all others.
func (j *Journal) ReadFrom(number uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		proxy, parts, err := j.partsFrom(number)
		if err != nil {
			yield(Record{}, err)
			return
		}
		next := number
		visit := func(record Record, err error) bool {
			if err == nil && record.Number < next {
				return true
			}
			if err == nil && record.Number > next {
				err = fmt.Errorf("reading the journal: number %d comes where %d is next", record.Number, next)
			}
			next++
			if err != nil {
				yield(Record{}, err)
				return false
			}
			return yield(record, nil)
		}
		for i := range parts {
			offset := int64(segmentHeader)
			if i == 0 {
				offset = parts[i].near(number)
			}
			if !walk(j.path(currentName), proxy, &parts[i], offset, visit) {
				return
			}
		}
	}
}

// partsFrom returns the segments that have the number and those behind it, as they are now.
func (j *Journal) partsFrom(number uint64) (proxyID, []segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.refusal, ErrClosed) {
		return j.proxy, nil, fmt.Errorf("reading the journal from number %d: %w", number, ErrClosed)
	}
	if number == 0 || len(j.segments) > 0 && number < j.segments[0].first {
		return j.proxy, nil, fmt.Errorf("reading the journal from number %d: %w", number, ErrTrimmed)
	}
	from := len(j.segments)
	for from > 0 && j.segments[from-1].next > number {
		from--
	}
	parts := make([]segment, 0, len(j.segments)-from)
	for _, part := range j.segments[from:] {
		// The index only grows: this copy keeps what was in it.
		parts = append(parts, *part)
	}
	return j.proxy, parts, nil
}

// Trim deletes the segments that nobody needs: all of whose numbered records are acknowledged, which are those up to the number through,
// and which end before needed, the lowest position that the caller still needs. Needed are the records of holds that are open: only the
// caller knows these, and to take their lowest position as an argument keeps it so, with nothing to be counted, stored or leaked here. A
// caller that takes End before it appends a hold, and takes that for the hold's position from then on, can call Trim at any moment with
// the lowest position of its open holds, or, if it then has none, with an End that was taken before looking.
//
// Acknowledged segments stay up to Options.RetainBytes. The last segment always stays. When it fails, the segments that could not be
// deleted are still there, and Trim can be called again.
func (j *Journal) Trim(through uint64, needed Position) error {
	j.trimming.Lock()
	defer j.trimming.Unlock()
	if err := j.refused(); err != nil {
		return fmt.Errorf("trimming the journal: %w", err)
	}
	for {
		// One after the other and the oldest first, so that a death or a failure leaves no gap.
		sequence := j.unneeded(through, needed)
		if sequence == 0 {
			return nil
		}
		if err := os.Remove(segmentPath(j.path(currentName), sequence)); err != nil {
			return fmt.Errorf("trimming the journal: %w", err)
		}
		j.mu.Lock()
		j.segments[0] = nil
		j.segments = j.segments[1:]
		j.mu.Unlock()
	}
}

// unneeded returns the oldest segment if it is to be deleted, or 0.
func (j *Journal) unneeded(through uint64, needed Position) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	var acknowledged int64
	for _, part := range j.segments[:len(j.segments)-1] {
		if part.next-1 > through || part.sequence >= needed.Segment {
			break
		}
		acknowledged += part.bytes
	}
	if acknowledged <= j.options.RetainBytes {
		return 0
	}
	return j.segments[0].sequence
}
