package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// attempt is a settlement of alice's, of a model at an upstream, that was held at a time.
func (p *proxy) attempt(at time.Time, upstream string, settled store.Settlement) store.Record {
	settled.Route, settled.OpenedAt, settled.Requests = chat, at, 1
	if settled.Consumer == "" {
		settled.Consumer = "alice"
	}
	settled.Model, settled.Upstream = "mixtral", upstream
	if settled.Consumer == "bob" {
		settled.Team = "research"
	}
	return store.Record{Settlement: &settled}
}

// history reads the route's history up to now.
func (b *books) history(from time.Time, perConsumer bool) []store.HistoryRow {
	b.t.Helper()
	var found []store.HistoryRow
	query := store.HistoryQuery{Route: chat, From: from, To: b.now().Add(store.Bucket), PerConsumer: perConsumer}
	end, err := b.History(b.t.Context(), query, func(row store.HistoryRow) error {
		found = append(found, row)
		return nil
	})
	if err != nil || !end.Equal(query.To) {
		b.t.Fatalf("History: up to %v, error %v; want all up to %v", end, err, query.To)
	}
	return found
}

// wantHistory compares the history from 1970 on.
func (b *books) wantHistory(perConsumer bool, want ...store.HistoryRow) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.history(time.Unix(0, 0), perConsumer), amounts); diff != "" {
		b.t.Errorf("history, per consumer %t (-want +got):\n%s", perConsumer, diff)
	}
}

func row(bucket time.Time, consumer, upstream string, sums store.Sums) store.HistoryRow {
	made := store.HistoryRow{Bucket: bucket, Consumer: consumer, Model: "mixtral", Upstream: upstream, Sums: sums}
	if consumer == "bob" {
		made.Team = "research"
	}
	return made
}

func runHistory(t *testing.T, open Open) {
	t.Run("attempts are summed by their quarter of an hour, consumer, model, upstream and source", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(
			b.attempt(noon, "openrouter", store.Settlement{
				Amount: dollars(t, "1"), Used: store.Tokens{Prompt: 10, Cached: 4, CacheWrite: 3, Completion: 20, Reasoning: 5},
			}),
			b.attempt(noon, "openrouter", store.Settlement{
				Amount: dollars(t, "2"), Source: store.Priced, Used: store.Tokens{Prompt: 1, CacheWrite: 1, Completion: 2},
			}),
			b.attempt(noon, "vllm", store.Settlement{Amount: dollars(t, "4"), Source: store.Estimated}),
			b.attempt(noon, "openrouter", store.Settlement{Consumer: "bob", Amount: dollars(t, "8"), Uncertain: true}),
			b.attempt(noon.Add(-time.Second), "openrouter", store.Settlement{Amount: dollars(t, "16")}),
		)
		both := store.Sums{
			Requests: 2, Tokens: store.Tokens{Prompt: 11, Cached: 4, CacheWrite: 4, Completion: 22, Reasoning: 5},
			Settled: dollars(t, "3"), Priced: dollars(t, "2"),
		}
		estimated := store.Sums{Requests: 1, Settled: dollars(t, "4"), Estimated: dollars(t, "4")}
		earlier := row(noon.Add(-store.Bucket), "alice", "openrouter", store.Sums{Requests: 1, Settled: dollars(t, "16")})
		b.wantHistory(true, earlier, row(noon, "alice", "openrouter", both), row(noon, "alice", "vllm", estimated),
			row(noon, "bob", "openrouter", store.Sums{Requests: 1, Uncertain: dollars(t, "8")}))
		earlier.Consumer = ""
		research := row(noon, "", "openrouter", store.Sums{Requests: 1, Uncertain: dollars(t, "8")})
		research.Team = "research"
		b.wantHistory(false, earlier, row(noon, "", "openrouter", both), row(noon, "", "vllm", estimated), research)
		if got := b.history(noon, false); len(got) != 3 || got[0].Bucket != noon {
			t.Errorf("from noon on: %+v", got)
		}
	})
	t.Run("what was uncertain and is known now is booked where it was", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(b.attempt(noon, "openrouter", store.Settlement{Amount: dollars(t, "8"), Uncertain: true}))
		b.advance(time.Hour)
		known := b.attempt(noon, "openrouter", store.Settlement{
			Amount: dollars(t, "3"), Replaces: dollars(t, "8"), Used: store.Tokens{Completion: 7},
		})
		known.Settlement.Requests = 0
		b.report(known)
		b.wantHistory(false, row(noon, "", "openrouter", store.Sums{
			Requests: 1, Tokens: store.Tokens{Completion: 7}, Settled: dollars(t, "3"),
		}))
		lost := b.attempt(noon, "other", store.Settlement{Amount: dollars(t, "1"), Replaces: dollars(t, "5")})
		b.report(lost)
		if got := b.history(noon, false)[1]; got.Sums.Uncertain != (money.Amount{}) {
			t.Errorf("what replaces something that is not there leaves %s uncertain", got.Sums.Uncertain)
		}
	})
	t.Run("what is no longer kept is carried forward as one sum, and windows stay as they were", func(t *testing.T) { runCarry(t, open) })
	t.Run("a long history is read in parts, of which none is empty", func(t *testing.T) { runParts(t, open) })
	t.Run("a route that was never put has no history, and the reader may stop", func(t *testing.T) {
		b := newBooks(t, open)
		ignore := func(store.HistoryRow) error { return nil }
		unknown := store.HistoryQuery{Route: store.RouteKey{Namespace: "ai", Name: "other"}, To: noon}
		if _, err := b.History(t.Context(), unknown, ignore); !errors.Is(err, store.ErrUnknownRoute) {
			t.Errorf("error %v, want ErrUnknownRoute", err)
		}
		b.report(b.attempt(noon, "openrouter", store.Settlement{Amount: dollars(t, "1")}))
		enough := errors.New("enough")
		query := store.HistoryQuery{Route: chat, From: noon, To: noon.Add(store.Bucket)}
		if _, err := b.History(t.Context(), query, func(store.HistoryRow) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("error %v, want that of the reader", err)
		}
	})
}

func twice(sums store.Sums) store.Sums {
	once := sums
	sums.Add(&once)
	return sums
}

func runParts(t *testing.T, open Open) {
	b := newBooks(t, open)
	var want []store.HistoryRow
	for _, at := range []time.Time{noon.AddDate(-2, 0, 0), noon.Add(-store.Bucket), noon} {
		b.report(b.attempt(at, "openrouter", store.Settlement{Amount: dollars(t, "1")}))
		want = append(want, row(at, "", "openrouter", store.Sums{Requests: 1, Settled: dollars(t, "1")}))
	}
	query := store.HistoryQuery{Route: chat, From: time.Unix(0, 0), To: noon.Add(24 * time.Hour), Until: func(first time.Time) time.Time {
		return first.Add(store.Bucket)
	}}
	for i, ends := range []time.Time{want[0].Bucket.Add(store.Bucket), noon, noon.Add(store.Bucket), query.To} {
		var part []store.HistoryRow
		end, err := b.History(t.Context(), query, func(row store.HistoryRow) error {
			part = append(part, row)
			return nil
		})
		if diff := cmp.Diff(want[min(i, len(want)):min(i+1, len(want))], part, amounts); diff != "" || err != nil || !end.Equal(ends) {
			t.Errorf("part %d: up to %v, error %v (-want +got):\n%s", i, end, err, diff)
		}
		query.From = end
	}
}

func runCarry(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "100", budget.Total), denies(t, "alice", "year", "100", budget.Year))
	for range 3 {
		b.report(
			b.attempt(b.now(), "openrouter", store.Settlement{Amount: dollars(t, "1"), Used: store.Tokens{Prompt: 3}}),
			b.attempt(b.now(), "openrouter", store.Settlement{Amount: dollars(t, "0.25"), Uncertain: true}),
			b.attempt(b.now(), "vllm", store.Settlement{Consumer: "bob", Amount: dollars(t, "2"), Source: store.Priced}),
		)
		b.advance(time.Hour)
	}
	keepFrom := noon.Add(2 * time.Hour)
	for range 2 {
		if err := b.Compact(t.Context(), b.now(), keepFrom.Add(time.Minute)); err != nil {
			t.Fatalf("Compact: %v", err)
		}
		b.made.Forget(b.Store)
	}
	reported := store.Sums{Requests: 2, Tokens: store.Tokens{Prompt: 3}, Settled: dollars(t, "1"), Uncertain: dollars(t, "0.25")}
	priced := store.Sums{Requests: 1, Settled: dollars(t, "2"), Priced: dollars(t, "2")}
	long := time.Unix(0, 0).UTC()
	b.wantHistory(true, row(long, "alice", "openrouter", twice(reported)), row(long, "bob", "vllm", twice(priced)),
		row(keepFrom, "alice", "openrouter", reported), row(keepFrom, "bob", "vllm", priced))
	b.wantSpend("", "total", spend(t, "9", "0.75", "0"))
}
