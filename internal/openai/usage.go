package openai

import "github.com/modelroute/modelroute/internal/pricing"

// ReportedError is an error that the upstream reports inside of an answer whose status is 200.
type ReportedError struct {
	// Code, Type and Message are as the upstream has them; a number is given as its text.
	Code, Type, Message string
}

// UsageFromResponse reads the JSON answer of a chat completion. usage is nil if the answer has none; err is set if the
// answer is no JSON or its usage cannot be booked.
func UsageFromResponse(body []byte) (usage *pricing.Usage, reported *ReportedError, err error) {
	return nil, nil, nil
}

// StreamMeter gathers from the events of one stream what settling it needs. The zero value is ready for use.
type StreamMeter struct{}

// Observe takes the next event.
func (m *StreamMeter) Observe(event Event) {}

// Usage returns the last usage that the stream reported, nil if there was none; err is set if the last one cannot be booked.
func (m *StreamMeter) Usage() (usage *pricing.Usage, err error) { return nil, nil }

// Reported returns the first error that the stream reported, nil if there was none.
func (m *StreamMeter) Reported() *ReportedError { return nil }

// Done reports whether the end of the stream, data: [DONE], has come.
func (m *StreamMeter) Done() bool { return false }

// Finished reports whether any choice has a finish reason.
func (m *StreamMeter) Finished() bool { return false }

// CompletionBytes is how many bytes of text all choices have produced together.
func (m *StreamMeter) CompletionBytes() int64 { return 0 }
