package storetest

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runWindows(t *testing.T, open Open) {
	t.Run("a hold settles in the window in which it was opened", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day), denies(t, "", "month", "9", budget.Month))
		sequence := b.hold("alice", "0.9")
		b.advance(12 * time.Hour)
		b.wantSpend("", "day", spend(t, "0", "0", "0"))
		b.hold("alice", "0.8")
		b.settle(b.settlement(sequence, "0.7"))
		b.wantSpend("", "day", spend(t, "0", "0", "0.8"))
		b.wantSpend("", "month", spend(t, "0.7", "0", "0.8"))
		b.advance(-12 * time.Hour)
		b.wantSpend("", "day", spend(t, "0.7", "0", "0"))
	})
	t.Run("a budget that is added later knows what was spent and held since its window began", func(t *testing.T) {
		b := newBooks(t, open)
		b.settle(b.settlement(b.hold("alice", "0.5"), "0.5"))
		b.advance(24 * time.Hour)
		b.settle(b.settlement(b.hold("alice", "0.25"), "0.25"))
		open := b.hold("alice", "0.125")
		b.hold("bob", "0.0625")
		b.put(denies(t, "", "day", "1", budget.Day), denies(t, "", "all", "1", budget.Total), denies(t, "alice", "own", "1", budget.Day))
		b.wantSpend("", "day", spend(t, "0.25", "0", "0.1875"))
		b.wantSpend("", "all", spend(t, "0.75", "0", "0.1875"))
		b.wantSpend("alice", "own", spend(t, "0.25", "0", "0.125"))
		if denial := b.reserve(b.demand("bob", "0.07")); denial == nil || denial.Exhausted || denial.Budget != "all" {
			t.Errorf("denial = %+v, want one of the budget all because money is held", denial)
		}
		b.settle(b.settlement(open, "0.1"))
		b.wantSpend("", "all", spend(t, "0.85", "0", "0.0625"))
		b.wantSpend("alice", "own", spend(t, "0.35", "0", "0"))
	})
	edits := map[string]func(*store.Budget){
		"a raised limit":       func(b *store.Budget) { b.Limit = b.Limit.Add(b.Limit) },
		"a lowered limit":      func(b *store.Budget) { b.Limit = dollars(t, "0.1") },
		"a shorter period":     func(b *store.Budget) { b.Period = budget.Day },
		"a longer period":      func(b *store.Budget) { b.Period = budget.Year },
		"another time zone":    func(b *store.Budget) { b.TimeZone = "Asia/Kathmandu" },
		"warning, not denying": func(b *store.Budget) { b.Enforcement = budget.Warn },
	}
	for edit, change := range edits {
		t.Run(edit+" keeps what was spent and held", func(t *testing.T) {
			b := newBooks(t, open, denies(t, "", "edited", "1", budget.Month))
			b.settle(b.settlement(b.hold("alice", "0.4"), "0.4"))
			b.hold("alice", "0.3")
			edited := denies(t, "", "edited", "1", budget.Month)
			change(&edited)
			b.put(edited)
			b.wantSpend("", "edited", spend(t, "0.4", "0", "0.3"))
			b.restart()
			b.wantSpend("", "edited", spend(t, "0.4", "0", "0.3"))
			denial := b.reserve(b.demand("alice", "0.7"))
			if allowed := edited.Enforcement == budget.Warn || edited.Limit.Cmp(dollars(t, "1.4")) >= 0; (denial == nil) != allowed {
				t.Errorf("denial = %+v, want allowed = %t", denial, allowed)
			}
		})
	}
	t.Run("a route that is deleted and applied again goes on where it was", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "1", budget.Month))
		b.settle(b.settlement(b.hold("alice", "0.4"), "0.4"))
		b.hold("alice", "0.3")
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		if usage := b.usage(); len(usage.Budgets) != 0 || usage.Spend.Settled != dollars(t, "0.4") {
			t.Errorf("usage of the emptied route = %+v, want no budget and 0.4 USD settled", usage)
		}
		b.put(denies(t, "", "month", "1", budget.Month))
		b.wantSpend("", "month", spend(t, "0.4", "0", "0.3"))
	})
	t.Run("an amount raised in mid-window is there at once", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "1", budget.Month))
		b.hold("alice", "1")
		b.put(denies(t, "", "month", "1.5", budget.Month))
		b.hold("alice", "0.5")
		b.put(denies(t, "", "month", "1.2", budget.Month))
		if denial := b.reserve(b.demand("alice", "0")); denial == nil {
			t.Error("something was held although more is out than the limit allows")
		}
	})
}
