package upstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// cacheLife is how long what was written to the cache is kept after its last use. Source: Anthropic's prompt caching.
const cacheLife = 5 * time.Minute

// block is a part of a message's content: where it ends in the message's text, and whether the prompt is to be cached up to
// there.
type block struct {
	end    int // bytes
	marked bool
}

// isSet is false for a member that is missing or null.
func isSet(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, jsonNull) }

// prefix is a prompt up to the end of its tools or of a block.
type prefix struct {
	hash   [sha256.Size]byte
	tokens int
	marked bool
}

// prefixes are those of the request's conversation up to the last one marked: none, where nothing is. What was cached by
// an earlier request is found at any of them, as at Anthropic, so that marks may move on with a conversation.
func (r *request) prefixes() []prefix {
	if !r.marked() {
		return nil
	}
	var all []prefix
	text, tokens := sha256.New(), toolTokens(r)
	add := func(count int, marked bool) {
		p := prefix{tokens: count, marked: marked}
		text.Sum(p.hash[:0])
		all = append(all, p)
	}
	put := func(words ...string) {
		for _, word := range words {
			_, _ = text.Write(append([]byte(word), 0)) // A hash never fails.
		}
	}
	put(r.toolsText)
	add(tokens, r.toolsMarked)
	messages := r.prompts[0].messages
	for i := range messages {
		m, start := &messages[i], 0
		put(string(m.Role), m.Name, m.ToolCallID)
		blocks := m.blocks
		if len(blocks) == 0 {
			blocks = []block{{end: len(m.text)}}
		}
		for _, b := range blocks {
			put(m.text[start:b.end])
			start = b.end
			add(tokens+templateMessage+CountTokens(m.text[:b.end]), b.marked)
		}
		put(m.text[start:])
		for _, call := range m.ToolCalls {
			put(call.ID, call.Function.Name, call.Function.Arguments)
		}
		tokens += messageTokens(m)
		add(tokens, r.markedWhole && i == len(messages)-1)
	}
	for len(all) > 0 && !all[len(all)-1].marked {
		all = all[:len(all)-1]
	}
	return all
}

// marked is whether a request asks for any caching at all.
func (r *request) marked() bool {
	return r.toolsMarked || r.markedWhole || slices.ContainsFunc(r.prompts[0].messages, func(m message) bool {
		return slices.ContainsFunc(m.blocks, func(b block) bool { return b.marked })
	})
}

// promptCache knows which prefixes of prompts were cached, for whom and until when.
type promptCache struct {
	mu    sync.Mutex
	until map[cacheKey]time.Time
}

type cacheKey struct {
	payer  string // the hash of the key
	model  string
	prefix [sha256.Size]byte
}

// read is how many tokens of a prompt are read from the cache, and how many more its marks ask to be written.
func (c *promptCache) read(payer account, way route, prefixes []prefix, now time.Time) (read, written int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range prefixes {
		if now.Before(c.until[cacheKey{payer.hash, way.model.ID, p.hash}]) {
			read = p.tokens
		}
	}
	if len(prefixes) > 0 {
		written = max(0, prefixes[len(prefixes)-1].tokens-read)
	}
	return read, written
}

// keep holds the marked prefixes from now on, and all that were known already.
func (c *promptCache) keep(payer account, way route, prefixes []prefix, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, until := range c.until {
		if !now.Before(until) {
			delete(c.until, key)
		}
	}
	for _, p := range prefixes {
		key := cacheKey{payer.hash, way.model.ID, p.hash}
		if _, known := c.until[key]; known || p.marked {
			c.until[key] = now.Add(cacheLife)
		}
	}
}
