// Package storetest is the suite that every store.Store must pass: what the ledger promises, whatever database keeps it.
package storetest

import (
	"context"
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

// Books makes stores on one database.
type Books struct {
	// Open opens a store. It is called again after the store that it returned was closed, and must then find what was written.
	Open func() store.Store
	// Forget drops everything from the database of an open store that can be summed again.
	Forget func(store.Store)
	// Edit changes the database of an open store behind its back, whatever its constraints say.
	Edit func(s store.Store, statements ...string)
	// Remembers is true if it is known after a restart as well when proxies were heard.
	Remembers bool
}

// Open makes an empty database. now is the ledger's clock.
type Open func(t *testing.T, now func() time.Time) Books

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("Draw", func(t *testing.T) { runDraw(t, open) })
	t.Run("Ahead", func(t *testing.T) { runAhead(t, open) })
	t.Run("Denials", func(t *testing.T) { runDenials(t, open) })
	t.Run("Append", func(t *testing.T) { runAppend(t, open) })
	t.Run("Settlements", func(t *testing.T) { runSettlements(t, open) })
	t.Run("Silence", func(t *testing.T) { runSilence(t, open) })
	t.Run("Release", func(t *testing.T) { runRelease(t, open) })
	t.Run("Windows", func(t *testing.T) { runWindows(t, open) })
	t.Run("Edits", func(t *testing.T) { runEdits(t, open) })
	t.Run("Sessions", func(t *testing.T) { runSessions(t, open) })
	t.Run("Heartbeats", func(t *testing.T) { runHeartbeats(t, open) })
	t.Run("Compact", func(t *testing.T) { runCompact(t, open) })
	t.Run("Race", func(t *testing.T) { runRace(t, open) })
	t.Run("Rates", func(t *testing.T) { runRates(t, open) })
	t.Run("Shared", func(t *testing.T) { runShared(t, open) })
	t.Run("Members", func(t *testing.T) { runMembers(t, open) })
	t.Run("Coverage", func(t *testing.T) { runCoverage(t, open) })
	t.Run("History", func(t *testing.T) { runHistory(t, open) })
	t.Run("Upstreams", func(t *testing.T) { runUpstreams(t, open) })
	t.Run("Gone", func(t *testing.T) { runGone(t, open) })
	t.Run("Model", func(t *testing.T) { runModel(t, open) })
}

const server = "system:serviceaccount:ai:chat"

var (
	chat = store.RouteKey{Namespace: "ai", Name: "chat"}
	noon = time.Date(2026, time.November, 17, 12, 0, 0, 0, time.UTC)
)

// books is a store with the route ai/chat, whose consumers are alice and bob, and with a proxy that serves it.
type books struct {
	store.Store
	t    *testing.T
	made Books
	// damaged is true once the books are wrong on purpose.
	damaged bool
	*clock
	*proxy
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
	b.made = open(t, b.now)
	b.Store = b.made.Open()
	t.Cleanup(func() {
		// Whatever has happened to the books, they agree with themselves.
		found, err := faults(context.WithoutCancel(t.Context()), b.Store, b.now())
		if !b.damaged && (err != nil || len(found) > 0) {
			t.Errorf("verifying the books: %+v, error %v", found, err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	b.put(budgets...)
	b.proxy = b.open("proxy-1", "pod-1")
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

// open opens a session for the route with a log that begins after what was applied.
func (b *books) open(proxyID, instance string) *proxy {
	b.t.Helper()
	token := sha256.Sum256([]byte(proxyID + instance))
	opened, err := b.OpenSession(b.t.Context(), b.now(), store.NewSession{
		ProxyID: proxyID, Instance: instance, Routes: []store.RouteKey{chat}, Identity: server, Token: token,
	})
	if err != nil {
		b.t.Fatalf("OpenSession: %v", err)
	}
	return &proxy{
		books: b, session: store.Credential{ProxyID: proxyID, Epoch: opened.Epoch, Token: token},
		applied: opened.Applied, logged: opened.Applied,
	}
}

// restart closes the store and opens it again.
func (b *books) restart() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatalf("closing: %v", err)
	}
	b.Store = b.made.Open()
}

func (b *books) usage() store.RouteUsage {
	b.t.Helper()
	usage, err := b.Usage(b.t.Context(), b.now(), b.now().Add(-time.Minute))
	if err != nil {
		b.t.Fatalf("Usage: %v", err)
	}
	if len(usage.Routes) != 1 {
		b.t.Fatalf("Usage has %d routes, want 1", len(usage.Routes))
	}
	return usage.Routes[0]
}

// expire says that proxies are silent that were not heard from for half a minute, and expects as much to become uncertain.
func (b *books) expire(proxies int, usd string) {
	b.t.Helper()
	got, err := b.ExpireSilent(b.t.Context(), b.now().Add(-30*time.Second))
	if want := (store.Lapsed{Proxies: proxies, Amount: dollars(b.t, usd)}); err != nil || got != want {
		b.t.Fatalf("ExpireSilent = %+v, %v, want %+v", got, err, want)
	}
}

// wantSpend compares what the budget of the consumer (or of the route, if empty) has in its current window.
func (b *books) wantSpend(consumer, name string, want store.Spend) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.budget(consumer, name).Spend, amounts); diff != "" {
		b.t.Errorf("budget %q of %q (-want +got):\n%s", name, consumer, diff)
	}
}

func (b *books) budget(consumer, name string) store.BudgetUsage {
	b.t.Helper()
	usage := b.usage()
	budgets := usage.Budgets
	for _, one := range usage.Consumers {
		if one.Name == consumer {
			budgets = one.Budgets
		}
	}
	for _, one := range budgets {
		if one.Budget.Name == name && one.Budget.Consumer == consumer {
			return one
		}
	}
	b.t.Fatalf("consumer %q has no budget %q: %+v", consumer, name, budgets)
	return store.BudgetUsage{}
}

// spend reads three amounts in USD.
func spend(t *testing.T, settled, uncertain, leased string) store.Spend {
	t.Helper()
	return store.Spend{Settled: dollars(t, settled), Uncertain: dollars(t, uncertain), Leased: dollars(t, leased)}
}

// dollars reads an amount in USD, which may be negative.
func dollars(t *testing.T, usd string) money.Amount {
	t.Helper()
	negative := usd[0] == '-'
	if negative {
		usd = usd[1:]
	}
	amount, err := money.ParseUSD(usd)
	if err != nil {
		t.Fatal(err)
	}
	if negative {
		return money.Amount{}.Sub(amount)
	}
	return amount
}

// denies is a budget of the route (or of the consumer) that denies.
func denies(t *testing.T, consumer, name, usd string, period budget.Period) store.Budget {
	t.Helper()
	return store.Budget{Consumer: consumer, Name: name, Limit: dollars(t, usd), Period: period, TimeZone: "UTC", Enforcement: budget.Deny}
}

// warns is a budget of the route (or of the consumer) that only warns.
func warns(t *testing.T, consumer, name, usd string, period budget.Period) store.Budget {
	t.Helper()
	made := denies(t, consumer, name, usd, period)
	made.Enforcement = budget.Warn
	return made
}

// amounts compares amounts, shown in nano-USD.
var amounts = cmp.Options{
	cmp.Comparer(func(a, b money.Amount) bool { return a == b }),
	cmpopts.EquateEmpty(),
}
