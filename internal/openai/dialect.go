package openai

import (
	"net/http"
	"strconv"
)

// Dialect is how a client is told of errors.
type Dialect struct {
	// Operation is what it asked for; nil if that is not known, so that it is told in OpenAI's shape.
	Operation *Operation
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
	body := encode(failure(e))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // A client that has gone is no error of ours.
}

// Event returns an error as an event of a stream of the operation that has begun, with its blank line.
func (d Dialect) Event(e *Error) []byte { return d.Operation.failureEvent(e) }

// openAIFailure is OpenAI's shape.
func openAIFailure(e *Error) any {
	return struct {
		Error errorBody `json:"error"`
	}{e.body()}
}

// errorBody has all four members always, since strict clients require them.
type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
	// Metadata is only in the error of a stream.
	Metadata *errorMetadata `json:"metadata,omitempty"`
}

type errorMetadata struct {
	Status    int    `json:"http_status"`
	ErrorType string `json:"error_type"`
}

func (e *Error) body() errorBody {
	body := errorBody{Message: e.Message, Type: e.Type}
	if e.Param != "" {
		body.Param = &e.Param
	}
	if e.Code != "" {
		body.Code = &e.Code
	}
	return body
}

// chatFailureEvent is an error as an event of a chat's stream. It is OpenRouter's chunk for an error in mid-stream,
// so that clients that look for a member error and clients that look for the finish reason "error" both see it; the status of the answer
// was sent long ago, so the error carries it as metadata.
func chatFailureEvent(e *Error) []byte {
	type choice struct {
		Index        int               `json:"index"`
		Delta        map[string]string `json:"delta"`
		FinishReason string            `json:"finish_reason"`
	}
	failure := e.body()
	failure.Metadata = &errorMetadata{Status: e.Status, ErrorType: e.Type}
	body := encode(struct {
		Error   errorBody `json:"error"`
		ID      string    `json:"id"`
		Object  string    `json:"object"`
		Created int64     `json:"created"`
		Model   string    `json:"model"`
		Choices []choice  `json:"choices"`
	}{
		Error:   failure,
		Object:  "chat.completion.chunk",
		Choices: []choice{{Delta: map[string]string{"content": ""}, FinishReason: "error"}},
	})
	return append(append([]byte("data: "), body...), "\n\n"...)
}
