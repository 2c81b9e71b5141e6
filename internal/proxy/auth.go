package proxy

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/modelroute/modelroute/internal/workload"
)

// noKey is what a client is told whose key nobody has.
const noKey = "The API key is missing, wrong or revoked. Send it as \"Authorization: Bearer KEY\"."

// authenticate finds whoever presents the request's key or token; nil, and what to tell the client, if there is none, nobody has it, or its
// time is over.
func (t *table) authenticate(header http.Header, now time.Time) (caller *principal, refusal string) {
	key := presentedKey(header)
	if key == "" {
		return nil, noKey
	}
	hash := keyHash(sha256.Sum256([]byte(key)))
	if holder := t.keys[hash]; holder != nil {
		if holder.expires != 0 && now.Unix() >= holder.expires {
			return nil, noKey
		}
		return holder, ""
	}
	if t.tokens == nil || !workload.IsToken(key) {
		return nil, noKey
	}
	holder, err := t.tokens.authenticate(key, hash, now)
	if err != nil {
		return nil, err.Error()
	}
	return holder, ""
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
