package storetest

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runWindows(t *testing.T, open Open) {
	t.Run("an attempt settles in the window in which it was opened", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day), denies(t, "", "month", "9", budget.Month))
		leases := b.draw("alice", "0.9")
		late := b.settled("0.7", leases, "0.7")
		b.advance(12 * time.Hour)
		b.wantSpend("", "day", spend(t, "0", "0", "0"))
		b.draw("alice", "0.8")
		b.report(late)
		b.wantSpend("", "day", spend(t, "0", "0", "0.8"))
		b.wantSpend("", "month", spend(t, "0.7", "0", "1"))
		b.advance(-12 * time.Hour)
		b.wantSpend("", "day", spend(t, "0.7", "0", "0.2"))
	})
	t.Run("a proxy's clock that is off does not move an attempt out of its lease's window", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "hour", "1", budget.Hour), denies(t, "", "day", "9", budget.Day))
		leases := b.draw("alice", "0.75")
		b.report(b.opened(b.now().Add(-time.Minute), "0.25", leases))
		b.wantSpend("", "hour", spend(t, "0.25", "0", "0.5"))
		b.advance(time.Hour)
		b.report(b.opened(b.now(), "0.125", leases))
		b.wantSpend("", "hour", spend(t, "0", "0", "0"))
		b.wantSpend("", "day", spend(t, "0.375", "0", "0.375"))
		b.advance(-time.Hour)
		b.wantSpend("", "hour", spend(t, "0.375", "0", "0.375"))
	})
	t.Run("nothing is booked in the future, nor before there were clocks", func(t *testing.T) {
		b := newBooks(t, open, warns(t, "", "hour", "1", budget.Hour), warns(t, "", "all", "1", budget.Total))
		b.report(b.opened(noon.Add(time.Hour), "0.25", nil), b.opened(time.Time{}, "0.125", nil), b.opened(time.Unix(-9000, 0), "0.5", nil))
		b.wantSpend("", "hour", spend(t, "0.875", "0", "0"))
		b.made.Forget(b.Store)
		b.wantSpend("", "hour", spend(t, "0.875", "0", "0"))
		b.wantSpend("", "all", spend(t, "0.875", "0", "0"))
		b.advance(time.Hour)
		b.wantSpend("", "hour", spend(t, "0", "0", "0"))
	})
	t.Run("another proxy's lease does not move an attempt", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "hour", "1", budget.Hour))
		foreign := b.open("proxy-2", "pod-2").draw("alice", "0.5")
		b.advance(time.Hour)
		b.report(b.opened(b.now(), "0.25", foreign))
		b.wantSpend("", "hour", spend(t, "0.25", "0", "0"))
	})
	t.Run("a budget that is added later knows what was spent since its window began", func(t *testing.T) {
		b := newBooks(t, open)
		b.spent("0.5")
		b.advance(24 * time.Hour)
		b.spent("0.25")
		b.put(denies(t, "", "day", "1", budget.Day), denies(t, "", "all", "1", budget.Total), denies(t, "alice", "own", "1", budget.Day))
		b.wantSpend("", "day", spend(t, "0.25", "0", "0"))
		b.wantSpend("", "all", spend(t, "0.75", "0", "0"))
		b.wantSpend("alice", "own", spend(t, "0.25", "0", "0"))
		if denial := b.denied("bob", "0.26", true); denial.Budget != "all" {
			t.Errorf("denial = %+v, want one of the budget all", denial)
		}
		b.draw("bob", "0.25")
	})
	t.Run("money of a window that is over is not out in the next", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day))
		old := b.draw("alice", "1")
		b.advance(24 * time.Hour)
		b.draw("alice", "1")
		b.report(b.returned(old[0], "1"))
		b.wantSpend("", "day", spend(t, "0", "0", "1"))
	})
	t.Run("a clock that is turned back finds the earlier window as it was", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "1", budget.Month))
		b.draw("alice", "0.5") // On the 17th, under the lease of the month that begins on the 1st.
		b.put(denies(t, "", "month", "0.25", budget.Day))
		b.advance(-16 * 24 * time.Hour)
		b.denied("alice", "0.125", false) // On the 1st, under the lease of the day that begins then.
		b.wantSpend("", "month", spend(t, "0", "0", "0.5"))
		b.made.Forget(b.Store)
		b.wantSpend("", "month", spend(t, "0", "0", "0.5"))
	})
}

func runEdits(t *testing.T, open Open) {
	for edit, change := range map[string]func(*store.Budget){
		"a raised limit":       func(b *store.Budget) { b.Limit = b.Limit.Add(b.Limit) },
		"a lowered limit":      func(b *store.Budget) { b.Limit = dollars(t, "0.1") },
		"a shorter period":     func(b *store.Budget) { b.Period = budget.Day },
		"a longer period":      func(b *store.Budget) { b.Period = budget.Year },
		"another time zone":    func(b *store.Budget) { b.TimeZone = "Asia/Kathmandu" },
		"a reserve elsewhere":  func(b *store.Budget) { b.Except = "elsewhere" },
		"warning, not denying": func(b *store.Budget) { b.Enforcement = budget.Warn },
	} {
		t.Run(edit+" keeps what was spent and is out", func(t *testing.T) {
			original := denies(t, "", "edited", "1", budget.Month)
			b := newBooks(t, open, original)
			b.spent("0.4")
			leases := b.draw("alice", "0.3")
			edited := original
			change(&edited)
			b.put(edited)
			b.wantSpend("", "edited", spend(t, "0.4", "0", "0.3"))
			b.restart()
			b.wantSpend("", "edited", spend(t, "0.4", "0", "0.3"))
			answer := b.ask(b.demand("alice", "0.7"))[0]
			allowed := edited.Enforcement == budget.Warn || edited.Limit.Cmp(dollars(t, "1.4")) >= 0
			if (answer.Denial == nil) != allowed {
				t.Errorf("denial = %+v, want allowed = %t", answer.Denial, allowed)
			}
			b.report(b.settled("0.2", leases, "0.2"), releaseAll)
			b.wantSpend("", "edited", spend(t, "0.6", "0", "0"))
			b.put(original)
			b.wantSpend("", "edited", spend(t, "0.6", "0", "0"))
		})
	}
	gone := map[string]func(*books){
		"a budget that only warns for a while":    func(b *books) { b.put(warns(t, "", "month", "1", budget.Month)) },
		"a budget that is removed and added":      func(b *books) { b.put() },
		"a route that is deleted and put":         func(b *books) { b.putRoute(store.Route{Namespace: "ai", Name: "chat"}) },
		"a budget whose period is edited for now": func(b *books) { b.put(denies(t, "", "month", "1", budget.Hour)) },
	}
	for edit, change := range gone {
		t.Run(edit+" again goes on where it was", func(t *testing.T) {
			b := newBooks(t, open, denies(t, "", "month", "1", budget.Month), denies(t, "alice", "own", "9", budget.Total))
			b.spent("0.125")
			leases := b.draw("alice", "0.75")
			change(b)
			b.report(b.settled("0.25", leases, "0.25"))
			b.put(denies(t, "", "month", "1", budget.Month), denies(t, "alice", "own", "9", budget.Total))
			b.wantSpend("", "month", spend(t, "0.375", "0", "0.5"))
			b.wantSpend("alice", "own", spend(t, "0.375", "0", "0.5"))
			b.denied("alice", "0.25", false)
			b.report(b.returned(leases[0], "0.25"))
			if again := b.draw("alice", "0.25"); again[0].ID != leases[0].ID {
				t.Errorf("the lease is %+v, want %d as before", again[0], leases[0].ID)
			}
			b.wantSpend("", "month", spend(t, "0.375", "0", "0.5"))
		})
	}
	t.Run("a limit is raised and lowered in mid-window", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "1", budget.Month))
		leases := b.draw("alice", "1")
		b.put(denies(t, "", "month", "1.5", budget.Month))
		b.draw("alice", "0.5")
		b.put(denies(t, "", "month", "1.2", budget.Month))
		b.denied("alice", "0.000000001", false)
		if free := b.draw("alice", "0")[0].Free; free != dollars(t, "-0.3") {
			t.Errorf("%s USD are free, want -0.3", free)
		}
		b.report(b.returned(leases[0], "0.5"))
		b.draw("alice", "0.2")
		b.wantSpend("", "month", spend(t, "0", "0", "1.2"))
	})
	t.Run("an emptied route keeps its spend", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "month", "1", budget.Month))
		b.spent("0.4")
		b.putRoute(store.Route{Namespace: "ai", Name: "chat"})
		if usage := b.usage(); len(usage.Budgets) != 0 || usage.Spend.Settled != dollars(t, "0.4") {
			t.Errorf("usage of the emptied route = %+v, want no budget and 0.4 USD settled", usage)
		}
	})
	t.Run("the version goes up with every change and only then", func(t *testing.T) { runVersions(t, open) })
}

func runVersions(t *testing.T, open Open) {
	b := newBooks(t, open)
	last := b.beat(store.Beat{}).Versions[chat]
	total := denies(t, "", "total", "1", budget.Total)
	route := store.Route{Namespace: "ai", Name: "chat", Server: server, Consumers: []string{"alice", "bob"}}
	for _, step := range []struct {
		change string
		put    func()
	}{
		{"a budget is added", func() { route.Budgets = []store.Budget{total} }},
		{"its limit", func() { route.Budgets[0].Limit = dollars(t, "2") }},
		{"its period", func() { route.Budgets[0].Period = budget.Day }},
		{"its time zone", func() { route.Budgets[0].TimeZone = "Europe/Berlin" }},
		{"its enforcement", func() { route.Budgets[0].Enforcement = budget.Warn }},
		{"its reserve", func() { route.Budgets[0].Except = "spare" }},
		{"an upstream's budget", func() {
			route.Budgets = append(route.Budgets, only(denies(t, "", "total", "1", budget.Total), "spare"))
		}},
		{"a consumer's budget", func() { route.Budgets = append(route.Budgets, denies(t, "alice", "total", "1", budget.Total)) }},
		{"a consumer", func() { route.Consumers = append(route.Consumers, "carol") }},
		{"a consumer is gone", func() { route.Consumers = []string{"alice"} }},
		{"the server", func() { route.Server = "another" }},
		{"the server is back", func() { route.Server = server }},
		{"a budget is gone", func() { route.Budgets = route.Budgets[:1] }},
	} {
		step.put()
		for _, want := range []int64{last + 1, last + 1} {
			b.putRoute(route)
			answer := b.ask(b.demand("alice", "0"))[0]
			if got := b.beat(store.Beat{}).Versions[chat]; got != want || answer.Err == nil && answer.Version != want {
				t.Errorf("%s: version %d, and %d in the answer %+v, want %d", step.change, got, answer.Version, answer, want)
			}
		}
		b.restart()
		last++
	}
}
