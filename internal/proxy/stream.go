package proxy

import (
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
)

// maxUnreadBytes bounds what is read of a stream for the bill alone, after its client has gone.
const maxUnreadBytes = 64 << 20

// streamHeaders ask whoever stands between proxy and client to pass events on as they come.
func streamHeaders(header http.Header) {
	header.Set("Content-Type", eventStream)
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no")
}

// streamRelay passes the events of one stream on and meters them.
type streamRelay struct {
	*exchange
	meter *openai.StreamMeter
	// usage is the last usage that was reported. final says that it came when the answer was complete, so that it is the bill.
	usage      *pricing.Usage
	usageError error
	final      bool
	// opening are the events that say that the answer begins. They are held back until something follows that is no error: a stream that
	// has not begun can still be answered with a status, or by another upstream.
	opening []byte
	// tail is what is held back until the settlement: the end of the stream, or an error and what follows it.
	tail []byte
	// said is the error that the stream reported, if it did.
	said upstreamError
	// unread counts the bytes that came after the client had gone.
	unread int
}

// relayStream ends an exchange that the upstream answered with a stream.
func (x *exchange) relayStream(content io.Reader) {
	relay := &streamRelay{exchange: x, meter: x.request.Operation.NewMeter()}
	err := relay.copy(openai.NewEventReader(content))
	if err != nil {
		err = x.why(err)
	}
	relay.settle(err)
	relay.end(err)
}

// copy passes events on until the stream's own end, for which it returns nil. Any other end is an error: only the last event of
// the operation ends a stream well.
func (r *streamRelay) copy(events *openai.EventReader) error {
	for {
		event, err := events.Next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		r.observe(event)
		if r.meter.Done() {
			r.tail = append(r.tail, event.Last()...)
			return nil
		}
		if !event.CommentOnly && !event.Unterminated && !event.Done {
			r.forward(event)
		}
		if err := r.bounded(len(event.Raw)); err != nil {
			return err
		}
	}
}

func (r *streamRelay) observe(event openai.Event) {
	r.meter.Observe(event)
	r.heard(event.Data)
	r.record.produced(r.meter.CompletionBytes(), r.server.now)
	if r.meter.Reported() != nil && !r.said.found {
		r.said = readUpstreamError(r.meter.ReportedIn())
		r.said.found = true
	}
	usage, err := r.meter.Usage()
	if usage != r.usage || err != nil {
		r.usage, r.usageError = usage, err
		r.final = r.meter.Finished()
	}
	r.departure.servedBy(r.upstream, r.meter.Provider())
}

// forward sends an event, without the usage if the client did not ask for it. From an error on events are held back, because the stream
// ends there and its last byte must not go out before the settlement.
func (r *streamRelay) forward(event openai.Event) {
	out := event.Raw
	if !r.includeUsage {
		stripped, drop := openai.StripUsage(event)
		if drop {
			return
		}
		out = stripped
	}
	if out[len(out)-1] == '\r' {
		// The reader gave the event out before the rest of its CR LF had come. That will be dropped as an event without data.
		out = append(slices.Clip(out), '\n')
	}
	switch {
	case r.said.found:
		r.tail = append(r.tail, out...)
	case r.meter.Opening() && !r.client.begun:
		r.opening = append(r.opening, out...)
	default:
		r.begin()
		r.client.send(out)
	}
}

// begin sends the header with the first event and not before: an upstream that fails at once can then still be answered with a status.
func (r *streamRelay) begin() {
	if r.client.begun {
		return
	}
	streamHeaders(r.client.header())
	r.announceCost()
	r.client.begin(http.StatusOK)
	if len(r.opening) > 0 {
		r.client.send(r.opening)
	}
}

func (r *streamRelay) bounded(length int) error {
	if !r.client.gone {
		return nil
	}
	if r.unread += length; r.unread > maxUnreadBytes {
		return errTooLong
	}
	return nil
}

// settle books the stream by its last usage. That of a stream that was cut counts only if all was said by then: some upstreams send a
// running count, or a preview, which is less than the bill.
func (r *streamRelay) settle(cut error) {
	switch {
	case r.failedAtOnce() && (r.usage == nil || r.meter.Preview()):
		r.held.release()
	case r.counted(cut):
		r.settleBy(r.usage, r.usageError)
	case errors.Is(cut, errCancelled):
		r.settleProduced(r.usage, r.meter.CompletionBytes())
	default:
		r.settleCut()
	}
	switch {
	case r.said.found:
		r.record.problem = "the stream reported an error: " + r.said.forLog()
	case cut != nil:
		r.record.problem = "the stream ended early: " + cut.Error()
	case r.meter.Preview():
		r.record.problem = "the upstream reported no usage"
	}
}

// counted reports whether the last usage is the bill. A stream that was not cut, and one that ended with an error, has it unless all that
// it told is a placeholder.
func (r *streamRelay) counted(cut error) bool {
	if cut == nil || r.said.found {
		return !r.meter.Preview()
	}
	return r.final && r.choices == 1
}

// settleCut books the hold, or what the running count makes of it if that is more.
func (r *streamRelay) settleCut() {
	if r.usage == nil || r.usageError != nil {
		r.held.uncertainly()
		return
	}
	r.count(r.usage)
	r.held.atLeast(r.costOf(r.usage), r.usage)
}

// failedAtOnce says that the stream is nothing but an error: nothing was generated.
func (r *streamRelay) failedAtOnce() bool {
	return !r.client.begun && r.said.found && r.meter.CompletionBytes() == 0
}

// end sends what the settlement was waited for with. An error in mid-stream goes out as the upstream has it, unless it says what is not the
// client's to read.
func (r *streamRelay) end(cut error) {
	switch {
	case r.failedAtOnce(), r.said.found && (r.said.isOurs() || quotesKey(r.tail, r.key)):
		r.fail(outcomeOf(r.said, r.key))
	case cut != nil && !r.said.found:
		r.fail(outcome{refusal: broken(cut), elsewhere: !clientLeft(cut)})
	default:
		if r.said.found {
			r.record.code = r.said.publicCode(codeUpstreamError)
		}
		r.begin()
		r.client.send(r.tail)
	}
}
