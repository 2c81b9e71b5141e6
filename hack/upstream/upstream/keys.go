package upstream

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Key is an API key that the upstream accepts.
type Key struct {
	Label     string
	Secret    string
	LimitNano int64 // nano-USD; negative is no limit, 0 allows nothing
	// Management says that it makes other keys, and cannot ask a model.
	Management bool
}

// NoLimit is the LimitNano of a key that may spend without end.
const NoLimit = -1

// ParseKey reads label=key or label=key:limit, the limit in USD. Its errors never show the key.
func ParseKey(text string) (Key, error) {
	label, rest, ok := strings.Cut(text, "=")
	if !ok || label == "" || rest == "" {
		return Key{}, fmt.Errorf("reading an API key: expected label=key or label=key:limit-usd")
	}
	secret, limit, limited := strings.Cut(rest, ":")
	key := Key{Label: label, Secret: secret, LimitNano: NoLimit}
	if !limited {
		return key, nil
	}
	if key.LimitNano, ok = ParseUSD(limit); !ok {
		return Key{}, fmt.Errorf("reading the API key %q: its limit is no decimal of USD", label)
	}
	return key, nil
}

// account is who pays: a key without its secret.
type account struct {
	label string
	hash  string // SHA-256 of the key in hexadecimal
	limit int64
	// reset is when what was spent of the limit starts again at nothing; empty is never.
	reset limitReset
	// includeBYOK says that what provider keys pay counts against the limit too.
	includeBYOK bool
	disabled    bool
	management  bool
}

const (
	// keyPrefix begins every key of OpenRouter.
	keyPrefix = "sk-or-"
	// shownHash is how much of the hash of an unregistered key makes its label.
	shownHash = 12
)

type keyring struct {
	any bool

	mu      sync.Mutex
	known   map[string]account     // by hash
	managed map[string]*managedKey // by hash: those that a management key made
}

func newKeyring(keys []Key, anyKey bool) *keyring {
	ring := &keyring{known: map[string]account{}, managed: map[string]*managedKey{}, any: anyKey}
	for _, k := range keys {
		hash := hashOf(k.Secret)
		ring.known[hash] = account{label: k.Label, hash: hash, limit: k.LimitNano, management: k.Management}
	}
	return ring
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// authenticate finds the account of an API key. Looking it up by hash takes no time that tells of the key.
func (k *keyring) authenticate(secret string) (account, error) {
	if secret == "" {
		return account{}, newError(http.StatusUnauthorized, "No auth credentials found")
	}
	hash := hashOf(secret)
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.known[hash]; ok {
		return known, nil
	}
	if made, ok := k.managed[hash]; ok {
		if made.disabled {
			return account{}, newError(http.StatusUnauthorized, "API key is disabled")
		}
		return made.account, nil
	}
	if k.any && strings.HasPrefix(secret, keyPrefix) && len(secret) > len(keyPrefix) && !strings.HasPrefix(secret, managedPrefix) {
		return account{label: "key-" + hash[:shownHash], hash: hash, limit: NoLimit}, nil
	}
	return account{}, newError(http.StatusUnauthorized, "User not found.")
}

// mayGenerate refuses keys that make other keys.
func mayGenerate(payer account) error {
	if payer.management {
		return newError(http.StatusForbidden,
			"Management keys cannot be used for completions. Create an API key at https://openrouter.ai/settings/keys")
	}
	return nil
}

// mayManage refuses all keys that do not.
func mayManage(caller account) error {
	if !caller.management {
		return newError(http.StatusUnauthorized, "Invalid management key")
	}
	return nil
}

// afford refuses what a key's limit cannot pay for. As at OpenRouter this looks at what is billed so far and holds nothing,
// so requests in flight together may pass the limit.
func afford(payer account, spent int64, g *generation, limit int) error {
	price := g.way.price
	if payer.limit < 0 {
		return nil
	}
	left := payer.limit - spent
	if left <= 0 {
		return newError(http.StatusPaymentRequired, "Key limit exceeded (%s limit). Manage it using https://openrouter.ai/settings/keys",
			cmp.Or(string(payer.reset), "total"))
	}
	if price.Completion <= 0 {
		return nil
	}
	affordable := max(0, left-price.prompt(g.prompt, 0, 0)) / price.Completion
	if wanted := int64(limit) * int64(g.req.made()); affordable < wanted {
		return newError(http.StatusPaymentRequired,
			"This request requires more credits, or fewer max_tokens. You requested up to %d tokens, but can only afford %d. "+
				"To increase, visit https://openrouter.ai/settings/keys and create a key with a higher total limit", wanted, affordable)
	}
	return nil
}
