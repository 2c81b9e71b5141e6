package store

import (
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

const (
	// Bucket is how finely history is kept. Every offset from UTC in use today is a multiple of it, so that windows begin with a bucket.
	Bucket = 15 * time.Minute
	// MinRetention is for how long history is kept at the least: the windows of a year are summed from it when a budget is edited.
	MinRetention = 368 * 24 * time.Hour
)

// Source says where an exact amount is from.
type Source int

const (
	// Reported is what the upstream said that it charged.
	Reported Source = iota
	// Priced is what the tokens that the upstream reported cost at the route's prices.
	Priced
	// Estimated is what tokens that were counted here cost at the route's prices.
	Estimated
)

// Tokens counts tokens by their kind. Cached, which were read from a cache, and CacheWrite, which were written to one, are part of Prompt;
// Reasoning are part of Completion.
type Tokens struct{ Prompt, Cached, CacheWrite, Completion, Reasoning int64 }

// Sums are what attempts came to.
type Sums struct {
	// Requests are counted once, at the upstream that was tried first.
	Requests int64
	Tokens   Tokens
	// Settled is what is known to be spent; Priced and Estimated are the parts of it that the upstream did not report.
	Settled, Priced, Estimated money.Amount
	// Uncertain counts as spent until it is known better. It is negative in what is added when it is.
	Uncertain money.Amount
}

// Add adds others, each saturated.
func (s *Sums) Add(t *Sums) {
	plus(&s.Requests, t.Requests)
	plus(&s.Tokens.Prompt, t.Tokens.Prompt)
	plus(&s.Tokens.Cached, t.Tokens.Cached)
	plus(&s.Tokens.CacheWrite, t.Tokens.CacheWrite)
	plus(&s.Tokens.Completion, t.Tokens.Completion)
	plus(&s.Tokens.Reasoning, t.Tokens.Reasoning)
	s.Settled, s.Priced = s.Settled.Add(t.Settled), s.Priced.Add(t.Priced)
	s.Estimated, s.Uncertain = s.Estimated.Add(t.Estimated), s.Uncertain.Add(t.Uncertain)
}

func plus(a *int64, b int64) { *a = money.FromNano(*a).Add(money.FromNano(b)).Nano() }

// AddTo adds sums to those of a key.
func AddTo[K comparable](sums map[K]*Sums, key K, more *Sums) {
	known := sums[key]
	if known == nil {
		known = &Sums{}
		sums[key] = known
	}
	known.Add(more)
}

// Columns is how many numbers Sums are made of.
const Columns = 10

// Numbers are the sums in the order in which every store keeps them: requests, prompt, cached, cache_write, completion, reasoning,
// settled, priced, estimated, uncertain. Each is between -MaxSum and MaxSum, so that adding it to a sum of the books cannot overflow.
func (s *Sums) Numbers() [Columns]int64 {
	numbers := [Columns]int64{
		s.Requests, s.Tokens.Prompt, s.Tokens.Cached, s.Tokens.CacheWrite, s.Tokens.Completion, s.Tokens.Reasoning,
		s.Settled.Nano(), s.Priced.Nano(), s.Estimated.Nano(), s.Uncertain.Nano(),
	}
	for i, one := range numbers {
		numbers[i] = max(-MaxSum, min(one, MaxSum))
	}
	return numbers
}

// sumsOf reads what Numbers wrote.
func sumsOf(numbers [Columns]int64) Sums {
	return Sums{
		Requests: numbers[0],
		Tokens: Tokens{
			Prompt: numbers[1], Cached: numbers[2], CacheWrite: numbers[3], Completion: numbers[4], Reasoning: numbers[5],
		},
		Settled: money.FromNano(numbers[6]), Priced: money.FromNano(numbers[7]), Estimated: money.FromNano(numbers[8]),
		Uncertain: money.FromNano(numbers[9]),
	}
}

// Sums are what a settlement adds to the history.
func (s *Settlement) Sums() Sums {
	sums := Sums{Requests: s.Requests, Tokens: s.Used, Uncertain: money.Amount{}.Sub(s.Replaces)}
	if s.Uncertain {
		sums.Uncertain = sums.Uncertain.Add(s.Amount)
		return sums
	}
	sums.Settled = s.Amount
	switch s.Source {
	case Reported:
	case Priced:
		sums.Priced = s.Amount
	case Estimated:
		sums.Estimated = s.Amount
	}
	return sums
}

// HistoryQuery asks for the history of a route from a time on and up to another one.
type HistoryQuery struct {
	Route RouteKey
	// From and To are whole buckets.
	From, To time.Time
	// Until says up to which time to read if the first bucket that has something is known, so that one answer is not too long; nil: up to
	// To in any case.
	Until func(first time.Time) time.Time
	// PerConsumer asks for each consumer instead of the whole route.
	PerConsumer bool
}

// End returns up to which time to read, in milliseconds, given the first bucket that has something.
func (q *HistoryQuery) End(first int64) int64 {
	end := q.To.UnixMilli()
	if q.Until != nil {
		end = min(end, q.Until(time.UnixMilli(first).UTC()).UnixMilli())
	}
	return end
}

// HistoryRow is what was spent in one bucket, by the time at which it was held. What is no longer kept in buckets is in that of 1970.
type HistoryRow struct {
	Bucket time.Time
	// Consumer is empty for the whole route.
	Consumer string
	// Team is that of the consumer then; empty if it had none.
	Team            string
	Model, Upstream string
	Sums            Sums
}

// ScanHistory reads a row of bucket, consumer, team, model, upstream and Numbers, as every store selects them.
func ScanHistory(scan func(into ...any) error) (HistoryRow, error) {
	var row HistoryRow
	var bucket int64
	var numbers [Columns]int64
	into := make([]any, 0, 5+Columns)
	into = append(into, &bucket, &row.Consumer, &row.Team, &row.Model, &row.Upstream)
	for i := range numbers {
		into = append(into, &numbers[i])
	}
	err := scan(into...)
	row.Bucket, row.Sums = time.UnixMilli(bucket).UTC(), sumsOf(numbers)
	return row, err
}
