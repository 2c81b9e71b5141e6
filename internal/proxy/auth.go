package proxy

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"
)

// authenticate finds whoever presents the request's key; nil if there is no key, nobody has it, or its time is over.
func (t *table) authenticate(header http.Header, now time.Time) *principal {
	key := presentedKey(header)
	if key == "" {
		return nil
	}
	holder := t.keys[sha256.Sum256([]byte(key))]
	if holder == nil || holder.expires != 0 && now.Unix() >= holder.expires {
		return nil
	}
	return holder
}

// presentedKey reads the key from where the SDKs put it: a bearer token, as OpenAI's and OpenRouter's do, or x-api-key, as Anthropic's
// does.
func presentedKey(header http.Header) string {
	scheme, key, found := strings.Cut(header.Get("Authorization"), " ")
	if found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return header.Get("X-Api-Key")
}
