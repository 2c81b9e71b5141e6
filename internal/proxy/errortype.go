package proxy

import "github.com/modelroute/modelroute/internal/openai"

// errorClientGone is the error of a request whose client hung up.
const errorClientGone = "client_disconnected"

// errorTypes are the codes of errors that metrics and traces tell apart: those that are made here. An upstream's are not among them, since
// it can make up any number of them.
var errorTypes = map[string]bool{
	errorClientGone: true,

	openai.TypeInvalidRequest: true, openai.CodeInvalidAPIKey: true, openai.CodeModelNotFound: true, openai.CodeUnknownURL: true,
	openai.CodeEndpointNotFound: true,
	openai.CodeMethodNotAllowed: true, openai.CodeBodyTooLarge: true, openai.CodeContextLengthExceeded: true,
	openai.CodeUnsupportedParameter: true, codeEncoding: true, codeBodyTimeout: true,
	"invalid_json": true, "duplicate_key": true, "invalid_type": true, "invalid_value": true, "unknown_parameter": true,
	"missing_required_parameter": true, "unsupported_value": true,

	openai.CodeBudgetExhausted: true, openai.CodeBudgetHeld: true, openai.CodeRateLimitExceeded: true, openai.CodeLedgerUnavailable: true,
	openai.CodeInternal: true, codeStarting: true,

	codeTimeout: true, codeInvalid: true, codeDisconnected: true, codeUnreachable: true, codeKeyMissing: true, codeUpstreamError: true,
	codeOverloaded: true, codeRateLimited: true, codeRefused: true, codeAuth: true, codePayment: true, codeNotFound: true, codePolicy: true,
}

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
