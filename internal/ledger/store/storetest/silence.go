package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runSilence(t *testing.T, open Open) {
	t.Run("what is out with a silent proxy becomes uncertain and is not freed", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total), denies(t, "alice", "own", "9", budget.Total))
		other := b.open("proxy-2", "pod-2")
		b.spent("0.125")
		b.draw("alice", "0.75")
		b.advance(29 * time.Second)
		b.expire(0, "0")
		b.advance(2 * time.Second)
		other.beat(store.Beat{})
		b.expire(1, "1.5") // In two accounts.
		b.expire(0, "0")
		b.wantSpend("", "total", spend(t, "0.125", "0.75", "0"))
		b.wantSpend("alice", "own", spend(t, "0.125", "0.75", "0"))
		other.denied("bob", "0.25", true)
		if settled := b.usage().Spend; settled != spend(t, "0.125", "0", "0") {
			t.Errorf("the route has %+v, want only what was reported", settled)
		}
	})
	calls := map[string]func(*books){
		"a heartbeat":   func(b *books) { b.beat(store.Beat{}) },
		"a draw":        func(b *books) { b.denied("alice", "1", false) },
		"a report":      func(b *books) { b.report() },
		"a new session": func(b *books) { b.proxy = b.open("proxy-1", "pod-1") },
	}
	for call, makeIt := range calls {
		t.Run("it comes back with "+call, func(t *testing.T) {
			b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
			b.draw("alice", "0.5")
			for range 2 {
				b.advance(time.Minute)
				b.expire(1, "0.5")
				b.wantSpend("", "total", spend(t, "0", "0.5", "0"))
				makeIt(b)
				b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
			}
			b.advance(time.Minute)
			b.expire(1, "0.5")
			b.restart()
			b.expire(0, "0")
			b.wantSpend("", "total", spend(t, "0", "0.5", "0"))
			makeIt(b)
			b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
		})
	}
	t.Run("what a silent proxy reports is taken from what is uncertain", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.report(b.uncertain("0.0625", nil, "0"))
		leases := b.draw("alice", "0.75")
		b.advance(time.Minute)
		b.expire(1, "0.75")
		b.wantSpend("", "total", spend(t, "0", "0.8125", "0"))
		b.report(b.settled("0.5", leases, "0.5"), b.uncertain("0.125", leases, "0.125"))
		b.wantSpend("", "total", spend(t, "0.5", "0.1875", "0.125"))
		b.advance(time.Minute)
		b.expire(1, "0.125")
		b.report(releaseAll)
		b.wantSpend("", "total", spend(t, "0.5", "0.1875", "0"))
	})
	t.Run("it stays uncertain whatever becomes of the budget", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Month))
		leases := b.draw("alice", "0.75")
		b.advance(time.Minute)
		b.expire(1, "0.75")
		b.put(denies(t, "", "total", "1", budget.Year))
		b.wantSpend("", "total", spend(t, "0", "0.75", "0"))
		b.put()
		b.put(denies(t, "", "total", "1", budget.Month))
		b.wantSpend("", "total", spend(t, "0", "0.75", "0"))
		b.report(b.settled("0.25", leases, "0.25"))
		b.wantSpend("", "total", spend(t, "0.25", "0", "0.5"))
	})
	t.Run("a proxy that is heard keeps its leases", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.draw("alice", "0.5")
		for range 5 {
			b.advance(20 * time.Second)
			b.beat(store.Beat{})
			b.expire(0, "0")
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
	})
	t.Run("the ledger's own absence is not the proxy's silence", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.draw("alice", "0.5")
		b.advance(time.Hour)
		b.restart()
		b.expire(0, "0")
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
		b.advance(time.Minute)
		b.expire(1, "0.5")
	})
}

// release gives up on the proxy.
func (b *books) release(proxyID string) (string, error) {
	release := store.Release{ProxyID: proxyID, By: "admin", Reason: "its node burnt"}
	freed, err := b.ReleaseProxy(b.t.Context(), b.now(), b.now().Add(-30*time.Second), release)
	return freed.String(), err
}

func runRelease(t *testing.T, open Open) {
	t.Run("who lives is not released, nor who never was", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		b.draw("alice", "0.5")
		if _, err := b.release("proxy-1"); !errors.Is(err, store.ErrStillAlive) {
			t.Errorf("error %v, want ErrStillAlive", err)
		}
		if _, err := b.release("proxy-2"); !errors.Is(err, store.ErrUnknownProxy) {
			t.Errorf("error %v, want ErrUnknownProxy", err)
		}
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
	})
	for state, before := range map[string]func(*books){
		"a proxy that is not silent yet": func(*books) {},
		"a silent proxy":                 func(b *books) { b.expire(2, "0.5") },
		"a proxy that was silent before the ledger came back": func(b *books) {
			b.expire(2, "0.5")
			b.restart()
		},
	} {
		t.Run("what is out with "+state+" is free again", func(t *testing.T) { runReleased(t, open, before) })
	}
}

func runReleased(t *testing.T, open Open, before func(*books)) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	other := b.open("proxy-2", "pod-2")
	leases := b.draw("alice", "0.75")
	b.report(b.settled("0.25", leases, "0.25"))
	b.advance(time.Minute)
	before(b)
	if freed, err := b.release("proxy-1"); err != nil || freed != dollars(t, "0.5").String() {
		t.Fatalf("released %s USD, error %v, want 0.5", freed, err)
	}
	b.wantSpend("", "total", spend(t, "0.25", "0", "0"))
	other.draw("bob", "0.5")
	refused := func() {
		t.Helper()
		b.drawn++
		draw := store.Draw{Sequence: b.drawn, Identity: server, Demands: []store.Demand{b.demand("alice", "0.125")}}
		if _, err := b.Draw(t.Context(), b.now(), b.session, draw); !errors.Is(err, store.ErrReleased) {
			t.Errorf("a released proxy draws: %v, want ErrReleased", err)
		}
	}
	refused()
	// What it reports after all is booked, and has no lease to be taken from.
	b.report(b.settled("0.125", leases, "0.125"), b.returned(leases[0], "0.375"))
	b.wantSpend("", "total", spend(t, "0.375", "0", "0.5"))
	b.restart()
	refused()
	b.proxy = b.open("proxy-1", "pod-1")
	refused()
	b.report(b.settled("0.25", leases, "0.25"), releaseAll)
	b.wantSpend("", "total", spend(t, "0.625", "0", "0.5"))
	b.advance(time.Minute)
	if freed, err := b.release("proxy-1"); err != nil || freed != dollars(t, "0").String() {
		t.Errorf("released again: %s USD, error %v, want 0", freed, err)
	}
}
