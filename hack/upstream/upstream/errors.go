package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// apiError is an answer in OpenRouter's error envelope: {"error":{"code","message","metadata"},"user_id"}.
type apiError struct {
	status       int
	errorType    string
	message      string
	retryAfter   int // seconds; 0 sends no header
	provider     string
	stringCode   bool // the code is error_type instead of the status, as some gateways do
	availability *availability
}

// availability tells why no endpoint can serve a request (OpenRouter, since August 2026).
type availability struct {
	Code            string      `json:"code"`
	Retryable       bool        `json:"retryable"`
	RequestedModels []string    `json:"requested_models"`
	Constraint      *constraint `json:"constraint,omitempty"`
}

type constraint struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.status, e.errorType, e.message)
}

// errorTypes names the error_type of each status that OpenRouter documents.
var errorTypes = map[int]string{
	http.StatusBadRequest:            "invalid_request",
	http.StatusUnauthorized:          "authentication",
	http.StatusPaymentRequired:       "payment_required",
	http.StatusForbidden:             "permission_denied",
	http.StatusNotFound:              "not_found",
	http.StatusRequestTimeout:        "timeout",
	http.StatusPreconditionFailed:    "precondition_failed",
	http.StatusRequestEntityTooLarge: "payload_too_large",
	http.StatusUnprocessableEntity:   "unprocessable",
	http.StatusTooManyRequests:       "rate_limit_exceeded",
	http.StatusInternalServerError:   "server",
	http.StatusBadGateway:            "provider_unavailable",
	http.StatusServiceUnavailable:    "provider_overloaded",
	http.StatusGatewayTimeout:        "timeout",
	524:                              "timeout",
	529:                              "provider_overloaded",
}

func newError(status int, format string, args ...any) *apiError {
	kind, ok := errorTypes[status]
	if !ok {
		kind = "unmapped"
	}
	return &apiError{status: status, errorType: kind, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *apiError {
	return newError(http.StatusBadRequest, format, args...)
}

// unavailable says that no endpoint can serve the models asked for, and why.
func unavailable(status int, code, message string, models []string, field string) *apiError {
	e := &apiError{status: status, errorType: code, message: message}
	e.availability = &availability{Code: code, RequestedModels: models}
	if field != "" {
		e.availability.Constraint = &constraint{Field: field, Detail: message}
	}
	return e
}

type errorBody struct {
	Code         any            `json:"code"`
	Message      string         `json:"message"`
	Metadata     map[string]any `json:"metadata,omitempty"`
	Availability *availability  `json:"availability,omitempty"`
}

func (e *apiError) body() errorBody {
	body := errorBody{Code: e.status, Message: e.message, Availability: e.availability}
	body.Metadata = map[string]any{"error_type": e.errorType}
	if e.provider != "" {
		body.Metadata["provider_name"] = e.provider
		body.Metadata["provider_code"] = strconv.Itoa(e.status)
	}
	if e.stringCode {
		body.Code = e.errorType
	}
	return body
}

type errorEnvelope struct {
	Error  errorBody `json:"error"`
	UserID string    `json:"user_id,omitempty"`
}

func (e *apiError) envelope() errorEnvelope {
	return errorEnvelope{Error: e.body(), UserID: "user_upstream"}
}

func (e *apiError) write(w http.ResponseWriter) { e.writeAs(w, openRouterAPI{}.envelope) }

func (e *apiError) writeAs(w http.ResponseWriter, envelope func(*apiError) any) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	writeJSON(w, e.status, envelope(e))
}

// asAPIError finds the answer in err; anything else is OpenRouter's masked 500.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return newError(http.StatusInternalServerError, "Internal Server Error")
}

// marshal encodes as OpenRouter does: compact, and with <, > and & as they are.
func marshal(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		// Every value given to marshal is one of this package's own shapes, so this is a mistake in the program.
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data := marshal(v)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // A caller that has gone is no error of ours.
}
