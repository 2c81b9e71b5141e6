package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/test/bench/rig"
)

// truth is what the upstream billed. Each request says in its field user who it is for, as CONSUMER:NUMBER.
type truth struct {
	url string

	mu      sync.Mutex
	since   string
	records []upstream.Record
}

func newTruth(base string) *truth { return &truth{url: base + "/billed"} }

// refresh reads what was billed since it was last read.
func (t *truth) refresh(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	body, err := get(ctx, t.url+"?since_id="+url.QueryEscape(t.since))
	if err != nil {
		return fmt.Errorf("reading the upstream's books: %w", err)
	}
	var statement upstream.Statement
	if err := json.Unmarshal([]byte(body), &statement); err != nil {
		return fmt.Errorf("reading the upstream's books: %w", err)
	}
	if statement.Dropped > 0 {
		return fmt.Errorf("the upstream's books dropped %d records", statement.Dropped)
	}
	t.records = append(t.records, statement.Requests...)
	if len(t.records) > 0 {
		t.since = t.records[len(t.records)-1].ID
	}
	return nil
}

// count is how many requests were billed.
func (t *truth) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.records)
}

// spent is what was billed until a moment, by consumer; the route has the empty name.
func (t *truth) spent(until time.Time) map[string]money.Amount {
	t.mu.Lock()
	defer t.mu.Unlock()
	sums := map[string]money.Amount{}
	for _, one := range t.records {
		if one.Time.After(until) {
			continue
		}
		consumer, _, _ := strings.Cut(one.User, ":")
		cost := money.FromNano(one.CostNanoUSD)
		sums[consumer] = sums[consumer].Add(cost)
		sums[""] = sums[""].Add(cost)
	}
	return sums
}

// window is what the ledger says of a budget.
type window struct{ limit, settled, uncertain, leased money.Amount }

// spent is what counts as spent.
func (w window) spent() money.Amount { return w.settled.Add(w.uncertain) }

// snapshot is what the ledger says of all budgets; the route's has the empty name.
type snapshot struct {
	at      time.Time
	windows map[string]window
	// proxies are the ids of those that live, by instance.
	proxies map[string]string
}

// leased is what is out with proxies, in the budget with the most.
func (s snapshot) leased() money.Amount {
	var most money.Amount
	for _, one := range s.windows {
		most = larger(most, one.leased)
	}
	return most
}

func larger(a, b money.Amount) money.Amount {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

// ask reads the ledger's books.
func (w *world) ask(ctx context.Context) (snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	manager, ctx, err := w.managerService(ctx)
	if err != nil {
		return snapshot{}, err
	}
	usage, err := manager.ListUsage(ctx, &ledgerpb.ListUsageRequest{})
	if err != nil {
		return snapshot{}, fmt.Errorf("reading the ledger's books: %w", err)
	}
	found := snapshot{at: time.Now(), windows: map[string]window{}, proxies: map[string]string{}}
	for _, route := range usage.GetRoutes() {
		found.add("", route.GetBudgets())
		for _, consumer := range route.GetConsumers() {
			found.add(consumer.GetName(), consumer.GetBudgets())
		}
		for _, one := range route.GetProxies() {
			found.proxies[one.GetInstance()] = one.GetProxyId()
		}
	}
	return found, nil
}

// add takes up the one budget of a consumer.
func (s snapshot) add(consumer string, budgets []*ledgerpb.BudgetUsage) {
	for _, one := range budgets {
		spend := one.GetSpend()
		s.windows[consumer] = window{
			limit:     money.FromNano(one.GetBudget().GetLimit()),
			settled:   money.FromNano(spend.GetSettledNanoUsd()),
			uncertain: money.FromNano(spend.GetUncertainNanoUsd()),
			leased:    money.FromNano(spend.GetLeasedNanoUsd()),
		}
	}
}

// releaseProxy gives up on a proxy. The ledger refuses that while it is not silent.
func (w *world) releaseProxy(id string) error {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	manager, ctx, err := w.managerService(ctx)
	if err != nil {
		return err
	}
	_, err = manager.ReleaseProxy(ctx, &ledgerpb.ReleaseProxyRequest{ProxyId: id, Reason: "its node is lost"})
	return err
}

// observer reads the ledger's and the upstream's books while clients spend.
type observer struct {
	world *world

	mu    sync.Mutex
	taken []snapshot
	// overleased is how often the ledger's books said that more was out than a limit allows.
	overleased int
}

// watch reads until ctx ends.
func (o *observer) watch(ctx context.Context) {
	for rig.Pause(ctx, 200*time.Millisecond) {
		_ = o.world.truth.refresh(ctx) // What is not read now is read the next time, and the last time is checked.
		found, err := o.world.ask(ctx)
		if err != nil {
			continue // The ledger may be down on purpose.
		}
		o.mu.Lock()
		o.taken = append(o.taken, found)
		for _, one := range found.windows {
			if one.spent().Add(one.leased).Cmp(one.limit) > 0 {
				o.overleased++
			}
		}
		o.mu.Unlock()
	}
}

// mostSpent is the most that counted as spent in a budget from a second before a time until a second after another.
func (o *observer) mostSpent(consumer string, from, until time.Time) (spent money.Amount, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, one := range o.taken {
		before := i+1 < len(o.taken) && o.taken[i+1].at.Before(from.Add(-time.Second))
		after := i > 0 && o.taken[i-1].at.After(until.Add(time.Second))
		if !before && !after {
			spent, known = larger(spent, one.windows[consumer].spent()), true
		}
	}
	return spent, known
}

// explain returns the most that counted as spent in a budget while a request was decided on, and reports whether that is why it was
// refused.
func (o *observer) explain(one *refusal, name string, limit, billed money.Amount) (counted money.Amount, explained bool) {
	counted, known := o.mostSpent(name, one.asked, one.at)
	if known && counted.Add(one.needed).Cmp(limit) > 0 {
		return counted, true
	}
	// What counts as spent changes with every request, so the books that were read may be from before and after it was the most. What the
	// answer says of it then is believed if it is no more than what was billed and what was ever uncertain.
	said := one.said()
	excess := limit.Sub(said.remaining).Sub(billed)
	return counted, said.limit == limit && excess.Cmp(o.mostUncertain(name)) <= 0
}

// mostUncertain is the most that was ever uncertain in a budget.
func (o *observer) mostUncertain(consumer string) (most money.Amount) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.taken {
		most = larger(most, one.windows[consumer].uncertain)
	}
	return most
}

// httpClient is the clients': each has connections of its own kind.
func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute}, Timeout: 90 * time.Second}
}
