package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// ahead asks for an amount and for as much as possible on top, and returns what was granted under the first lease so far.
func (p *proxy) ahead(usd, want string) string {
	p.t.Helper()
	demand := p.demand("alice", usd)
	demand.Want = dollars(p.t, want)
	answer := p.ask(demand)[0]
	if answer.Denial != nil || len(answer.Leases) == 0 {
		p.t.Fatalf("answer = %+v, want leases", answer)
	}
	return answer.Leases[0].Granted.String()
}

func runAhead(t *testing.T, open Open) {
	t.Run("a proxy gets ahead of need what leaves as much for every other one twice over", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		if got, want := b.ahead("0.2", "0.1"), dollars(t, "0.3").String(); got != want {
			t.Errorf("%s USD are granted, want %s: what it asked for", got, want)
		}
		if got, want := b.ahead("0.1", "9"), dollars(t, "0.7").String(); got != want {
			t.Errorf("%s USD are granted, want %s: half of what is left on top", got, want)
		}
		b.open("proxy-2", "pod-2")
		if got, want := b.ahead("0.1", "9"), dollars(t, "0.85").String(); got != want {
			t.Errorf("%s USD are granted, want %s: a quarter of what is left on top", got, want)
		}
	})
	t.Run("each account gives what it can spare", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "route", "10", budget.Month), denies(t, "alice", "own", "1", budget.Day))
		demand := b.demand("alice", "0.5")
		demand.Want = dollars(t, "2")
		b.ask(demand)
		b.wantSpend("", "route", spend(t, "0", "0", "2.5"))
		b.wantSpend("alice", "own", spend(t, "0", "0", "0.75"))
	})
	t.Run("silent proxies share nothing, and those in another session do", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.open("proxy-2", "pod-2")
		b.advance(time.Minute)
		b.expire(2, "0")
		if got := b.draw("alice", "0.5")[0].Sharers; got != 1 {
			t.Errorf("%d proxies share, want the one that draws", got)
		}
		b.restart()
		if got := b.draw("alice", "0.125")[0].Sharers; got != 1 {
			t.Errorf("after a restart %d proxies share, want the one that draws", got)
		}
		b.open("proxy-2", "pod-2")
		if got := b.draw("alice", "0.125")[0].Sharers; got != 2 {
			t.Errorf("%d proxies share, want both", got)
		}
	})
	t.Run("while somebody is refused for held money, nothing is leased ahead and it is recalled", func(t *testing.T) {
		runContended(t, open)
	})
}

func (p *proxy) beat(beat store.Beat) store.Pulse {
	p.t.Helper()
	pulse, err := p.Heartbeat(p.t.Context(), p.now(), p.session, beat)
	if err != nil {
		p.t.Fatalf("Heartbeat: %v", err)
	}
	return pulse
}

func (p *proxy) wantRecall(reason string, want ...int64) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.beat(store.Beat{}).Recall, amounts); diff != "" {
		p.t.Errorf("recalled %s (-want +got):\n%s", reason, diff)
	}
}

func runContended(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "1", budget.Total))
	other := b.open("proxy-2", "pod-2")
	held := b.draw("alice", "0.75")
	b.wantRecall("though nobody was refused")
	other.denied("bob", "1.5", true)
	b.wantRecall("though the money that is out would not have helped")
	other.denied("bob", "0.5", false)
	b.wantRecall("for bob", held[0].ID)
	other.wantRecall("from a proxy that has nothing")
	if got, want := b.ahead("0.125", "1"), dollars(t, "0.875").String(); got != want {
		t.Errorf("%s USD are granted, want %s: nothing on top in the contended account", got, want)
	}
	b.wantSpend("alice", "own", spend(t, "0", "0", "0.90625"))
	b.report(b.returned(held[0], "0.875"))
	b.wantRecall("though nothing is out")
	other.draw("bob", "0.5")
	b.advance(10 * time.Second)
	if got, want := b.ahead("0", "1"), dollars(t, "1").String(); got != want {
		t.Errorf("%s USD are granted, want %s: the quarrel is over", got, want)
	}
	b.wantRecall("though the quarrel is over")
	other.denied("bob", "0.5", false)
	b.advance(-time.Hour)
	b.wantRecall("though the clock was turned back since")
}

func runDenials(t *testing.T, open Open) {
	nextDay := time.Date(2026, time.November, 18, 0, 0, 0, 0, time.UTC)
	nextMonth := time.Date(2026, time.December, 1, 0, 0, 0, 0, time.UTC)
	for reason, test := range map[string]struct {
		budgets               []store.Budget
		settled, held, demand string
		want                  store.Denial
		limit, remaining      string
	}{
		"held money does not exhaust": {
			budgets: []store.Budget{denies(t, "", "month", "1", budget.Month)},
			settled: "0.3", held: "0.5", demand: "0.4",
			want:  store.Denial{Budget: "month", WindowEnd: nextMonth},
			limit: "1", remaining: "0.7",
		},
		"exhausted comes before held": {
			budgets: []store.Budget{denies(t, "", "month", "0.9", budget.Month), denies(t, "alice", "day", "0.5", budget.Day)},
			settled: "0.3", held: "0.2", demand: "0.45",
			want:  store.Denial{Exhausted: true, Consumer: "alice", Budget: "day", WindowEnd: nextDay},
			limit: "0.5", remaining: "0.2",
		},
		"the longest wait comes first": {
			budgets: []store.Budget{denies(t, "", "day", "0.5", budget.Day), denies(t, "", "month", "0.5", budget.Month)},
			settled: "0.4", held: "0", demand: "0.2",
			want:  store.Denial{Exhausted: true, Budget: "month", WindowEnd: nextMonth},
			limit: "0.5", remaining: "0.1",
		},
		"a budget that never resets waits longest": {
			budgets: []store.Budget{denies(t, "", "all", "0.5", budget.Total), denies(t, "", "month", "0.5", budget.Month)},
			settled: "0.4", held: "0", demand: "0.2",
			want:  store.Denial{Exhausted: true, Budget: "all"},
			limit: "0.5", remaining: "0.1",
		},
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBooks(t, open, test.budgets...)
			b.spent(test.settled)
			b.open("proxy-2", "pod-2").draw("alice", test.held)
			before := b.usage()
			test.want.Limit, test.want.Remaining = dollars(t, test.limit), dollars(t, test.remaining)
			if diff := cmp.Diff(&test.want, b.ask(b.demand("alice", test.demand))[0].Denial, amounts); diff != "" {
				t.Errorf("denial (-want +got):\n%s", diff)
			}
			after := b.usage()
			for i := range after.Budgets {
				after.Budgets[i].Refusing = before.Budgets[i].Refusing
			}
			for i := range after.Consumers[0].Budgets {
				after.Consumers[0].Budgets[i].Refusing = before.Consumers[0].Budgets[i].Refusing
			}
			if diff := cmp.Diff(before, after, amounts); diff != "" {
				t.Errorf("a denial changed the books (-before +after):\n%s", diff)
			}
		})
	}
}
