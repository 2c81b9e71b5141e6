package client

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// slice is money of one account in one window, or what a rate limit has in one.
type slice struct {
	lease int64
	// unit is what is counted, coverage at which upstreams.
	unit     budget.Unit
	coverage budget.Coverage
	// free can be spent.
	free money.Amount
	// ends is when the window is over; zero if never. It has a monotonic reading.
	ends time.Time
	// closed slices are not spent from any more: what comes back to them goes back to the ledger.
	closed bool
	// recalled is until when others need the money more.
	recalled time.Time
	// budget names the budget or rate limit that the account is.
	budget budgetName
	// told is what the ledger said of the account when it was last asked.
	told account
	// held counts the holds that may yet give something back.
	held int
	// lastUsed is when a hold last took from it.
	lastUsed time.Time
}

// account is what is known of an account.
type account struct {
	limit, remaining, free money.Amount
	sharers                int64
}

// charge is an amount of a slice.
type charge struct {
	slice  *slice
	amount money.Amount
}

// usable reports whether a slice can be spent from.
func (s *slice) usable(now time.Time) bool {
	return !s.closed && (s.ends.IsZero() || now.Before(s.ends))
}

// returnAll takes what is free out of the slice.
func (s *slice) returnAll() []charge { return s.returnBut(money.Amount{}) }

// returnBut takes what is free beyond an amount out of the slice.
func (s *slice) returnBut(kept money.Amount) []charge {
	surplus := s.free.Sub(kept)
	if surplus.IsZero() || surplus.IsNegative() {
		return nil
	}
	s.free = s.free.Sub(surplus)
	return []charge{{slice: s, amount: surplus}}
}

// known is what was granted under a lease, and when the ledger last told so.
type known struct {
	granted money.Amount
	toldAt  time.Time
	// unit and ends are those of the lease.
	unit budget.Unit
	ends time.Time
}

// granted is what the ledger says of one lease.
type granted struct {
	lease    int64
	unit     budget.Unit
	budget   budgetName
	coverage budget.Coverage
	amount   money.Amount
	ends     time.Time
	told     account
	// recalled is true while others are refused.
	recalled bool
}

// learn takes up an answer of the ledger: the accounts of a spender's payer, and what was ever granted in each. An answer that was lost
// and comes with the next one, or one that comes twice, counts once, since the sums only grow. One from before the route was edited says
// nothing of which accounts there are now; what it grants goes back, and it reports false.
func (p *purse) learn(now time.Time, key spenderKey, version int64, leases []granted) bool {
	current := version >= p.versions[key.route]
	found := make([]*slice, 0, len(leases))
	for _, one := range leases {
		s := p.slices[one.lease]
		if s == nil {
			s = &slice{lease: one.lease, unit: one.unit, budget: one.budget, closed: true}
			p.slices[one.lease] = s
		}
		s.free = s.free.Add(p.newIn(now, one))
		s.coverage, s.ends, s.told = one.coverage, one.ends, one.told
		s.closed = s.closed && !current
		found = append(found, s)
	}
	if !current {
		return false
	}
	by := p.payers[key.payerKey]
	if by == nil {
		by = &payer{spenders: map[string]*spender{}}
		p.payers[key.payerKey] = by
	}
	by.tell(version, found)
	p.spender(key).appetite.greet(now)
	return true
}

// newIn is how much of what was granted under a lease was not known yet.
func (p *purse) newIn(now time.Time, one granted) money.Amount {
	before := p.known[one.lease]
	more := one.amount.Sub(before.granted)
	if more.IsNegative() {
		// A ledger that was restored from a backup has forgotten grants of which the money was counted here. What it grants until it is
		// where it was is that money.
		one.amount, more = before.granted, money.Amount{}
	}
	p.known[one.lease] = known{granted: one.amount, toldAt: now, unit: one.unit, ends: one.ends}
	return more
}
