package lend

import (
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

func TestAClaimNeedsWhatItsProxyDoesNotHave(t *testing.T) {
	for name, test := range map[string]struct {
		amount, want, have, out, leased int64
		sharers                         int
		contended                       bool
		need, extra                     int64
		lacks                           bool
	}{
		"nothing is out, and a quarter of what is left for two is lent ahead": {amount: 20, want: 1000, sharers: 2, need: 20, extra: 20},
		"no more is lent ahead than is wanted":                                {amount: 20, want: 5, sharers: 2, need: 20, extra: 5},
		"what the proxy has is not lent again":                                {amount: 20, have: 15, out: 15, leased: 15, sharers: 1, need: 5},
		"a proxy has no more than the books say is out":                       {amount: 20, have: 15, out: 10, leased: 10, sharers: 1, need: 10},
		"while somebody is refused, nothing is lent ahead":                    {amount: 20, want: 50, sharers: 1, contended: true, need: 20},
		"what others have leaves too little":                                  {amount: 20, leased: 90, sharers: 2, want: 50, need: 20, lacks: true},
		"who needs nothing is met by an account in debt":                      {leased: 200, sharers: 1, want: 50},
	} {
		t.Run(name, func(t *testing.T) {
			c := Claim{
				Budget: store.Budget{Limit: money.FromNano(100)},
				Spend:  &store.Spend{Leased: money.FromNano(test.leased)},
			}
			demand := store.Demand{Amount: money.FromNano(test.amount), Want: money.FromNano(test.want)}
			c.Weigh(&demand, money.FromNano(test.have), money.FromNano(test.out), test.sharers, test.contended)
			if c.Need.Nano() != test.need || c.Extra.Nano() != test.extra || c.Lacks() != test.lacks {
				t.Errorf("needs %d and %d ahead, lacks %t; want %d, %d and %t",
					c.Need.Nano(), c.Extra.Nano(), c.Lacks(), test.need, test.extra, test.lacks)
			}
		})
	}
}

func TestAClaimNeedsWhatItsUnitCounts(t *testing.T) {
	demand := store.Demand{Amount: money.FromNano(900), Requests: 1, Tokens: 30, Want: money.FromNano(1), WantRequests: 2, WantTokens: 3}
	for unit, want := range map[budget.Unit][2]int64{budget.USD: {900, 1}, budget.Requests: {1, 2}, budget.Tokens: {30, 3}} {
		c := Claim{Budget: store.Budget{Unit: unit, Limit: money.FromNano(1000)}, Spend: &store.Spend{}}
		c.Weigh(&demand, money.Amount{}, money.Amount{}, 1, false)
		if got := [2]int64{c.Need.Nano(), c.Extra.Nano()}; got != want {
			t.Errorf("of %s it needs %d and %d ahead, want %d", unit, got[0], got[1], want)
		}
	}
}

func TestTheDenialToBlameKeepsMoneyAwayForTheLongest(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	held := &store.Denial{}
	today := &store.Denial{Exhausted: true, WindowEnd: noon}
	tomorrow := &store.Denial{Exhausted: true, WindowEnd: noon.AddDate(0, 0, 1)}
	ever := &store.Denial{Exhausted: true}
	order := []*store.Denial{nil, held, today, tomorrow, ever}
	for i, lesser := range order {
		for _, greater := range order[i+1:] {
			if Worse(lesser, greater) != greater || Worse(greater, lesser) != greater {
				t.Errorf("of %+v and %+v the second is to blame", lesser, greater)
			}
		}
	}
	if same := *today; Worse(today, &same) != today {
		t.Error("of two alike the first is to blame")
	}
}
