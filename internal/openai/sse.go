package openai

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// MaxEventBytes is the largest event that an EventReader accepts.
const MaxEventBytes = 16 << 20

// ErrEventTooLarge is returned for an event of more than MaxEventBytes.
var ErrEventTooLarge = errors.New("server-sent event is larger than 16 MiB")

const (
	// firstBuffer holds most events of most streams.
	firstBuffer = 1 << 10
	// maxEmptyReads is how many reads may bring nothing before the reader is given up.
	maxEmptyReads = 100
)

// Event is one block of a stream of server-sent events. Its slices are valid until the next call of Next.
type Event struct {
	// Raw is every byte of the block, its blank line included. The Raws of a stream, joined, are the stream.
	Raw []byte
	// Data is the values of the data lines, joined with line feeds.
	Data []byte
	// Name is the value of the event field.
	Name []byte
	// Done is true for OpenAI's end of stream, data: [DONE].
	Done bool
	// CommentOnly is true for a block without data, of which a client sees nothing: comments, fields such as retry alone, a stray
	// blank line.
	CommentOnly bool
	// Unterminated is true for a last block that ended without its blank line. Its data may be cut off.
	Unterminated bool

	skip int // how many bytes of Raw stand before its first line: those of a byte order mark
}

// doneEvent is OpenAI's end of a stream.
const doneEvent = "data: [DONE]\n\n"

// Last returns the event as the last of a stream, with its blank line though it may not have come.
func (e Event) Last() []byte {
	if e.Done {
		return []byte(doneEvent)
	}
	return slices.Concat(bytes.TrimRight(e.Raw, "\r\n"), []byte("\n\n"))
}

// EventReader reads server-sent events as the WHATWG's HTML standard has them (section 9.2), but keeps the bytes of every event,
// and gives out a last event that has no blank line instead of losing it.
type EventReader struct {
	reader io.Reader
	buffer []byte // what has been read and not given out
	start  int    // where the next event begins in buffer
	joined []byte // the data of an event that has several data lines
	err    error  // why there is nothing more to read

	scan      int  // up to where buffer has been searched for the end of the event
	lineStart int  // where the line begins that is being searched
	begun     bool // nothing of the stream has been given out before
}

// NewEventReader returns an EventReader of r.
func NewEventReader(r io.Reader) *EventReader {
	return &EventReader{reader: r, buffer: make([]byte, 0, firstBuffer)}
}

// Next returns the next event as soon as the end of its blank line has been read, never waiting for a byte beyond it. After the
// last event it returns the reader's error, which is io.EOF if all went well. An event of more than MaxEventBytes is
// ErrEventTooLarge.
func (r *EventReader) Next() (Event, error) {
	for {
		end := r.findEnd()
		switch {
		case max(end, r.scan)-r.start > MaxEventBytes:
			r.skipTo(len(r.buffer))
			r.err = ErrEventTooLarge
			return Event{}, r.err
		case end > 0:
			return r.event(end, false), nil
		case r.err != nil && r.start < len(r.buffer):
			return r.event(len(r.buffer), true), nil
		case r.err != nil:
			return Event{}, r.err
		}
		r.fill()
	}
}

// findEnd returns where the event that begins at start ends, 0 if its end has not been read yet. No byte is looked at twice.
//
// A carriage return ends its line at once, since what follows may be long in coming. If a line feed has been read behind it, that belongs
// to the same line; if the line feed comes later, it is a block of its own, without data, so that a caller may drop either.
func (r *EventReader) findEnd() int {
	for i := r.scan; i < len(r.buffer); i++ {
		c := r.buffer[i]
		if c != '\n' && c != '\r' {
			continue
		}
		if c == '\n' && i == r.lineStart && i > r.start && r.buffer[i-1] == '\r' {
			r.lineStart++ // the late half of the line ending of a line that was not blank
			continue
		}
		blank := i == r.lineStart
		if c == '\r' && i+1 < len(r.buffer) && r.buffer[i+1] == '\n' {
			i++
		}
		r.lineStart = i + 1
		if blank {
			return i + 1
		}
	}
	r.scan = len(r.buffer)
	return 0
}

// fill reads once more.
func (r *EventReader) fill() {
	if r.start > 0 {
		kept := copy(r.buffer, r.buffer[r.start:])
		r.buffer = r.buffer[:kept]
		r.scan, r.lineStart, r.start = r.scan-r.start, r.lineStart-r.start, 0
	}
	if len(r.buffer) == cap(r.buffer) {
		r.buffer = append(make([]byte, 0, 2*cap(r.buffer)), r.buffer...)
	}
	for range maxEmptyReads {
		n, err := r.reader.Read(r.buffer[len(r.buffer):cap(r.buffer)])
		r.buffer = r.buffer[:len(r.buffer)+n]
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

func (r *EventReader) skipTo(position int) {
	r.start, r.scan, r.lineStart = position, position, position
}

// event gives out the block that ends at end.
func (r *EventReader) event(end int, unterminated bool) Event {
	e := Event{Raw: r.buffer[r.start:end:end], Unterminated: unterminated}
	if !r.begun && bytes.HasPrefix(e.Raw, []byte(byteOrderMark)) {
		e.skip = len(byteOrderMark)
	}
	r.begun = true
	r.skipTo(end)
	dataLines := 0
	for rest := e.Raw[e.skip:]; len(rest) > 0; {
		line, length := nextLine(rest)
		rest = rest[length:]
		switch name, value := splitField(line); string(name) {
		case "event":
			e.Name = value
		case "data":
			if dataLines++; dataLines == 1 {
				e.Data = value // the data of a single line, which is the rule, is not copied
				continue
			}
			if dataLines == 2 {
				r.joined = append(r.joined[:0], e.Data...)
			}
			r.joined = append(append(r.joined, '\n'), value...)
			e.Data = r.joined
		}
	}
	e.CommentOnly = len(e.Data) == 0
	e.Done = bytes.HasPrefix(e.Data, []byte("[DONE]"))
	return e
}

// nextLine returns the first line of block without its ending, and its length with its ending.
func nextLine(block []byte) (line []byte, length int) {
	end := bytes.IndexAny(block, "\r\n")
	switch {
	case end < 0:
		return block, len(block)
	case block[end] == '\r' && end+1 < len(block) && block[end+1] == '\n':
		return block[:end], end + 2
	}
	return block[:end], end + 1
}

// splitField splits a line into the name of its field and the value, which is the end of the line. The name of a comment is empty.
func splitField(line []byte) (name, value []byte) {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return line, line[len(line):]
	}
	return name, bytes.TrimPrefix(value, []byte(" "))
}
