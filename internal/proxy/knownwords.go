package proxy

import "strings"

// knownWords are the codes and types that OpenAI, OpenRouter, Mistral and Anthropic document for errors. Only these are logged of what an
// upstream says of its failure.
var knownWords = wordsOf(`
	api_error authentication authentication_error bad_request billing_error billing_hard_limit_reached capacity_exhausted
	constraint_filtered content_filter content_policy_violation context_length_exceeded engine_overloaded free_variant_ended gateway_timeout
	insufficient_credits insufficient_quota internal_error internal_server_error invalid_api_key invalid_prompt invalid_request
	invalid_request_error max_tokens_exceeded model_deprecated model_not_found moderation no_endpoints not_found not_found_error
	overloaded overloaded_error payment_required permission_denied permission_error privacy_restricted provider_overloaded
	provider_unavailable rate_limit_error rate_limit_exceeded refusal request_too_large server server_error service_unavailable
	string_too_long temporarily_unavailable timeout timeout_error token_limit_exceeded tokens requests unmapped unprocessable_entity
	unsupported_parameter unsupported_value wrong_endpoint`)

func wordsOf(list string) map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		words[word] = true
	}
	return words
}

// isKnownWord says whether a word is one of those, or the number of an HTTP status.
func isKnownWord(word string) bool {
	if knownWords[word] {
		return true
	}
	return len(word) == 3 && strings.Trim(word, "0123456789") == "" && (word[0] == '4' || word[0] == '5')
}
