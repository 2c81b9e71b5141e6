package openai

import (
	"errors"
	"io"
)

// MaxEventBytes is the largest event that an EventReader accepts.
const MaxEventBytes = 16 << 20

// ErrEventTooLarge is returned for an event of more than MaxEventBytes.
var ErrEventTooLarge = errors.New("server-sent event is larger than 16 MiB")

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
	// CommentOnly is true for a block without data, of which a client sees nothing.
	CommentOnly bool
	// Unterminated is true for a last block that the stream cut off before its blank line.
	Unterminated bool
}

// EventReader reads server-sent events.
type EventReader struct{ r io.Reader }

// NewEventReader returns an EventReader of r.
func NewEventReader(r io.Reader) *EventReader { return &EventReader{r: r} }

// Next returns the next event as soon as its blank line has been read, and io.EOF after the last one.
func (r *EventReader) Next() (Event, error) { return Event{}, io.EOF }

// StripUsage takes the usage out of an event for a client that did not ask for it: out is what to send, and drop is true if nothing is left to send.
func StripUsage(event Event) (out []byte, drop bool) { return event.Raw, false }
