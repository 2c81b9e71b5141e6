package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runSettle(t *testing.T, open Open) {
	t.Run("a settlement books the cost and gives the rest back", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "route", "1", budget.Month), denies(t, "alice", "own", "1", budget.Day))
		b.settle(b.settlement(b.hold("alice", "0.8"), "0.123456789"))
		b.wantSpend("", "route", spend(t, "0.123456789", "0", "0"))
		b.wantSpend("alice", "own", spend(t, "0.123456789", "0", "0"))
		b.hold("alice", "0.876543211")
	})
	t.Run("a debt is booked in full", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.settle(b.settlement(b.hold("alice", "0.5"), "3"))
		b.wantSpend("", "total", spend(t, "3", "0", "0"))
		denial := b.reserve(b.demand("alice", "0.01"))
		if denial == nil || denial.Remaining != dollars(t, "0").Sub(dollars(t, "2")) {
			t.Errorf("denial = %+v, want one with a remaining -2 USD", denial)
		}
	})
	t.Run("each settlement counts once, within a call and across calls and restarts", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		one := b.settlement(b.hold("alice", "0.5"), "0.2")
		if got := b.settle(one, one); got.Repeated != 1 {
			t.Errorf("repeated = %d, want 1", got.Repeated)
		}
		b.restart()
		if got := b.settle(one); got.Repeated != 1 {
			t.Errorf("after a restart: repeated = %d, want 1", got.Repeated)
		}
		b.wantSpend("", "total", spend(t, "0.2", "0", "0"))
	})
	t.Run("a repeated reservation of a settled hold is refused", func(t *testing.T) {
		b := newBooks(t, open)
		demand := b.demand("alice", "0.5")
		b.reserve(demand)
		b.settle(b.settlement(demand.Sequence, "0.2"))
		if _, err := b.Reserve(t.Context(), b.now(), b.session, demand); !errors.Is(err, store.ErrClosedHold) {
			t.Errorf("error %v, want ErrClosedHold", err)
		}
	})
	t.Run("a hold given back before its reservation arrives is never made", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		demand := b.demand("alice", "0.5")
		b.settle(b.settlement(demand.Sequence, "0"))
		if _, err := b.Reserve(t.Context(), b.now(), b.session, demand); !errors.Is(err, store.ErrClosedHold) {
			t.Errorf("error %v, want ErrClosedHold", err)
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0"))
	})
	t.Run("an uncertain cost is kept apart and counts as spent", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		one := b.settlement(b.hold("alice", "0.5"), "0.5")
		one.Uncertain = true
		b.settle(one)
		b.wantSpend("", "total", spend(t, "0", "0.5", "0"))
		if denial := b.reserve(b.demand("alice", "0.6")); denial == nil || !denial.Exhausted {
			t.Errorf("denial = %+v, want exhausted", denial)
		}
	})
	t.Run("a bill without a known hold is booked once", func(t *testing.T) { runUnmatched(t, open) })
	t.Run("a proxy cannot bill a route that it never served", func(t *testing.T) {
		b := newBooks(t, open)
		b.putRoute(store.Route{Namespace: "ai", Name: "other", Server: "system:serviceaccount:ai:other", Consumers: []string{"alice"}})
		one := b.settlement(1, "0.5")
		one.Route.Name = "other"
		if _, err := b.Settle(t.Context(), b.now(), b.session, []store.Settlement{one}); !errors.Is(err, store.ErrForeignRoute) {
			t.Errorf("error %v, want ErrForeignRoute", err)
		}
	})
	t.Run("what is held when the route is emptied is settled all the same", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		sequence := b.hold("alice", "0.5")
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		b.settle(b.settlement(sequence, "0.4"))
		b.put(denies(t, "", "total", "1", budget.Total))
		b.wantSpend("", "total", spend(t, "0.4", "0", "0"))
	})
}

func runUnmatched(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "1", budget.Total))
	lost := b.settlement(7, "0.1")
	if got := b.settle(lost); got.Unmatched != 1 {
		t.Errorf("unmatched = %d, want 1", got.Unmatched)
	}
	earlier := b.settlement(7, "0.2")
	earlier.Epoch = 41 // As after a restore from a backup that does not know of that session.
	b.settle(earlier)
	nameless := b.settlement(8, "0.3")
	nameless.Consumer = "carol"
	b.settle(nameless)
	if got := b.settle(lost, earlier, nameless); got.Repeated != 3 {
		t.Errorf("repeated = %d, want 3", got.Repeated)
	}
	b.wantSpend("", "total", spend(t, "0.6", "0", "0"))
	b.wantSpend("alice", "own", spend(t, "0.3", "0", "0"))
	if next := b.open("proxy-1", "pod-1"); next.Epoch <= 41 {
		t.Errorf("the next epoch is %d, want one above every epoch that was ever used", next.Epoch)
	}
}

func runSilence(t *testing.T, open Open) {
	expire := func(b *books, want int) {
		b.t.Helper()
		got, err := b.ExpireSilent(b.t.Context(), b.now().Add(-30*time.Second))
		if err != nil || got != want {
			b.t.Fatalf("ExpireSilent = %d, %v, want %d holds", got, err, want)
		}
	}
	t.Run("what a silent proxy holds becomes uncertain and is not freed", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		first, second := b.hold("alice", "0.5"), b.hold("alice", "0.25")
		b.settle(b.settlement(b.hold("alice", "0.1"), "0.1"))
		b.advance(29 * time.Second)
		expire(b, 0)
		b.advance(2 * time.Second)
		expire(b, 2)
		expire(b, 0)
		b.wantSpend("", "total", spend(t, "0.1", "0.75", "0"))
		b.settle(b.settlement(first, "0.3"))
		b.wantSpend("", "total", spend(t, "0.4", "0.25", "0"))
		again := b.settlement(second, "0.2")
		again.Uncertain = true
		b.settle(again)
		b.wantSpend("", "total", spend(t, "0.4", "0.2", "0"))
		if got := b.settle(b.settlement(first, "0.3")); got.Repeated != 1 {
			t.Errorf("repeated = %d, want 1", got.Repeated)
		}
	})
	t.Run("a proxy that is heard keeps its holds", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.hold("alice", "0.5")
		for range 5 {
			b.advance(20 * time.Second)
			if err := b.Heartbeat(t.Context(), b.now(), b.session, store.Beat{}); err != nil {
				t.Fatal(err)
			}
			expire(b, 0)
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
	})
	t.Run("a proxy that comes back and falls silent again lapses again", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.hold("alice", "0.5")
		b.advance(time.Minute)
		expire(b, 1)
		b.hold("alice", "0.125")
		b.advance(time.Minute)
		expire(b, 1)
		b.wantSpend("", "total", spend(t, "0", "0.625", "0"))
	})
	t.Run("a new epoch does not free the holds of the old one", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		old := b.session
		sequence := b.hold("alice", "0.5")
		b.session = b.open("proxy-1", "pod-1")
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
		one := b.settlement(sequence, "0.2")
		one.Epoch = old.Epoch
		b.settle(one)
		b.wantSpend("", "total", spend(t, "0.2", "0", "0"))
	})
	t.Run("the ledger's own absence is not the proxy's silence", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.hold("alice", "0.5")
		b.restart()
		expire(b, 0)
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
		if diff := cmp.Diff(spend(t, "0", "0", "0.5"), b.usage().Spend, amounts); diff != "" {
			t.Errorf("spend of the route (-want +got):\n%s", diff)
		}
	})
}
