package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/modelroute/modelroute/internal/openai"
)

// Statuses that OpenRouter documents and net/http does not name.
const (
	statusEdgeTimeout = 524
	statusOverloaded  = 529
)

// The codes of errors that are made here.
const (
	codeTimeout       = "upstream_timeout"
	codeInvalid       = "upstream_invalid_response"
	codeDisconnected  = "upstream_disconnected"
	codeUnreachable   = "upstream_unreachable"
	codeKeyMissing    = "upstream_key_missing"
	codeUpstreamError = "upstream_error"
	codeOverloaded    = "upstream_overloaded"
	codeRateLimited   = "upstream_rate_limited"
	codeRefused       = "upstream_refused"
	codeAuth          = "upstream_auth"
	codePayment       = "upstream_payment_required"
	codeNotFound      = "upstream_not_found"
	codePolicy        = "content_policy_violation"
	codeStarting      = "starting"
	codeEncoding      = "unsupported_content_encoding"
	codeBodyTimeout   = "body_timeout"
	// codeNoQuota is OpenAI's, for an account that has no money left.
	codeNoQuota = "insufficient_quota"
)

// unbilled says whether an answer with an error status surely cost nothing. An error in the upstream's own words is a refusal, and
// refusals are free. A failure that somebody on the way reports says nothing of what the upstream did, and an edge that gave up waiting
// leaves the upstream at work.
func unbilled(status int, ownWords bool) bool {
	switch {
	case status == statusEdgeTimeout:
		return false
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return ownWords
	}
	return true
}

// refusalOf is what a client is told when the upstream answers with an error. What only the operator can mend, above all our own key and
// account, is never shown as the client's fault: it becomes a 502 that SDKs do not retry.
func refusalOf(status int, said upstreamError, key string) *openai.Error {
	switch {
	case status == http.StatusForbidden && said.moderated:
		return relayed(http.StatusForbidden, said, key, codePolicy)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return final(badGateway(codeAuth, "The upstream does not accept this endpoint's own key."))
	case status == http.StatusPaymentRequired, said.code == codeNoQuota:
		return final(badGateway(codePayment, "This endpoint's account at the upstream is out of money."))
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status < http.StatusBadRequest:
		return final(badGateway(codeNotFound, "The upstream does not serve this model as the route asks for it."))
	case status == http.StatusRequestTimeout:
		return failed(http.StatusGatewayTimeout, codeTimeout, said, key)
	case status == http.StatusTooManyRequests:
		return relayed(status, said, key, codeRateLimited)
	case status < http.StatusInternalServerError:
		return relayed(status, said, key, codeRefused)
	}
	return failedOf(status, said, key)
}

// failedOf is for an upstream that failed by itself.
func failedOf(status int, said upstreamError, key string) *openai.Error {
	switch status {
	case http.StatusServiceUnavailable, statusOverloaded:
		return failed(http.StatusServiceUnavailable, codeOverloaded, said, key)
	case http.StatusGatewayTimeout, statusEdgeTimeout:
		return failed(http.StatusGatewayTimeout, codeTimeout, said, key)
	}
	return failed(http.StatusBadGateway, codeUpstreamError, said, key)
}

// relayed keeps status, code and message.
func relayed(status int, said upstreamError, key, otherwise string) *openai.Error {
	message := said.publicMessage(key)
	if message == "" {
		message = "The upstream refused the request without saying why."
	}
	refusal := openai.UpstreamError(status, said.publicCode(otherwise), "%s", message)
	refusal.Param = said.param
	return refusal
}

func failed(status int, code string, said upstreamError, key string) *openai.Error {
	if message := said.publicMessage(key); message != "" {
		return openai.UpstreamError(status, code, "The upstream failed: %s", message)
	}
	return openai.UpstreamError(status, code, "The upstream failed without saying why.")
}

// final tells SDKs that trying again is of no use.
func final(refusal *openai.Error) *openai.Error {
	if refusal.Header == nil {
		refusal.Header = http.Header{}
	}
	refusal.Header.Set("X-Should-Retry", "false")
	return refusal
}

// broken is for an upstream that stopped answering.
func broken(cause error) *openai.Error {
	switch {
	case errors.Is(cause, context.DeadlineExceeded):
		return openai.UpstreamError(http.StatusGatewayTimeout, codeTimeout, "The upstream did not finish its answer in time.")
	case errors.Is(cause, errTooLong), errors.Is(cause, openai.ErrEventTooLarge):
		return badGateway(codeInvalid, "The upstream's answer is larger than this endpoint takes.")
	}
	return badGateway(codeDisconnected, "The connection to the upstream broke before its answer was complete.")
}

func badGateway(code, message string) *openai.Error {
	return openai.UpstreamError(http.StatusBadGateway, code, "%s", message)
}

func unreachable() *openai.Error {
	return badGateway(codeUnreachable, "The upstream cannot be reached.")
}

func invalidAnswer(operation *openai.Operation) *openai.Error {
	return badGateway(codeInvalid, "The upstream's answer is not "+operation.Answer+".")
}

func noUpstreamKey() *openai.Error {
	return openai.UpstreamError(http.StatusServiceUnavailable, codeKeyMissing,
		"This endpoint has no key for its upstream at the moment.")
}

func noAuthorities() *openai.Error {
	return openai.UpstreamError(http.StatusServiceUnavailable, "upstream_authorities_missing",
		"This endpoint does not know its upstream's authorities at the moment.")
}

func starting() *openai.Error {
	return openai.UpstreamError(http.StatusServiceUnavailable, codeStarting, "This endpoint has no configuration yet.")
}

func slowBody(limit time.Duration) *openai.Error {
	return openai.UpstreamError(http.StatusRequestTimeout, codeBodyTimeout, "The body did not arrive within %s.", limit)
}

func compressed(encoding string) *openai.Error {
	return &openai.Error{
		Status:  http.StatusUnsupportedMediaType,
		Type:    "invalid_request_error",
		Code:    codeEncoding,
		Message: "The body is encoded as " + encoding + "; send it as plain JSON.",
	}
}
