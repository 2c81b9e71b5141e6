package openai

import (
	"bytes"
	"fmt"

	"github.com/modelroute/modelroute/internal/pricing"
)

// StreamMeter gathers from the events of one stream what settling it needs. Operation.NewMeter makes it.
type StreamMeter struct {
	operation *Operation

	scanner    scanner
	usage      *pricing.Usage
	usageErr   error
	broken     error // the first chunk that could not be read
	reported   *ReportedError
	reportedIn []byte
	done       bool
	finished   bool
	preview    bool
	opening    bool
	produced   int64
	provider   string
}

// NewMeter returns the meter of one stream.
func (o *Operation) NewMeter() *StreamMeter { return &StreamMeter{operation: o} }

// Observe takes the next event. It keeps nothing of its slices.
func (m *StreamMeter) Observe(event Event) {
	switch {
	case event.CommentOnly:
		return
	case event.Done:
		m.done = m.done || !m.operation.ownEnd
		return
	}
	m.scanner.reset(event.Data)
	o := m.operation.read(&m.scanner, m.usage)
	if m.scanner.end(); m.scanner.err != nil {
		m.noteBroken(event)
		return
	}
	if o.reported == nil && string(event.Name) == "error" {
		o.reported = parseReported(event.Data)
	}
	if m.reported == nil && o.reported != nil {
		m.report(o.reported, o.errorIn(event.Data))
	}
	m.note(&o)
}

// note takes what an event tells apart from errors.
func (m *StreamMeter) note(o *outcome) {
	if o.usage != nil || o.usageErr != nil {
		m.usage, m.usageErr, m.preview = o.usage, o.usageErr, o.preview
	}
	m.opening = o.opening
	if m.provider == "" && o.provider != nil {
		m.provider = plainText(o.provider)
	}
	m.done = m.done || o.done
	m.finished = m.finished || o.finished
	m.produced += o.produced
}

// noteBroken takes an event that is no JSON object. Its text may have been a completion's, so all of it counts as produced.
func (m *StreamMeter) noteBroken(event Event) {
	m.produced += int64(len(event.Data))
	if m.broken == nil {
		m.broken = fmt.Errorf("reading a chunk: %w", m.scanner.err)
	}
	if m.reported == nil && string(event.Name) == "error" {
		m.report(&ReportedError{Message: shorten(string(event.Data))}, event.Data)
	}
}

func (m *StreamMeter) report(reported *ReportedError, in []byte) {
	m.reported, m.reportedIn = reported, bytes.Clone(in)
}

// Usage returns the last usage that the stream reported, wherever it stood: usage is cumulative where it comes more than once. It
// is nil if there was none or if the last one cannot be booked; err then says why, or which chunk could not be read, if any.
func (m *StreamMeter) Usage() (usage *pricing.Usage, err error) {
	if m.usage != nil {
		return m.usage, nil
	}
	if m.usageErr != nil {
		return nil, m.usageErr
	}
	return nil, m.broken
}

// Preview reports whether the usage is a placeholder: less than the bill, whatever came after it.
func (m *StreamMeter) Preview() bool { return m.preview }

// Opening reports whether the last event said that the answer begins, and nothing else, so that an error may still be all that follows.
func (m *StreamMeter) Opening() bool { return m.opening }

// Reported returns the first error that the stream reported, nil if there was none.
func (m *StreamMeter) Reported() *ReportedError { return m.reported }

// ReportedIn is the object that the reported error is a member of, or that is itself the error; nil if there was none.
func (m *StreamMeter) ReportedIn() []byte { return m.reportedIn }

// Done reports whether the end of the stream has come: data: [DONE], or the event that is the last of the operation's.
func (m *StreamMeter) Done() bool { return m.done }

// Finished reports whether anything says why generation ended, such as a choice's finish reason. It is no end of the stream: usage may
// follow.
func (m *StreamMeter) Finished() bool { return m.finished }

// Provider is who makes the answer, by the name that OpenRouter gives; empty if nobody is named.
func (m *StreamMeter) Provider() string { return m.provider }

// CompletionBytes is how many bytes of text all choices have produced together. It bounds the tokens of what was delivered, for a stream
// that was cut off; tokens that the upstream does not show, such as hidden reasoning, are not in it.
func (m *StreamMeter) CompletionBytes() int64 { return m.produced }
