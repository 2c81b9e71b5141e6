package openai

import (
	"net/http"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// Error is an answer in OpenAI's shape: {"error":{"message","type","param","code"}}; Param and Code are null where empty.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Type and Code are for programs, Message is for people; none of them may hold a secret.
	Type, Code, Param, Message string
	// Header has further headers, such as Retry-After; nil if there are none.
	Header http.Header
}

// Error returns status, code and message.
func (e *Error) Error() string { return e.Message }

// Write sends the answer.
func (e *Error) Write(w http.ResponseWriter) {}

// Denial says which budget stood in the way of a request, in words that its consumer may read.
type Denial struct {
	// Budget is the budget's name.
	Budget string
	// Limit is the budget's amount, Remaining what is neither spent nor held of it, Needed the most that the request can cost.
	Limit, Remaining, Needed money.Amount
	// ResetsIn is the time to the end of the window; 0 if it never ends.
	ResetsIn time.Duration
}

// InvalidRequest is a 400; param is the path of the field at fault, or empty.
func InvalidRequest(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Param: param, Message: format}
}

// Unauthorized is a 401 for a key that is missing or not known.
func Unauthorized(format string, args ...any) *Error { return &Error{Message: format} }

// NotFound is a 404 for a path that is not served.
func NotFound(format string, args ...any) *Error { return &Error{Message: format} }

// ModelNotFound is a 404 for a model that the endpoint does not serve.
func ModelNotFound(model string) *Error { return &Error{Message: model} }

// MethodNotAllowed is a 405; allow is what the path takes, such as "POST".
func MethodNotAllowed(allow string) *Error { return &Error{Message: allow} }

// TooLarge is a 413 for a body of more than limit bytes.
func TooLarge(limit int64) *Error { return &Error{} }

// BudgetExhausted is a 402 for a request that does not fit what is left of a budget; it tells SDKs not to retry.
func BudgetExhausted(d Denial) *Error { return &Error{} }

// BudgetHeld is a 429 for a request that does not fit now, but may once requests under way have settled.
func BudgetHeld(d Denial, retryAfter time.Duration) *Error { return &Error{} }

// LedgerUnavailable is a 503: no money can be reserved, so nothing is sent upstream.
func LedgerUnavailable() *Error { return &Error{} }

// UpstreamError is an answer for a failure of the upstream: 429, 502, 503, 504 and so on.
func UpstreamError(status int, code, format string, args ...any) *Error { return &Error{} }

// Internal is a 500.
func Internal() *Error { return &Error{} }

// StreamErrorEvent is e as an event of a stream that has begun, with its blank line.
func StreamErrorEvent(e *Error) []byte { return nil }
