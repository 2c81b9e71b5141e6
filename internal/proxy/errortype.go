package proxy

import "github.com/modelroute/modelroute/internal/openai"

// errorClientGone is the error of a request whose client hung up.
const errorClientGone = "client_disconnected"

// errorTypes are what metrics and traces tell apart: the codes of the errors that are made here, in the order of docs/errors.md, to which a
// test holds them; the type of an error that has no code; and clients that went away. An upstream's codes are not among them, since it can
// make up any number of them.
var errorTypes = wordsOf(errorClientGone + " " + openai.TypeInvalidRequest + `
	budget_exhausted budget_held rate_limit_exceeded ledger_unavailable

	invalid_api_key model_not_found endpoint_not_found unknown_url method_not_allowed route_suspended starting internal_error

	invalid_json duplicate_key unknown_parameter unsupported_parameter unsupported_value missing_required_parameter invalid_type
	invalid_value integer_above_max_value integer_below_min_value decimal_above_max_value decimal_below_min_value string_above_max_length
	array_above_max_length object_above_max_properties empty_array empty_string context_length_exceeded body_too_large body_timeout
	unsupported_content_encoding

	upstream_auth upstream_payment_required upstream_not_found upstream_key_missing upstream_authorities_missing upstream_unreachable
	upstream_disconnected upstream_timeout upstream_invalid_response upstream_overloaded upstream_rate_limited upstream_error
	upstream_refused content_policy_violation`)

// errorType is the label for a code; empty for none.
func errorType(code string) string {
	if code == "" || errorTypes[code] {
		return code
	}
	return otherError
}

// loggedCode is what the log has of a code: also what an upstream documents, and not what it makes up.
func loggedCode(code string) string {
	if isKnownWord(code) {
		return code
	}
	return errorType(code)
}
