package client

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

var alice = spenderKey{payerKey: payerKey{route: purseRoutes[0], consumer: "alice"}, upstream: "main"}

func grantOf(lease, amount int64) []granted {
	return []granted{{lease: lease, amount: money.FromNano(amount)}}
}

func sumOf(charges []charge) (sum int64) {
	for _, one := range charges {
		sum += one.amount.Nano()
	}
	return sum
}

func TestALeaseThatIsToldOfAgainCountsOnlyWhatIsNew(t *testing.T) {
	p, now := newPurse(), time.Unix(0, 0)
	p.learn(now, alice, 1, grantOf(7, 100))
	if back := sumOf(p.forgetRoute(now, alice.route)); back != 100 || len(p.slices) != 0 {
		t.Errorf("%d went back and %d slices are left", back, len(p.slices))
	}
	p.learn(now, alice, 2, grantOf(7, 130))
	if _, enough := p.take(now, alice, amountsOf(31, 0)); enough {
		t.Error("what was granted and given back counts again")
	}
	if _, enough := p.take(now, alice, amountsOf(30, 0)); !enough {
		t.Error("what is new does not count")
	}
}

func TestWhatIsNotUsedIsForgotten(t *testing.T) {
	p, now := newPurse(), time.Unix(0, 0)
	p.learn(now, alice, 1, grantOf(7, 100))
	for range 4 {
		now = now.Add(leaseLife)
		p.tidy(now)
	}
	if len(p.slices) != 0 || len(p.payers) != 0 {
		t.Errorf("%d slices and %d payers are remembered", len(p.slices), len(p.payers))
	}
	// As long as the ledger may tell of the lease again, what went back must not count again.
	p.learn(now, alice, 1, grantOf(7, 100))
	if _, enough := p.take(now, alice, amountsOf(1, 0)); enough {
		t.Error("what went back long ago counts again")
	}
	for range 4 {
		now = now.Add(leaseLife)
		p.tidy(now)
		p.forgetLeases(now)
	}
	if len(p.known) != 0 {
		t.Errorf("%d leases are remembered", len(p.known))
	}
}

func TestALedgerThatForgotGrantsGrantsThemAgainWithoutTheirCounting(t *testing.T) {
	p, now := newPurse(), time.Unix(0, 0)
	p.learn(now, alice, 1, grantOf(7, 1000))
	if _, enough := p.take(now, alice, amountsOf(1000, 0)); !enough {
		t.Fatal("nothing was learnt")
	}
	for _, told := range []int64{600, 900, 1000} {
		p.learn(now, alice, 1, grantOf(7, told))
		if _, enough := p.take(now, alice, amountsOf(1, 0)); enough {
			t.Errorf("at %d, money that was spent counts again", told)
		}
	}
	p.learn(now, alice, 1, grantOf(7, 1001))
	if _, enough := p.take(now, alice, amountsOf(1, 0)); !enough {
		t.Error("what is new does not count")
	}
}

func TestAnAnswerFromBeforeAnEditSaysNothingOfTheAccounts(t *testing.T) {
	p, now := newPurse(), time.Unix(0, 0)
	p.outdated(map[Route]int64{alice.route: 2})
	p.learn(now, alice, 1, grantOf(7, 100))
	if _, enough := p.take(now, alice, amountsOf(1, 0)); enough {
		t.Error("a request is held in accounts that are not there any more")
	}
	if !p.slices[7].closed {
		t.Error("a slice can be spent from that no account is known of")
	}
	if back := sumOf(p.tidy(now)); back != 100 {
		t.Errorf("%d went back, want 100", back)
	}
}

func TestADebtGivesBackWhatWasDrawnAhead(t *testing.T) {
	p, now := newPurse(), time.Unix(0, 0)
	p.learn(now, alice, 1, grantOf(7, 500))
	taken, _ := p.take(now, alice, amountsOf(100, 0))
	if back := sumOf(p.end(now, alice, taken, amountsOf(100, 0), amountsOf(250, 0))); back != 150 {
		t.Errorf("%d went back, want 150", back)
	}
}

func TestASpenderThatGetsNothingAheadDoesNotAskWithEveryRequest(t *testing.T) {
	p, now := newPurse(), time.Unix(1000, 0)
	p.learn(now, alice, 1, grantOf(7, 100))
	p.take(now, alice, amountsOf(90, 0))
	if !p.low(now, alice) {
		t.Error("a spender that has little left does not ask for more")
	}
	if p.low(now, alice) {
		t.Error("it asks again at once")
	}
	if now = now.Add(aheadPause); !p.low(now, alice) {
		t.Error("it never asks again")
	}
	p.recall(now, 7)
	if now = now.Add(aheadPause); p.low(now, alice) {
		t.Error("it asks for what others are refused")
	}
}

func TestWhatIsPutAsideWhenItIsRecalledGoesBackAfterwards(t *testing.T) {
	p, now := newPurse(), time.Unix(1000, 0)
	p.learn(now, alice, 1, grantOf(7, 6))
	// A request for more waits, and the ledger is being asked, when others are refused.
	claimed := p.claim(now, alice, amountsOf(10, 0))
	if returned := p.recall(now, 7); len(returned) != 0 {
		t.Fatalf("what was put aside goes back: %v", returned)
	}
	p.unclaim(now, claimed)
	returned := p.surrender(now)
	if len(returned) != 1 || returned[0].amount != money.FromNano(6) {
		t.Errorf("%v goes back once the ledger has answered, want the 6 that others wait for", returned)
	}
	p.learn(now, alice, 1, grantOf(7, 8))
	if returned := p.surrender(now.Add(recallTime)); len(returned) != 0 {
		t.Errorf("long after the recall %v goes back", returned)
	}
}

func TestWhatIsOutBeyondALimitThatWasLoweredGoesBack(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPurse()
	lowered := grantOf(7, 1000)
	lowered[0].told.free = money.FromNano(-200)
	p.learn(now, alice, 1, grantOf(7, 1000))
	p.learn(now, alice, 2, lowered) // No heartbeat has told of the edit yet.
	p.heed(now, lowered)
	if back := sumOf(p.surrender(now)); back != 1000 {
		t.Errorf("%d go back, want 1000", back)
	}
}
