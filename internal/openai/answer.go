package openai

import (
	"errors"
	"fmt"
	"strings"

	"github.com/modelroute/modelroute/internal/pricing"
)

// maxReportedText bounds the text that is kept of a reported error.
const maxReportedText = 4 << 10

// ReportedError is an error that the upstream reports inside of an answer whose status is 200. It is the upstream's text: it may name
// things that tenants should not see.
type ReportedError struct {
	// Code, Type and Message are as the upstream has them; a number is given as its text. Each may be empty.
	Code, Type, Message string
}

// Error returns code and message.
func (e *ReportedError) Error() string {
	return fmt.Sprintf("upstream reports error %q (%s): %s", e.Code, e.Type, e.Message)
}

// Answer is what a JSON answer tells.
type Answer struct {
	// Usage is nil if the answer has none or one that cannot be booked; it is never guessed.
	Usage *pricing.Usage
	// Reported is the error that the answer carries in spite of its status, nil if there is none.
	Reported *ReportedError
	// ReportedIn is the object that the error is a member of, or that is itself the error.
	ReportedIn []byte
	// Generated is true if the answer holds anything that was generated.
	Generated bool
}

// ErrNoObject is the error of reading an answer that is no JSON object.
var ErrNoObject = errors.New("it is no JSON object")

// ReadAnswer reads a JSON answer. The error says why its usage cannot be booked, or is ErrNoObject, and then nothing is told.
func (o *Operation) ReadAnswer(body []byte) (Answer, error) {
	s := &scanner{data: body}
	got := o.read(s, nil)
	if s.end(); s.err != nil {
		return Answer{}, fmt.Errorf("reading the upstream's answer: %w: %w", ErrNoObject, s.err)
	}
	answer := Answer{Usage: got.usage, Reported: got.reported, Generated: got.generated}
	if got.reported != nil {
		answer.ReportedIn = got.errorIn(body)
	}
	return answer, got.usageErr
}

// StreamOf turns a JSON answer into the stream that the client asked for and the upstream did not give, with its usage or without. Passed
// on as JSON it would be read as a stream without events, which the SDKs take for an empty answer without saying so. It fails if the answer
// is none of the operation.
func (o *Operation) StreamOf(answer []byte, includeUsage bool) ([]byte, error) {
	return o.stream(answer, includeUsage)
}

// outcome is what one JSON answer, or one event of a stream, tells.
type outcome struct {
	// usage is what the last member usage says; usageErr why it cannot be booked. Both are nil if there is none or it is null.
	usage    *pricing.Usage
	usageErr error
	reported *ReportedError
	// reportedIn is the object that the error is in, if that is not the whole.
	reportedIn []byte
	// preview is true if the usage is a placeholder that is no bill, whatever follows.
	preview bool
	// opening is true if an event says that the answer begins, and nothing else.
	opening bool
	// generated is true if there is anything that was generated, finished if nothing more will be, of one choice at least, and done if the
	// stream ends here.
	generated, finished, done bool
	// provider is the JSON of who made the answer, as OpenRouter says it; nil if it does not.
	provider []byte
	// produced is how many bytes of text an event has that were generated.
	produced int64
}

// errorIn returns the object that the reported error is in, which is the whole if the reader has not said otherwise.
func (o *outcome) errorIn(whole []byte) []byte {
	if o.reportedIn != nil {
		return o.reportedIn
	}
	return whole
}

// parseReported reads the error that an upstream reports: an object or a text.
func parseReported(value []byte) *ReportedError {
	if value[0] != '{' {
		return &ReportedError{Message: plainText(value)}
	}
	e := &ReportedError{}
	s := &scanner{data: value}
	for s.enterObject(); s.nextMember(); {
		key := string(s.key)
		switch text := s.span(); key {
		case "code":
			e.Code = plainText(text)
		case "type":
			e.Type = plainText(text)
		case "message":
			e.Message = plainText(text)
		case "metadata":
			if metadata := parseObjectValue(text); e.Type == "" && metadata != nil {
				e.Type = plainText(metadata.get("error_type"))
			}
		}
	}
	return e
}

// plainText returns a string's own text, and the JSON text of other values; null is empty.
func plainText(value []byte) string {
	text := string(value)
	switch {
	case text == "null":
		return ""
	case len(value) > 0 && value[0] == '"':
		text = decodeString(value)
	}
	return shorten(text)
}

// shorten cuts a text at maxReportedText, between two characters.
func shorten(text string) string {
	if len(text) <= maxReportedText {
		return text
	}
	return strings.ToValidUTF8(text[:maxReportedText], "")
}
