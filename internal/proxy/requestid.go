package proxy

import (
	"crypto/rand"
	"net/http"
	"strings"
)

const (
	requestIDHeader = "X-Request-Id"
	// upstreamRequestIDHeader has the upstream's own id. It does not come in the place of ours: one id is to find our log line, and that
	// has the other.
	upstreamRequestIDHeader = "X-Upstream-Request-Id"
	// maxName is the longest id or name that is taken from others, in bytes.
	maxName = 128
)

// requestIDOf names a request as its client does, if that is a name and not the client's key, and otherwise anew.
func requestIDOf(header http.Header) string {
	id := header.Get(requestIDHeader)
	if id == "" || !isName(id) || holdsKey(id, presentedKey(header)) {
		return rand.Text()
	}
	return id
}

// upstreamRequestIDOf is the upstream's id of a request, as OpenAI and OpenRouter or as Anthropic name the header; empty if there is none
// that is a name.
func upstreamRequestIDOf(header http.Header, key string) string {
	for _, name := range [...]string{requestIDHeader, "Request-Id"} {
		if id := header.Get(name); id != "" {
			return nameOf(id, key)
		}
	}
	return ""
}

// nameOf is what somebody else calls something, if it may be shown; otherwise it is empty.
func nameOf(text, key string) string {
	if !isName(text) || holdsKey(text, key) {
		return ""
	}
	return text
}

func holdsKey(text, key string) bool { return key != "" && strings.Contains(text, key) }

// isName says whether a text is short and of letters, digits and a few signs, as ids and names of models are and what people write is not.
func isName(text string) bool { return isOf(text, "._-") }

// isModelName is isName for models, which also have their author, their version or their variant in it.
func isModelName(text string) bool { return isOf(text, "._-/:@") }

func isOf(text, signs string) bool {
	if text == "" || len(text) > maxName {
		return false
	}
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(signs, c) >= 0:
		default:
			return false
		}
	}
	return true
}
