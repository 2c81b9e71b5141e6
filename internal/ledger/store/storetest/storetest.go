// Package storetest is the suite that every store.Store must pass: what the ledger promises, whatever database keeps it.
package storetest

import (
	"crypto/sha256"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Open makes an empty database and returns a function that opens a store on it. The function is called again after the store that
// it returned was closed, and must then find what was written. now is the ledger's clock.
type Open func(t *testing.T, now func() time.Time) func() store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("Reserve", func(t *testing.T) { runReserve(t, open) })
	t.Run("Settle", func(t *testing.T) { runSettle(t, open) })
	t.Run("Silence", func(t *testing.T) { runSilence(t, open) })
	t.Run("Windows", func(t *testing.T) { runWindows(t, open) })
	t.Run("Sessions", func(t *testing.T) { runSessions(t, open) })
	t.Run("Race", func(t *testing.T) { runRace(t, open) })
	t.Run("Gone", func(t *testing.T) { runGone(t, open) })
	t.Run("Model", func(t *testing.T) { runModel(t, open) })
}

const server = "system:serviceaccount:ai:chat"

var (
	chat = store.RouteKey{Namespace: "ai", Name: "chat"}
	noon = time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)
)

// books is a store with a proxy that has a session for the route ai/chat, whose consumers are alice and bob.
type books struct {
	store.Store
	t       *testing.T
	reopen  func() store.Store
	session store.Credential
	*clock
	next int64
}

// clock is the ledger's clock, which stands still until it is moved.
type clock struct{ nano atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.nano.Store(at.UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.nano.Load()).UTC() }

func (c *clock) advance(by time.Duration) { c.nano.Add(int64(by)) }

// newBooks opens a store and puts the route with the budgets.
func newBooks(t *testing.T, open Open, budgets ...store.Budget) *books {
	t.Helper()
	b := &books{t: t, clock: newClock(noon)}
	b.reopen = open(t, b.now)
	b.Store = b.reopen()
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	b.put(budgets...)
	b.session = b.open("proxy-1", "pod-1")
	return b
}

func (b *books) put(budgets ...store.Budget) {
	b.t.Helper()
	b.putRoute(store.Route{Namespace: "ai", Name: "chat", Server: server, Consumers: []string{"alice", "bob"}, Budgets: budgets})
}

func (b *books) putRoute(route store.Route) {
	b.t.Helper()
	if err := b.PutRoute(b.t.Context(), route); err != nil {
		b.t.Fatalf("PutRoute: %v", err)
	}
}

func (b *books) open(proxyID, instance string) store.Credential {
	b.t.Helper()
	token := sha256.Sum256([]byte(proxyID + instance))
	epoch, err := b.OpenSession(b.t.Context(), b.now(), store.NewSession{
		ProxyID: proxyID, Instance: instance, Routes: []store.RouteKey{chat}, Identity: server, Token: token,
	})
	if err != nil {
		b.t.Fatalf("OpenSession: %v", err)
	}
	return store.Credential{ProxyID: proxyID, Epoch: epoch, Token: token}
}

// restart closes the store and opens it again.
func (b *books) restart() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatalf("closing: %v", err)
	}
	b.Store = b.reopen()
}

// demand is the next demand of the consumer.
func (b *books) demand(consumer, usd string) store.Demand {
	b.t.Helper()
	b.next++
	return store.Demand{Sequence: b.next, Route: chat, Consumer: consumer, Amount: dollars(b.t, usd), Identity: server}
}

// hold reserves and expects to get it; it returns the sequence.
func (b *books) hold(consumer, usd string) int64 {
	b.t.Helper()
	demand := b.demand(consumer, usd)
	if denial := b.reserve(demand); denial != nil {
		b.t.Fatalf("Reserve(%s, %s USD) was denied: %+v", consumer, usd, denial)
	}
	return demand.Sequence
}

func (b *books) reserve(demand store.Demand) *store.Denial {
	b.t.Helper()
	denial, err := b.Reserve(b.t.Context(), b.now(), b.session, demand)
	if err != nil {
		b.t.Fatalf("Reserve(%+v): %v", demand, err)
	}
	return denial
}

// settlement is one of the consumer alice.
func (b *books) settlement(sequence int64, usd string) store.Settlement {
	b.t.Helper()
	return store.Settlement{Epoch: b.session.Epoch, Sequence: sequence, Amount: dollars(b.t, usd), Route: chat, Consumer: "alice"}
}

func (b *books) settle(settlements ...store.Settlement) store.Settled {
	b.t.Helper()
	settled, err := b.Settle(b.t.Context(), b.now(), b.session, settlements)
	if err != nil {
		b.t.Fatalf("Settle(%+v): %v", settlements, err)
	}
	return settled
}

func (b *books) usage() store.RouteUsage {
	b.t.Helper()
	usage, err := b.Usage(b.t.Context(), b.now(), b.now().Add(-time.Minute))
	if err != nil {
		b.t.Fatalf("Usage: %v", err)
	}
	if len(usage) != 1 {
		b.t.Fatalf("Usage has %d routes, want 1", len(usage))
	}
	return usage[0]
}

// wantSpend compares what the budget of the consumer (or of the route, if empty) has in its current window.
func (b *books) wantSpend(consumer, name string, want store.Spend) {
	b.t.Helper()
	usage := b.usage()
	budgets := usage.Budgets
	for _, one := range usage.Consumers {
		if one.Name == consumer {
			budgets = one.Budgets
		}
	}
	for _, one := range budgets {
		if one.Budget.Name == name {
			if diff := cmp.Diff(want, one.Spend, amounts); diff != "" {
				b.t.Errorf("budget %q of %q (-want +got):\n%s", name, consumer, diff)
			}
			return
		}
	}
	b.t.Errorf("consumer %q has no budget %q: %+v", consumer, name, budgets)
}

// spend reads three amounts in USD.
func spend(t *testing.T, settled, uncertain, held string) store.Spend {
	t.Helper()
	return store.Spend{Settled: dollars(t, settled), Uncertain: dollars(t, uncertain), Held: dollars(t, held)}
}

func dollars(t *testing.T, usd string) money.Amount {
	t.Helper()
	amount, err := money.ParseUSD(usd)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

// denies is a budget of the route (or of the consumer) that denies.
func denies(t *testing.T, consumer, name, usd string, period budget.Period) store.Budget {
	t.Helper()
	return store.Budget{Consumer: consumer, Name: name, Limit: dollars(t, usd), Period: period, TimeZone: "UTC", Enforcement: budget.Deny}
}

// amounts compares amounts, shown in nano-USD.
var amounts = cmp.Options{
	cmp.Comparer(func(a, b money.Amount) bool { return a == b }),
	cmpopts.EquateEmpty(),
}
