package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// The types of errors, as OpenAI names them.
const (
	TypeInvalidRequest    = "invalid_request_error"
	TypeInsufficientQuota = "insufficient_quota"
	TypeRateLimit         = "rate_limit_error"
	TypeServer            = "server_error"
)

// The codes of the errors that are ModelRoute's own; clients and tests depend on them.
const (
	CodeInvalidAPIKey    = "invalid_api_key"
	CodeModelNotFound    = "model_not_found"
	CodeEndpointNotFound = "endpoint_not_found"
	CodeUnknownURL       = "unknown_url"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeBodyTooLarge     = "body_too_large"
	CodeBudgetExhausted  = "budget_exhausted"
	// CodeContextLengthExceeded is OpenAI's, and clients shorten the conversation when they see it.
	CodeContextLengthExceeded = "context_length_exceeded"
	// CodeUnsupportedParameter is OpenAI's too.
	CodeUnsupportedParameter = "unsupported_parameter"
	CodeBudgetHeld           = "budget_held"
	CodeRateLimitExceeded    = "rate_limit_exceeded"
	CodeLedgerUnavailable    = "ledger_unavailable"
	CodeRouteSuspended       = "route_suspended"
	CodeInternal             = "internal_error"
)

// headerShouldRetry is obeyed by OpenAI's SDKs before they look at the status.
const headerShouldRetry = "X-Should-Retry"

// ledgerRetryAfter is how long a client shall wait for the ledger: a restart of it takes seconds.
const ledgerRetryAfter = 2 * time.Second

// Error is an answer in OpenAI's shape: {"error":{"message","type","param","code"}}; Param and Code are null where empty.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Type and Code are for programs, Message is for people, Param is the path of the field at fault; none of them may hold a secret.
	Type, Code, Param, Message string
	// Header has further headers, such as Retry-After; nil if there are none.
	Header http.Header
}

// Error returns status, code and message.
func (e *Error) Error() string {
	code := e.Code
	if code == "" {
		code = e.Type
	}
	return fmt.Sprintf("%d %s: %s", e.Status, code, e.Message)
}

// Denial says which budget stood in the way of a request, in words that its consumer may read.
type Denial struct {
	// Budget is the budget's name, Upstream that of the upstream whose it is; empty if it is one of the route or of the consumer.
	Budget, Upstream string
	// Owner is whose budget it is if several routes share it: "team search". Empty otherwise.
	Owner string
	// Limit is the budget's amount, Remaining what is not spent of it (though others may hold it), Needed the most that the request can
	// cost.
	Limit, Remaining, Needed money.Amount
	// ResetsIn is the time to the end of the window; 0 if it never ends.
	ResetsIn time.Duration
}

func (d Denial) String() string {
	of := ""
	if d.Upstream != "" {
		of = fmt.Sprintf(" at upstream %q", d.Upstream)
	}
	return fmt.Sprintf("%s %q of %s USD%s has %s USD left, and this request can cost up to %s USD.",
		whose(d.Owner, "Budget"), d.Budget, d.Limit, of, d.Remaining, d.Needed)
}

// whose begins a sentence about what an owner has, or about what is nobody's in particular: "Team search's budget", "Budget".
func whose(owner, what string) string {
	if owner == "" {
		return what
	}
	return strings.ToUpper(owner[:1]) + owner[1:] + "'s " + strings.ToLower(what)
}

// InvalidRequest is a 400; param is the path of the field at fault, or empty.
func InvalidRequest(param, format string, args ...any) *Error {
	return newError(http.StatusBadRequest, TypeInvalidRequest, "", param, format, args...)
}

// Unauthorized is a 401 for a key that is missing or not known.
func Unauthorized(format string, args ...any) *Error {
	e := newError(http.StatusUnauthorized, TypeInvalidRequest, CodeInvalidAPIKey, "", format, args...)
	return e.with("WWW-Authenticate", "Bearer")
}

// NotFound is a 404 for a path that is not served.
func NotFound(format string, args ...any) *Error {
	return newError(http.StatusNotFound, TypeInvalidRequest, CodeUnknownURL, "", format, args...)
}

// ModelNotFound is a 404 for a model that the endpoint does not serve.
func ModelNotFound(model string) *Error {
	return newError(http.StatusNotFound, TypeInvalidRequest, CodeModelNotFound, "model",
		"The model %.200q is not served here. GET /v1/models lists the models that are.", model)
}

// EndpointNotFound is a 404 for a model that is served, but not at this endpoint; paths are those at which it is.
func EndpointNotFound(model, path string, paths []string) *Error {
	return newError(http.StatusNotFound, TypeInvalidRequest, CodeEndpointNotFound, "model",
		"The model %.200q is not served at %s. It is served at %s.", model, path, strings.Join(paths, ", "))
}

// MethodNotAllowed is a 405; allow is what the path takes, such as "POST".
func MethodNotAllowed(allow string) *Error {
	e := newError(http.StatusMethodNotAllowed, TypeInvalidRequest, CodeMethodNotAllowed, "", "This path takes %s only.", allow)
	return e.with("Allow", allow)
}

// TooLarge is a 413 for a body of more than limit bytes.
func TooLarge(limit int64) *Error {
	return newError(http.StatusRequestEntityTooLarge, TypeInvalidRequest, CodeBodyTooLarge, "", "The body is larger than %d bytes.", limit)
}

// BudgetExhausted is a 402 for a request that does not fit what is left of a budget. It tells SDKs not to retry, since only the end of
// the window, a larger budget or a smaller request helps.
func BudgetExhausted(d Denial) *Error {
	advice := "Ask for fewer completion tokens, or for a larger budget."
	if d.ResetsIn > 0 {
		advice = fmt.Sprintf("Ask for fewer completion tokens, or wait: the budget is renewed in %s.", ceilSeconds(d.ResetsIn))
	}
	e := newError(http.StatusPaymentRequired, TypeInsufficientQuota, CodeBudgetExhausted, "", "%s %s", d, advice)
	return e.with(headerShouldRetry, "false")
}

// BudgetHeld is a 429 for a request that does not fit now, but may once requests under way have settled. SDKs retry it after retryAfter,
// which is rounded up to whole seconds.
func BudgetHeld(d Denial, retryAfter time.Duration) *Error {
	e := newError(http.StatusTooManyRequests, TypeRateLimit, CodeBudgetHeld, "",
		"%s Requests that are under way hold the rest and may give some of it back. Retry shortly.", d)
	return e.withRetryAfter(retryAfter)
}

// LedgerUnavailable is a 503: no money can be reserved, so nothing is sent upstream.
func LedgerUnavailable() *Error {
	e := newError(http.StatusServiceUnavailable, TypeServer, CodeLedgerUnavailable, "",
		"The budget of this request cannot be checked at the moment, so it was not sent. Nothing was charged. Retry shortly.")
	return e.withRetryAfter(ledgerRetryAfter)
}

// RouteSuspended is a 503 for a model that somebody has suspended. It may last for days, so SDKs shall not try again by themselves.
func RouteSuspended(model string) *Error {
	e := newError(http.StatusServiceUnavailable, TypeServer, CodeRouteSuspended, "model",
		"The model %.200q is suspended here until whoever runs this endpoint resumes it. Nothing was sent or charged.", model)
	return e.with(headerShouldRetry, "false")
}

// UpstreamError is an answer for a failure of the upstream: 429 and 5xx, or a status of the upstream that is the client's to see.
// Its type follows from status.
func UpstreamError(status int, code, format string, args ...any) *Error {
	kind := TypeServer
	switch {
	case status == http.StatusTooManyRequests:
		kind = TypeRateLimit
	case status < http.StatusInternalServerError:
		kind = TypeInvalidRequest
	}
	return newError(status, kind, code, "", format, args...)
}

// Internal is a 500 that says nothing of its cause, which belongs in the log.
func Internal() *Error {
	return newError(http.StatusInternalServerError, TypeServer, CodeInternal, "",
		"The request failed inside of the proxy. Retry, and tell its operators if it persists.")
}

func newError(status int, kind, code, param, format string, args ...any) *Error {
	return &Error{Status: status, Type: kind, Code: code, Param: param, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) with(name, value string) *Error {
	if e.Header == nil {
		e.Header = http.Header{}
	}
	e.Header.Set(name, value)
	return e
}

func (e *Error) withRetryAfter(d time.Duration) *Error {
	return e.with("Retry-After", strconv.FormatInt(int64(ceilSeconds(d)/time.Second), 10))
}

// ceilSeconds rounds up to whole seconds, at least one: a client that comes back a moment too early is denied again.
func ceilSeconds(d time.Duration) time.Duration {
	return max((d + time.Second - 1).Truncate(time.Second), time.Second)
}

// encode returns one of this package's own shapes as JSON, with <, > and & as they are.
func encode(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err)) // The shapes have no member that can fail: a mistake in the program.
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
