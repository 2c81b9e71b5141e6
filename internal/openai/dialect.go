package openai

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Dialect is how a client is told of errors.
type Dialect struct {
	// Operation is what it asked for; nil if that is not known, so that it is told in OpenAI's shape.
	Operation *Operation
	// NumericCodes says that in OpenAI's shape an error's code is its HTTP status, as OpenRouter has it, whose SDK knows no error without;
	// the word for it, which OpenAI has there, is then metadata.error_type.
	NumericCodes bool
	// RequestID names the request; empty if it has no name.
	RequestID string
}

// Write sends an error as the answer.
func (d Dialect) Write(w http.ResponseWriter, e *Error) {
	for name, values := range e.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	failure := openAIFailure
	if d.Operation != nil {
		failure = d.Operation.failure
	}
	body := encode(failure(d, e))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // A client that has gone is no error of ours.
}

// DialectAt is how a client is told of errors at a path below the API's base path. What lies below an operation's path is its dialect too,
// since only its clients ask for it.
func DialectAt(path string) Dialect {
	for _, operation := range operations {
		if path == operation.Path || strings.HasPrefix(path, operation.Path+"/") {
			return Dialect{Operation: operation}
		}
	}
	return Dialect{}
}

// SetRequestID tells a client the name of its request in the header of its own API, if that has one.
func (d Dialect) SetRequestID(header http.Header) {
	if d.Operation != nil && d.Operation.idHeader != "" {
		header.Set(d.Operation.idHeader, d.RequestID)
	}
}

// SetRateLimit tells a client where it stands: in OpenAI's headers, and in those of its own API.
func (d Dialect) SetRateLimit(header http.Header, l RateLimit, now time.Time) {
	l.SetHeader(header)
	if d.Operation != nil && d.Operation.rateHeader != nil {
		d.Operation.rateHeader(header, l, now)
	}
}

// Event returns an error as an event of a stream of the operation that has begun, with its blank line.
func (d Dialect) Event(e *Error) []byte { return d.Operation.failureEvent(d, e) }

// openAIFailure is OpenAI's shape.
func openAIFailure(d Dialect, e *Error) any {
	return struct {
		Error errorBody `json:"error"`
	}{d.body(e)}
}

// errorBody has all four members always, since strict clients require them.
type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	// Code is a word, or null, or the status.
	Code     any            `json:"code"`
	Metadata *errorMetadata `json:"metadata,omitempty"`
}

// errorMetadata is OpenRouter's.
type errorMetadata struct {
	// Status is only in the error of a stream.
	Status    int    `json:"http_status,omitempty"`
	ErrorType string `json:"error_type"`
}

func (d Dialect) body(e *Error) errorBody {
	body := errorBody{Message: e.Message, Type: e.Type}
	if e.Param != "" {
		body.Param = &e.Param
	}
	switch {
	case d.NumericCodes:
		body.Code = e.Status
		body.Metadata = &errorMetadata{ErrorType: cmp.Or(e.Code, e.Type)}
	case e.Code != "":
		body.Code = e.Code
	}
	return body
}

// eventBody is the error of a stream. The status of the answer was sent long ago, so the error carries it as metadata.
func (d Dialect) eventBody(e *Error) errorBody {
	body := d.body(e)
	if body.Metadata == nil {
		body.Metadata = &errorMetadata{ErrorType: e.Type}
	}
	body.Metadata.Status = e.Status
	return body
}

// failureChunk makes an event of a chunk of a stream that has an error and one choice, whose finish reason is "error": OpenRouter's for an
// error in mid-stream, so that clients that look for a member error and clients that look for the finish reason both see it.
func failureChunk[Choice any](d Dialect, e *Error, object string, choice Choice) []byte {
	body := encode(struct {
		Error   errorBody `json:"error"`
		ID      string    `json:"id"`
		Object  string    `json:"object"`
		Created int64     `json:"created"`
		Model   string    `json:"model"`
		Choices []Choice  `json:"choices"`
	}{Error: d.eventBody(e), Object: object, Choices: []Choice{choice}})
	return append(append([]byte("data: "), body...), "\n\n"...)
}

// finishedByError is the finish reason of a choice that ended with an error.
const finishedByError = "error"

func chatFailureEvent(d Dialect, e *Error) []byte {
	type choice struct {
		Index        int               `json:"index"`
		Delta        map[string]string `json:"delta"`
		FinishReason string            `json:"finish_reason"`
	}
	return failureChunk(d, e, "chat.completion.chunk", choice{Delta: map[string]string{"content": ""}, FinishReason: finishedByError})
}
