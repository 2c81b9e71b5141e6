package openai

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/pricing"
)

// Operation is one of the API's operations that models serve. All in which operations differ is here, as data and small readers, so that
// one path of code checks, meters and bills them all and none can be served for less than another. Operations are never changed.
type Operation struct {
	// Name is the operation's in OpenTelemetry's gen_ai.operation.name, or in its manner where that has no word for it.
	Name string
	// Endpoint is what a route calls it, in upstreams[].endpoints.
	Endpoint string
	// Path is where the operation is below the API's base path.
	Path string
	// Answer is what it answers with, as a sentence for people has it.
	Answer string

	// parameters are those of its requests that this package treats in any way, required those that every request has.
	parameters *parameters
	required   []string
	// content is the one of them that is the prompt, or most of it.
	content string
	// limits are the names of its completion limit, in tokens per choice: the one of today, then the deprecated one if there is one. It has
	// none if it completes nothing.
	limits []string
	// defaultLimit is the limit of a request that names none, as the operation's reference has it; 0 if that is the model's.
	defaultLimit int64
	// check checks parameters of which one says what another may be.
	check func(*Request) *Error
	// leastTokens returns a number of tokens that no prompt of this content can be below, of the longest one if there are several; nil if
	// that is not known.
	leastTokens func(content []byte) int64
	// overhead is how many tokens can stand around what the request itself puts into each of its prompts.
	overhead func(*Request) int64

	// read reads a JSON answer or the data of an event of a stream; the scanner stands before the object, and its error must be looked at
	// before the outcome is believed. Before is the usage that the stream has reported so far, nil if none: an operation that reports it in
	// parts returns a new one that has it all.
	read func(s *scanner, before *pricing.Usage) outcome
	// usageOption is true if a stream has its usage only where stream_options asks for it. Others always have it.
	usageOption bool
	// stream turns a JSON answer into a stream; see StreamOf. It is nil, as is failureEvent, if the operation has no streams.
	stream func(answer []byte, includeUsage bool) ([]byte, error)
	// ownEnd is true if streams end with an event of the operation, so that data: [DONE] is not the end.
	ownEnd bool
	// failure and failureEvent are how errors are told: as a whole answer's object, and as an event of a stream that has begun, with its
	// blank line.
	failure      func(d Dialect, e *Error) any
	failureEvent func(d Dialect, e *Error) []byte

	// checkHeader checks the header of a client's request, setHeader sets what the upstream's must have beside what all requests have, and
	// rateHeader tells of a rate limit in the operation's own headers. Each is nil if there is no such thing. idHeader is where its clients
	// look for the request's name, if that is not X-Request-Id.
	checkHeader func(header http.Header) *Error
	setHeader   func(header http.Header, provider Provider, key string)
	rateHeader  func(header http.Header, l RateLimit, now time.Time)
	idHeader    string
	// always are values that every request has, whatever anybody says.
	always []Setting
}

// operations are all of them, in the order in which people are told of them.
var operations = []*Operation{Chat, Completions, Responses, Messages, Embeddings}

// Operations returns all operations.
func Operations() []*Operation { return slices.Clone(operations) }

// OperationAt finds an operation by its path below the API's base path; nil if there is none.
func OperationAt(path string) *Operation {
	for _, operation := range operations {
		if operation.Path == path {
			return operation
		}
	}
	return nil
}

// Completes reports whether the operation has completions, and so a completion limit.
func (o *Operation) Completes() bool { return len(o.limits) > 0 }

// CheckHeader refuses a client's request for what its header says.
func (o *Operation) CheckHeader(header http.Header) *Error {
	if o.checkHeader == nil {
		return nil
	}
	return o.checkHeader(header)
}

// SetHeader sets what the header of a request to an upstream must have for the operation; key is the upstream's, empty if it has none.
func (o *Operation) SetHeader(header http.Header, provider Provider, key string) {
	if o.setHeader != nil {
		o.setHeader(header, provider, key)
	}
}

// limitName is the name under which a provider surely honours the completion limit; empty if the operation has none. Of the two names in
// chat OpenAI refuses the old one for its newer models, and Mistral has no other; many compatible servers know only the old one and would
// ignore the new one, and with it the budget. OpenRouter knows both.
func (o *Operation) limitName(provider Provider) string {
	switch {
	case len(o.limits) == 0:
		return ""
	case provider == Compatible, provider == Mistral:
		return o.limits[len(o.limits)-1]
	}
	return o.limits[0]
}

// requirements is the list of the required parameters as a sentence has it.
func (o *Operation) requirements() string { return strings.Join(o.required, " and ") }
