package proxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// upstreamError is what an upstream says of its failure, in whichever of the usual shapes.
type upstreamError struct {
	// found is true if the answer is an error in one of those shapes. Otherwise something between the upstream and us may have made it.
	found bool
	// code and kind are for programs; a number is given as its text. Empty if there is none.
	code, kind string
	message    string
	param      string
	// moderated is true if the upstream refuses what the prompt says.
	moderated bool
}

// readUpstreamError reads OpenAI's and OpenRouter's envelope, and the flat one of Mistral and older compatible servers.
func readUpstreamError(body []byte) upstreamError {
	var envelope struct {
		Error json.RawMessage `json:"error"`
		errorFields
	}
	if json.Unmarshal(body, &envelope) != nil {
		return upstreamError{}
	}
	if absent(envelope.Error) {
		said := envelope.said()
		said.found = said.message != ""
		return said
	}
	fields := errorFields{Message: envelope.Error}
	if envelope.Error[0] == '{' && json.Unmarshal(envelope.Error, &fields) != nil {
		return upstreamError{}
	}
	said := fields.said()
	said.found = true
	return said
}

// errorFields are the members of an error. A member of another type than expected must not hide the others, so each is read by itself.
type errorFields struct {
	Message  json.RawMessage `json:"message"`
	Code     json.RawMessage `json:"code"`
	Type     json.RawMessage `json:"type"`
	Param    json.RawMessage `json:"param"`
	Metadata json.RawMessage `json:"metadata"`
	// Detail is what servers made with FastAPI say, among them Mistral's and vLLM, here or within the message.
	Detail json.RawMessage `json:"detail"`
	// ErrorType and HTTPStatus are what OpenRouter has instead of type and code where it says which models would be available.
	ErrorType  json.RawMessage `json:"error_type"`
	HTTPStatus json.RawMessage `json:"http_status"`
}

func (f errorFields) said() upstreamError {
	said := upstreamError{code: text(f.Code), kind: text(f.Type), message: text(f.Message), param: text(f.Param)}
	said.message = cmp.Or(said.message, detailText(f.Detail), detailWithin(f.Message))
	var metadata struct {
		ErrorType json.RawMessage `json:"error_type"`
		Reasons   json.RawMessage `json:"reasons"`
	}
	if json.Unmarshal(f.Metadata, &metadata) == nil {
		said.moderated = !absent(metadata.Reasons)
		said.kind = cmp.Or(said.kind, text(metadata.ErrorType))
	}
	said.kind = cmp.Or(said.kind, text(f.ErrorType))
	said.code = cmp.Or(said.code, text(f.HTTPStatus))
	return said
}

// detailWithin reads a message that is an object with a detail.
func detailWithin(message json.RawMessage) string {
	var within struct {
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(message, &within) != nil {
		return ""
	}
	return detailText(within.Detail)
}

// detailText is what a detail says: a text, or a list of what is wrong and where.
func detailText(detail json.RawMessage) string {
	var list []struct {
		Where   []json.RawMessage `json:"loc"`
		Message string            `json:"msg"`
	}
	if json.Unmarshal(detail, &list) != nil {
		var plain string
		_ = json.Unmarshal(detail, &plain) // What is neither says nothing.
		return plain
	}
	said := make([]string, 0, len(list))
	for _, one := range list {
		where := make([]string, 0, len(one.Where))
		for _, part := range one.Where {
			where = append(where, text(part))
		}
		said = append(said, strings.TrimPrefix(strings.Join(where, ".")+": "+one.Message, ": "))
	}
	return strings.Join(said, "; ")
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

// text is a string's value or a number's digits; anything else is nothing.
func text(raw json.RawMessage) string {
	var value string
	if json.Unmarshal(raw, &value) == nil {
		return value
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}

// statusOfWord has the words for errors of an upstream: those that are about our key or our account there, of OpenAI's codes and
// OpenRouter's types, and Anthropic's types, which have no number beside them in a stream.
var statusOfWord = map[string]int{
	"invalid_api_key": http.StatusUnauthorized, "authentication": http.StatusUnauthorized, "authentication_error": http.StatusUnauthorized,
	"permission_denied": http.StatusForbidden, "payment_required": http.StatusPaymentRequired,
	codeNoQuota: http.StatusPaymentRequired, "insufficient_credits": http.StatusPaymentRequired,
	"billing_error": http.StatusPaymentRequired, "permission_error": http.StatusForbidden, "not_found_error": http.StatusNotFound,
	"request_too_large":     http.StatusRequestEntityTooLarge,
	"invalid_request_error": http.StatusBadRequest, "rate_limit_error": http.StatusTooManyRequests,
	"rate_limit_exceeded": http.StatusTooManyRequests, "invalid_prompt": http.StatusBadRequest,
	"timeout_error": http.StatusGatewayTimeout, "overloaded_error": statusOverloaded,
}

// status is the HTTP status that an error within a good answer stands for: its code, where that is one, or what its words say, else that
// of a bad gateway.
func (e upstreamError) status() int {
	for _, word := range []string{e.code, e.kind} {
		if status := statusOfWord[word]; status != 0 {
			return status
		}
	}
	status, err := strconv.Atoi(e.code)
	if err != nil || status < http.StatusBadRequest || status > 599 {
		return http.StatusBadGateway
	}
	return status
}

// isOurs says that an error within a good answer is about our own key or account, which only the operator can mend.
func (e upstreamError) isOurs() bool {
	switch e.status() {
	case http.StatusUnauthorized, http.StatusPaymentRequired:
		return true
	case http.StatusForbidden:
		return !e.moderated
	}
	return false
}

// quotesKey says that what an upstream sent holds our key.
func quotesKey(sent []byte, key string) bool { return key != "" && bytes.Contains(sent, []byte(key)) }

const maxMessageBytes = 2000

// redacted stands where an upstream's message quotes our key.
const redacted = "[redacted]"

// publicMessage is the upstream's message as a client may read it: bounded, and without our key.
func (e upstreamError) publicMessage(key string) string {
	message := e.message
	if key != "" {
		message = strings.ReplaceAll(message, key, redacted)
	}
	if len(message) > maxMessageBytes {
		message = strings.ToValidUTF8(message[:maxMessageBytes], "") + "…"
	}
	return message
}

// forLog tells the operator what kind of error it is. The message is not in it: it may quote the prompt, and so may a code that is made up.
func (e upstreamError) forLog() string {
	if !e.found {
		return "no error in a known shape"
	}
	var known []string
	for _, word := range []string{e.code, e.kind} {
		if isKnownWord(word) {
			known = append(known, word)
		}
	}
	if len(known) == 0 {
		return "an error without a code that is known"
	}
	return strings.Join(slices.Compact(known), " ")
}

// publicCode is the code that a client gets: the word for it where there is one, because OpenRouter's codes only repeat the status.
func (e upstreamError) publicCode(otherwise string) string {
	if _, err := strconv.Atoi(e.code); e.code != "" && err != nil {
		return e.code
	}
	for _, code := range []string{e.kind, e.code} {
		if code != "" {
			return code
		}
	}
	return otherwise
}
