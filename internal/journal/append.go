package journal

import (
	"errors"
	"fmt"
	"os"
)

// Entry is a record to be written.
type Entry struct {
	Kind Kind
	// Numbered says that the record belongs to the log and gets the next number.
	Numbered bool
	// Payload is copied: its buffer is the caller's again when the append returns. It has at most MaxPayload bytes.
	Payload []byte
}

// Written says where an append went.
type Written struct {
	// Position is where its first record starts.
	Position Position
	// First is the number of its first numbered record, 0 if it has none. The numbers of the others follow.
	First uint64
}

// Append writes the entries, one behind the other, and returns when they are written. All appends that wait at the same time are written
// at once: all of them or none. Nothing is allocated. The error wraps ErrFull if there is no space for them or if the reserve is not
// intact; whatever the error, none of the entries is in the journal, and their numbers go to others.
func (j *Journal) Append(entries ...Entry) (Written, error) { return j.append(false, entries) }

// AppendEssential is Append for what has to be written for work that is already under way: on a full disk it takes the reserve.
func (j *Journal) AppendEssential(entries ...Entry) (Written, error) { return j.append(true, entries) }

// append joins the group that gathers. Its first member waits for the write before and then writes the group; the others wait for it.
func (j *Journal) append(essential bool, entries []Entry) (Written, error) {
	if err := check(entries); err != nil {
		return Written{}, err
	}
	j.mu.Lock()
	g := j.gathering
	place := g.add(essential, entries)
	if place == 0 {
		g.done.Add(1)
	}
	j.mu.Unlock()
	if place == 0 {
		j.lead(g)
	} else {
		g.done.Wait()
	}
	result := g.members[place]
	if g.leaving.Add(-1) == 0 {
		j.reuse(g)
	}
	return result.written, result.err
}

func check(entries []Entry) error {
	if len(entries) == 0 {
		return errors.New("appending to the journal: there is nothing to append")
	}
	for i := range entries {
		if entries[i].Kind == 0 {
			return fmt.Errorf("appending to the journal: entry %d has no kind", i)
		}
		if size := len(entries[i].Payload); size > MaxPayload {
			return fmt.Errorf("appending to the journal: entry %d has %d bytes, and the most is %d", i, size, MaxPayload)
		}
	}
	return nil
}

// lead ends the gathering of the group when its turn has come, and writes it.
func (j *Journal) lead(g *group) {
	j.writing.Lock()
	defer g.done.Done()
	defer j.writing.Unlock()
	j.mu.Lock()
	j.gathering = j.nextGroup()
	refusal := j.refusal
	j.mu.Unlock()
	if refusal != nil {
		g.fail(fmt.Errorf("appending to the journal: %w", refusal))
		return
	}
	j.write(g)
}

func (j *Journal) nextGroup() *group {
	if len(j.idle) == 0 {
		return &group{}
	}
	last := len(j.idle) - 1
	next := j.idle[last]
	j.idle = j.idle[:last]
	return next
}

func (j *Journal) reuse(g *group) {
	g.reset()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.idle = append(j.idle, g)
}

// write writes the group, on a full disk at least what is essential of it.
func (j *Journal) write(g *group) {
	essential, ordinary := g.count()
	if ordinary > 0 && !j.reserved {
		if err := j.restoreReserve(); err != nil {
			err = fmt.Errorf("appending to the journal: %w: the reserve is not intact: %w", ErrFull, err)
			if !g.failOrdinary(err) {
				return
			}
		}
	}
	err := j.put(g)
	if err != nil && isFull(err) && essential > 0 && j.reserved {
		err = j.putFromReserve(g, err)
	}
	if err == nil {
		return
	}
	if isFull(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	g.fail(fmt.Errorf("appending to the journal: %w", err))
}

// putFromReserve lets the ordinary members fail and writes the essential ones into the space of the reserve.
func (j *Journal) putFromReserve(g *group, full error) error {
	g.failOrdinary(fmt.Errorf("appending to the journal: %w: %w", ErrFull, full))
	if err := j.disk.free(j.path(reserveName)); err != nil {
		return errors.Join(full, err)
	}
	j.setReserved(false)
	return j.put(g)
}

// put writes the group's bytes at the end. When that fails, the end is where it was.
func (j *Journal) put(g *group) error {
	if err := j.clean(); err != nil {
		return err
	}
	last := j.last
	if last.bytes > segmentHeader && last.bytes+int64(len(g.buffer)) > j.rotateAt {
		last = j.rotate(last)
	}
	first, behind := g.seal(Position{Segment: last.sequence, Offset: last.bytes}, last.next)
	if _, err := j.active.WriteAt(g.buffer, last.bytes); err != nil {
		j.dirty = true
		err = fmt.Errorf("writing %d bytes at offset %d of segment %d: %w", len(g.buffer), last.bytes, last.sequence, err)
		return errors.Join(err, j.clean())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if first.number != 0 {
		last.note(first.number, first.offset)
	}
	last.next = behind
	last.bytes += int64(len(g.buffer))
	return nil
}

// clean cuts off what a failed write has left. Until that succeeds nothing is written: it would have rubbish behind it.
func (j *Journal) clean() error {
	if !j.dirty {
		return nil
	}
	if err := j.active.Truncate(j.last.bytes); err != nil {
		return fmt.Errorf("cutting segment %d back to %d bytes after a failed write: %w", j.last.sequence, j.last.bytes, err)
	}
	j.dirty = false
	return nil
}

// rotate begins the segment behind last and returns it. When that fails, last goes on to be written for a while: a full disk or a
// directory that cannot be written must not keep out a record for which the open file has room.
func (j *Journal) rotate(last *segment) *segment {
	next := &segment{sequence: last.sequence + 1, first: last.next, next: last.next, bytes: segmentHeader}
	opened, err := j.beginSegment(header{sequence: next.sequence, first: next.first, previous: last.bytes, proxy: j.proxy})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status.Rotation = err
	if err != nil {
		j.rotateAt = last.bytes + j.options.SegmentBytes/16 + 1
		return last
	}
	// It was written without an error, and is not synced: there is nothing that closing it could tell.
	_ = j.active.Close()
	j.active, j.last, j.rotateAt = opened, next, j.options.SegmentBytes
	j.segments = append(j.segments, next)
	return next
}

// beginSegment makes a segment's file, which appears under its name as a whole.
func (j *Journal) beginSegment(head header) (file, error) {
	path := segmentPath(j.path(currentName), head.sequence)
	unfinished := path + ".tmp"
	opened, err := j.disk.open(unfinished, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, fmt.Errorf("beginning a segment: %w", err)
	}
	if _, err = opened.WriteAt(head.encode(), 0); err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("beginning segment %d: %w", head.sequence, err), opened.Close(), os.Remove(unfinished))
	}
	return opened, nil
}

// restoreReserve gives the reserve its space, if it has not got it and there is as much and as much again.
func (j *Journal) restoreReserve() error {
	if j.options.ReserveBytes > 0 {
		if err := j.disk.allocate(j.path(reserveName), j.options.ReserveBytes); err != nil {
			return err
		}
	}
	j.setReserved(true)
	return nil
}

func (j *Journal) setReserved(reserved bool) {
	j.reserved = reserved
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status.Reserved = reserved
}
