package upstream

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Record is one billed request: what happened and what it cost. It never holds a key or any text but the user field's.
type Record struct {
	ID               string    `json:"id"`
	Time             time.Time `json:"time"`
	Key              string    `json:"key"`      // the key's label
	KeyHash          string    `json:"key_hash"` // SHA-256
	Endpoint         Endpoint  `json:"endpoint"`
	Model            string    `json:"model"`
	Provider         string    `json:"provider"`
	ServiceTier      string    `json:"service_tier"`
	Choices          int       `json:"choices"`
	PromptTokens     int       `json:"prompt_tokens"`
	CachedTokens     int       `json:"cached_tokens"`      // of the prompt's, those read from a cache
	CacheWriteTokens int       `json:"cache_write_tokens"` // of the prompt's, those written to a cache
	CompletionTokens int       `json:"completion_tokens"`
	CostNanoUSD      int64     `json:"cost_nano_usd"` // all that the request costs its caller
	CostUSD          string    `json:"cost_usd"`
	IsBYOK           bool      `json:"is_byok"`
	BYOKNanoUSD      int64     `json:"byok_nano_usd"` // the part of the cost that the caller's own provider key pays
	Streamed         bool      `json:"streamed"`
	Cancelled        bool      `json:"cancelled"` // the caller hung up before the end
	FinishReason     string    `json:"finish_reason"`
	User             string    `json:"user,omitempty"`
	Tag              string    `json:"tag,omitempty"`
	Fault            string    `json:"fault,omitempty"`
	LatencyMillis    int64     `json:"latency_ms"`
}

// Filter chooses records. Empty fields choose all.
type Filter struct {
	Key     string // label
	Tag     string
	SinceID string // only records booked after this one
}

// Statement is what GET /billed answers.
type Statement struct {
	TotalNanoUSD int64    `json:"total_nano_usd"`
	TotalUSD     string   `json:"total_usd"`
	Count        int64    `json:"count"`
	Dropped      int64    `json:"dropped"` // oldest records no longer kept; their cost is in an unfiltered total, or one by key
	Requests     []Record `json:"requests"`
}

// tally sums what one key was billed.
type tally struct {
	count int64
	nano  int64
	byok  int64
	days  byDay // credits, without what provider keys paid
	byoks byDay // what provider keys paid
}

// byDay is nano-USD by day since 1970 in UTC.
type byDay map[int64]int64

// credits is what the key itself was charged.
func (t *tally) credits() int64 { return t.nano - t.byok }

// since sums from a day on.
func (b byDay) since(day int64) int64 {
	var sum int64
	for d, nano := range b {
		if d >= day {
			sum += nano
		}
	}
	return sum
}

// books records what was billed. Totals are exact for ever; of the records only the newest are kept.
type books struct {
	mu      sync.Mutex
	keep    int
	records []Record
	dropped int64
	keys    map[string]*tally // by label
}

func newBooks(keep int) *books {
	return &books{keep: keep, keys: map[string]*tally{}}
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

func (b *books) add(r Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.keys[r.Key]
	if t == nil {
		t = &tally{days: byDay{}, byoks: byDay{}}
		b.keys[r.Key] = t
	}
	t.count++
	t.nano += r.CostNanoUSD
	t.byok += r.BYOKNanoUSD
	t.days[dayOf(r.Time)] += r.CostNanoUSD - r.BYOKNanoUSD
	t.byoks[dayOf(r.Time)] += r.BYOKNanoUSD
	if len(b.records) >= b.keep {
		// Dropping a tenth at once keeps the cost of a record constant.
		n := max(1, b.keep/10)
		b.records = slices.Delete(b.records, 0, n)
		b.dropped += int64(n)
	}
	b.records = append(b.records, r)
}

func (b *books) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.dropped, b.keys = nil, 0, map[string]*tally{}
}

// spent is a copy of what a key was billed.
func (b *books) spent(label string) tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.keys[label]
	if t == nil {
		return tally{}
	}
	return tally{count: t.count, nano: t.nano, byok: t.byok, days: maps.Clone(t.days), byoks: maps.Clone(t.byoks)}
}

// allCredits is what all keys were charged together, in nano-USD.
func (b *books) allCredits() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sum int64
	for _, t := range b.keys {
		sum += t.credits()
	}
	return sum
}

func (b *books) find(id string) (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range slices.Backward(b.records) {
		if r.ID == id {
			return r, true
		}
	}
	return Record{}, false
}

func (b *books) statement(f Filter) Statement {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Statement{Dropped: b.dropped, Requests: []Record{}}
	records := b.records
	if f.SinceID != "" {
		at := slices.IndexFunc(records, func(r Record) bool { return r.ID == f.SinceID })
		records = records[at+1:]
	}
	for _, r := range records {
		if (f.Key == "" || r.Key == f.Key) && (f.Tag == "" || r.Tag == f.Tag) {
			s.Requests = append(s.Requests, r)
			s.TotalNanoUSD += r.CostNanoUSD
			s.Count++
		}
	}
	if f.SinceID == "" && f.Tag == "" {
		s.TotalNanoUSD, s.Count = b.totals(f.Key)
	}
	s.TotalUSD = FormatUSD(s.TotalNanoUSD)
	return s
}

// totals sums one key, or all for an empty label, including what is no longer kept.
func (b *books) totals(label string) (nano, count int64) {
	for name, t := range b.keys {
		if label == "" || label == name {
			nano += t.nano
			count += t.count
		}
	}
	return nano, count
}
