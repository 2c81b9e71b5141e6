package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// RunOperable runs the suite of a store.Operable, beside Run.
func RunOperable(t *testing.T, open Open) {
	t.Run("Proxies", func(t *testing.T) { runProxyAccounts(t, open) })
	t.Run("Debts", func(t *testing.T) { runDebts(t, open) })
	t.Run("Damage", func(t *testing.T) { runDamage(t, open) })
	t.Run("Pages", func(t *testing.T) { runPages(t, open) })
}

// faults are what a store that can prove its books finds wrong with them.
func faults(ctx context.Context, s store.Store, now time.Time) ([]store.Finding, error) {
	provable, ok := s.(store.Operable)
	if !ok {
		return nil, nil
	}
	verdict, err := provable.Verify(ctx, now)
	return verdict.Discrepancies, err
}

func (b *books) proxies() []store.ProxyAccount {
	b.t.Helper()
	listed, err := b.Store.(store.Operable).Proxies(b.t.Context())
	if err != nil {
		b.t.Fatalf("Proxies: %v", err)
	}
	return listed
}

func (b *books) wantProxies(want ...store.ProxyAccount) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.proxies(), amounts, cmpopts.EquateApproxTime(0)); diff != "" {
		b.t.Errorf("the proxies (-want +got):\n%s", diff)
	}
}

func runProxyAccounts(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "9", budget.Total), denies(t, "alice", "own", "9", budget.Month))
	out := func(consumer, name, usd string) store.Outstanding {
		return store.Outstanding{Route: chat, Consumer: consumer, Budget: name, Amount: dollars(t, usd)}
	}
	other := b.open("proxy-2", "pod-2")
	b.advance(time.Second)
	leases := b.draw("alice", "0.75")
	b.report(b.settled("0.25", leases, "0.25"))
	first := store.ProxyAccount{
		ProxyID: "proxy-1", Instance: "pod-1", LastHeard: b.now(), Applied: 1,
		Out: []store.Outstanding{out("", "total", "0.5"), out("alice", "own", "0.5")},
	}
	second := store.ProxyAccount{ProxyID: "proxy-2", Instance: "pod-2", LastHeard: b.now().Add(-time.Second)}
	b.wantProxies(first, second)
	if total := first.Total(); total != dollars(t, "1") {
		t.Errorf("%s USD are out in two budgets, want 1", total)
	}

	b.advance(time.Minute)
	other.beat(store.Beat{})
	b.expire(1, "1")
	first.Silent, second.LastHeard = true, b.now()
	b.wantProxies(first, second)

	b.restart()
	if b.made.Remembers {
		b.wantProxies(first, second)
		b.advance(time.Minute)
		b.expire(1, "0")
	}
	// Nobody was heard from since; what has nothing is not shown any more.
	if !b.made.Remembers {
		first.LastHeard = time.Time{}
	}
	b.wantProxies(first)

	if freed, err := b.release("proxy-1"); err != nil || freed != dollars(t, "1").String() {
		t.Fatalf("released %s USD, error %v, want 1", freed, err)
	}
	first.Released, first.Out = true, nil
	first.Release = &store.Released{
		Release: store.Release{ProxyID: "proxy-1", By: "admin", Reason: "its node burnt"}, At: b.now(), Freed: dollars(t, "1"),
	}
	b.wantProxies(first)
}

func runDebts(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), warns(t, "", "soft", "0.125", budget.Total))
	leases := b.draw("alice", "0.75")
	b.report(b.settled("1.25", leases, "0.5"))
	verdict, err := b.Store.(store.Operable).Verify(t.Context(), b.now())
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	want := store.Verdict{
		Scopes: 3, Windows: 2, Leases: 1, Proxies: 1,
		Debts: []store.Finding{{
			About:   "budget total of route ai/chat in the window from 1970-01-01T00:00:00Z",
			Problem: "0.50 USD over the limit of 1.00 USD: 1.25 USD settled, 0.00 USD uncertain, 0.25 USD out with proxies",
		}},
	}
	if diff := cmp.Diff(want, verdict); diff != "" {
		t.Errorf("the verdict (-want +got):\n%s", diff)
	}
}
