package journal

import (
	"sync"
	"sync/atomic"
)

// keptBuffer is how large a group's buffer may be to be used again, in bytes.
const keptBuffer = 1 << 20

// group is what is written with one write(2): the appends that came while the write before was under way.
type group struct {
	buffer  []byte
	members []member
	// done is over when the members have their results.
	done sync.WaitGroup
	// leaving is how many members have not taken theirs yet.
	leaving atomic.Int32
}

// member is one append in a group.
type member struct {
	// start and end are its bytes in the buffer.
	start, end int
	essential  bool
	written    Written
	err        error
}

// add puts an append into the group and returns its place there.
func (g *group) add(essential bool, entries []Entry) int {
	start := len(g.buffer)
	for i := range entries {
		g.buffer = appendRecord(g.buffer, entries[i])
	}
	g.members = append(g.members, member{start: start, end: len(g.buffer), essential: essential})
	g.leaving.Add(1)
	return len(g.members) - 1
}

// seal numbers and checksums the group's records for the place where they go. It returns the first numbered record and the number behind
// the last.
func (g *group) seal(at Position, next uint64) (first mark, behind uint64) {
	for i := range g.members {
		m := &g.members[i]
		if m.err != nil {
			continue
		}
		m.written = Written{Position: Position{Segment: at.Segment, Offset: at.Offset + int64(m.start)}}
		for start := m.start; start < m.end; {
			size, numbered := sealRecord(g.buffer[start:m.end], next)
			if numbered && m.written.First == 0 {
				m.written.First = next
			}
			if numbered && first.number == 0 {
				first = mark{number: next, offset: at.Offset + int64(start)}
			}
			if numbered {
				next++
			}
			start += size
		}
	}
	return first, next
}

// fail gives the error to all members that have none yet, and leaves nothing to write.
func (g *group) fail(err error) {
	for i := range g.members {
		if g.members[i].err == nil {
			g.members[i].err = err
		}
	}
	g.buffer = g.buffer[:0]
}

// failOrdinary gives the error to all members that are not essential and takes their bytes out. It reports whether any are left.
func (g *group) failOrdinary(err error) bool {
	end := 0
	for i := range g.members {
		m := &g.members[i]
		if !m.essential {
			m.err = err
			continue
		}
		size := copy(g.buffer[end:], g.buffer[m.start:m.end])
		m.start, m.end = end, end+size
		end += size
	}
	g.buffer = g.buffer[:end]
	return end > 0
}

// count returns how many members are essential, and how many are not.
func (g *group) count() (essential, ordinary int) {
	for i := range g.members {
		if g.members[i].essential {
			essential++
		}
	}
	return essential, len(g.members) - essential
}

// reset makes the group empty, to be used again.
func (g *group) reset() {
	if cap(g.buffer) > keptBuffer {
		g.buffer = nil
	}
	g.buffer = g.buffer[:0]
	clear(g.members)
	g.members = g.members[:0]
}
