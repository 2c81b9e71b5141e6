package storetest

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runAppend(t *testing.T, open Open) {
	t.Run("each record counts once, however calls overlap", func(t *testing.T) { runNumbers(t, open) })
	t.Run("a gap is refused, and says what is applied", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		one := b.settled("0.25", nil, "0")
		b.report(one)
		for _, first := range []int64{3, 4, math.MaxInt64} {
			appended, err := b.Append(t.Context(), b.now(), b.session, first, []store.Record{one, one})
			if !errors.Is(err, store.ErrGap) || appended.Applied != 1 {
				t.Errorf("records from %d: %+v, %v, want a gap after 1", first, appended, err)
			}
		}
		b.wantSpend("", "total", spend(t, "0.25", "0", "0"))
	})
	t.Run("no records are no harm", func(t *testing.T) {
		b := newBooks(t, open)
		b.report()
		b.report(store.Record{})
	})
	t.Run("what is returned can be drawn by another", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "2", budget.Total))
		other := b.open("proxy-2", "pod-2")
		leases := b.draw("alice", "1")
		other.denied("bob", "0.25", false)
		b.report(b.returned(leases[0], "0.25"))
		other.draw("bob", "0.25")
		other.denied("bob", "0.000000001", false)
		b.wantSpend("", "total", spend(t, "0", "0", "1"))
		b.wantSpend("alice", "own", spend(t, "0", "0", "1"))
	})
	t.Run("nothing comes back that is not out", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		other := b.open("proxy-2", "pod-2")
		own, foreign := b.draw("alice", "0.25"), other.draw("alice", "0.5")
		b.report(
			b.returned(foreign[0], "0.5"), b.returned(store.Lease{ID: 4711}, "0.5"), b.returned(own[0], "-0.125"),
			b.settled("0.0625", foreign, "0.0625"),
		)
		b.wantSpend("", "total", spend(t, "0.0625", "0", "0.75"))
		b.report(b.returned(own[0], "9"), b.returned(own[0], "9"))
		b.wantSpend("", "total", spend(t, "0.0625", "0", "0.5"))
	})
	t.Run("releasing all gives everything back, of every window", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day), denies(t, "alice", "own", "1", budget.Total))
		other := b.open("proxy-2", "pod-2")
		old := b.draw("alice", "0.5")
		b.advance(24 * time.Hour)
		now := b.draw("alice", "0.25")
		other.draw("bob", "0.125")
		b.report(releaseAll)
		b.wantSpend("", "day", spend(t, "0", "0", "0.125"))
		b.wantSpend("alice", "own", spend(t, "0", "0", "0"))
		b.report(b.returned(old[0], "0.5"), b.returned(now[0], "0.25"), releaseAll)
		if again := b.draw("alice", "0.25"); again[0].ID == now[0].ID || again[0].Granted != dollars(t, "0.25") {
			t.Errorf("leases = %+v, want a new one with 0.25 USD", again)
		}
		b.wantSpend("", "day", spend(t, "0", "0", "0.375"))
		late := store.Draw{Sequence: b.drawn + 1, After: b.logged - 1, Identity: server, Demands: []store.Demand{b.demand("alice", "0.25")}}
		if _, err := b.Draw(t.Context(), b.now(), b.session, late); !errors.Is(err, store.ErrLate) {
			t.Errorf("a draw from before everything was given back: %v, want ErrLate", err)
		}
		b.wantSpend("", "day", spend(t, "0", "0", "0.375"))
		b.put(denies(t, "", "day", "1", budget.Month))
		b.wantSpend("", "day", spend(t, "0", "0", "0.375"))
	})
}

func runNumbers(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "9", budget.Total))
	leases := b.draw("alice", "4")
	records := []store.Record{
		b.settled("0.5", leases, "0.5"), b.returned(leases[0], "0.25"), b.uncertain("0.125", leases, "0.125"), b.settled("1", leases, "1"),
	}
	for _, test := range []struct {
		reason   string
		from, to int
		repeated int
		want     store.Spend
	}{
		{"the first two", 0, 2, 0, spend(t, "0.5", "0", "3.25")},
		{"the same again", 0, 2, 2, spend(t, "0.5", "0", "3.25")},
		{"an overlap", 1, 3, 1, spend(t, "0.5", "0.125", "3.125")},
		{"older ones", 0, 1, 1, spend(t, "0.5", "0.125", "3.125")},
		{"all", 0, 4, 3, spend(t, "1.5", "0.125", "2.125")},
	} {
		if got := b.reportAs(int64(test.from)+1, records[test.from:test.to]...); got.Repeated != test.repeated {
			t.Errorf("%s: %d repeated, want %d", test.reason, got.Repeated, test.repeated)
		}
		b.wantSpend("", "total", test.want)
		b.restart()
	}
	if got := b.reportAs(math.MinInt64, records...); got.Repeated != 4 || got.Applied != 4 {
		t.Errorf("records with absurd numbers: %+v, want all repeated", got)
	}
	b.wantSpend("", "total", spend(t, "1.5", "0.125", "2.125"))
	b.open("proxy-2", "pod-2").report(records[0]) // Each proxy has a log of its own.
	b.wantSpend("", "total", spend(t, "2", "0.125", "2.125"))
}

func runSettlements(t *testing.T, open Open) {
	t.Run("a settlement is booked on the route and on its consumer", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "route", "1", budget.Month), denies(t, "alice", "own", "1", budget.Day))
		leases := b.draw("alice", "0.8")
		b.report(b.settled("0.123456789", leases, "0.123456789"))
		b.wantSpend("", "route", spend(t, "0.123456789", "0", "0.676543211"))
		b.wantSpend("alice", "own", spend(t, "0.123456789", "0", "0.676543211"))
		usage := b.usage()
		want, bob := spend(t, "0.123456789", "0", "0"), usage.Consumers[1].Spend
		if usage.Spend != want || usage.Consumers[0].Spend != want || bob != (store.Spend{}) {
			t.Errorf("usage = %+v, want %+v of the route and of alice", usage, want)
		}
	})
	t.Run("what an attempt cost beyond its hold is a debt and booked in full", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.report(b.settled("3", b.draw("alice", "0.5"), "0.5"))
		b.wantSpend("", "total", spend(t, "3", "0", "0"))
		if denial := b.denied("alice", "0.01", true); denial.Remaining != dollars(t, "-2") {
			t.Errorf("denial = %+v, want one with a remaining -2 USD", denial)
		}
	})
	t.Run("no more is taken off a lease than is out", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		leases := b.draw("alice", "0.5")
		b.report(b.settled("0.25", leases, "9"), b.settled("0.125", leases, "0.125"))
		b.wantSpend("", "total", spend(t, "0.375", "0", "0"))
	})
	t.Run("an uncertain cost is kept apart and counts as spent", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.report(b.uncertain("0.5", b.draw("alice", "0.5"), "0.5"))
		b.wantSpend("", "total", spend(t, "0", "0.5", "0"))
		b.denied("alice", "0.6", true)
		b.draw("alice", "0.5")
	})
	t.Run("what was uncertain is replaced once it is known, in the window in which it was held", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "day", "1", budget.Day), denies(t, "alice", "own", "1", budget.Total))
		b.report(b.uncertain("0.5", b.draw("alice", "0.5"), "0.5"), b.uncertain("0.25", b.draw("alice", "0.25"), "0.25"))
		known := b.settled("0.125", nil, "0")
		known.Settlement.Replaces, known.Settlement.OpenedAt = dollars(t, "0.5"), b.now()
		b.report(known)
		b.wantSpend("", "day", spend(t, "0.125", "0.25", "0"))
		b.draw("alice", "0.625")
		b.advance(24 * time.Hour)
		late := b.settled("0.0625", nil, "0")
		late.Settlement.Replaces, late.Settlement.OpenedAt = dollars(t, "0.25"), noon
		b.report(late)
		b.wantSpend("", "day", spend(t, "0", "0", "0"))
		b.wantSpend("alice", "own", spend(t, "0.1875", "0", "0.625"))
	})
	t.Run("without a lease it is booked all the same", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "1", budget.Total))
		nameless := b.settled("0.25", nil, "0")
		nameless.Settlement.Consumer = "carol"
		b.report(b.settled("0.5", []store.Lease{{ID: 4711}}, "0.5"), nameless)
		b.wantSpend("", "total", spend(t, "0.75", "0", "0"))
		b.wantSpend("alice", "own", spend(t, "0.5", "0", "0"))
	})
	t.Run("a proxy cannot bill a route that it never served, and its log goes on", func(t *testing.T) { runForeign(t, open) })
	t.Run("a consumer that is gone still pays", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		leases := b.draw("alice", "0.5")
		b.putRoute(store.Route{Namespace: "ai", Name: "chat", Server: server, Consumers: []string{"bob"}})
		b.report(b.settled("0.25", leases, "0.25"))
		b.put(denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "1", budget.Total))
		b.wantSpend("", "total", spend(t, "0.25", "0", "0.25"))
		b.wantSpend("alice", "own", spend(t, "0.25", "0", "0"))
	})
}

func runForeign(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	other := store.RouteKey{Namespace: "ai", Name: "other"}
	put := store.Route{Namespace: "ai", Name: "other", Server: "system:serviceaccount:ai:other", Consumers: []string{"alice"}}
	b.putRoute(put)
	foreign, unknown := b.settled("0.5", nil, "0"), b.settled("0.5", nil, "0")
	foreign.Settlement.Route, unknown.Settlement.Route.Name = other, "unknown"
	if got := b.report(foreign, b.settled("0.25", nil, "0"), unknown); got.Foreign != 2 {
		t.Errorf("%+v, want two foreign settlements", got)
	}
	want := func(name, settled string) {
		t.Helper()
		usage, err := b.Usage(t.Context(), b.now(), b.now())
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range usage.Routes {
			if one.Route.Name == name && one.Spend.Settled != dollars(t, settled) {
				t.Errorf("%s USD are settled on %s, want %s", one.Spend.Settled, name, settled)
			}
		}
	}
	want("chat", "0.25")
	want("other", "0")
	// A proxy learns of a route, is asked for it, and draws for it, all before it opens a session for it.
	put.Server = server
	b.putRoute(put)
	demand := b.demand("alice", "0.5")
	demand.Route = other
	b.ask(demand)
	b.restart()
	if got := b.report(foreign); got.Foreign != 0 {
		t.Errorf("%+v: what was drawn for is billed by a stranger", got)
	}
	want("other", "0.5")
	// It may bill what it served once, whoever serves the route now.
	put.Server = ""
	b.putRoute(put)
	b.proxy = b.open("proxy-1", "pod-1")
	if got := b.report(foreign); got.Foreign != 0 {
		t.Errorf("%+v: what was served is billed by a stranger", got)
	}
	want("other", "1")
}

// opened is a settlement of an attempt that was opened at the time.
func (p *proxy) opened(at time.Time, usd string, leases []store.Lease) store.Record {
	p.t.Helper()
	record := p.settled(usd, leases, usd)
	record.Settlement.OpenedAt = at
	return record
}
