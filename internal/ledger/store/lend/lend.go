// Package lend decides how much of a budget a proxy is lent, and which budget is to blame if it is too little. Every store decides by
// these rules; they read and write nothing.
package lend

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// ContentionTime is for how long after a refusal others are asked to give back what they do not need, and get nothing ahead of need.
const ContentionTime = 3 * time.Second

// Claim is an account from which a demand is to be met.
type Claim struct {
	Budget store.Budget
	Window budget.Window
	// Spend is what the books say of the window; it is the store's, which counts in it what it leases.
	Spend *store.Spend
	// Need is what the demand lacks, Extra what is leased ahead of need.
	Need, Extra money.Amount
	// Contended is true while somebody is refused.
	Contended bool
}

// Remaining is the limit less what is settled and uncertain; it may be negative.
func (c *Claim) Remaining() money.Amount {
	return c.Budget.Limit.Sub(c.Spend.Settled).Sub(c.Spend.Uncertain)
}

// Free is what could still be leased; it may be negative.
func (c *Claim) Free() money.Amount { return c.Remaining().Sub(c.Spend.Leased) }

// Lacks reports whether the account has too little for what the demand needs of it. One that needs nothing more is met by an account in
// debt, too.
func (c *Claim) Lacks() bool { return !c.Need.IsZero() && c.Need.Cmp(c.Free()) > 0 }

// Weigh works out what a demand needs of an account, and how much may be leased ahead of need: so much that as much is left for every
// other proxy twice over, which shrinks as the budget runs out, and nothing while somebody is being refused. The proxy says that it has
// have of its lease, of which out is out as far as the books know; both are zero if it has no lease.
func (c *Claim) Weigh(demand *store.Demand, have, out money.Amount, sharers int, contended bool) {
	// Nobody has more of a lease than is out; these books may be from a backup and know nothing of the rest.
	need := demand.Need(&c.Budget)
	has := max(0, min(have.Nano(), out.Nano(), need.Nano()))
	c.Contended = contended
	c.Need = need.Sub(money.FromNano(has))
	left := c.Free().Sub(c.Need)
	if contended || left.IsNegative() {
		return
	}
	c.Extra = money.FromNano(max(0, min(demand.Ahead(&c.Budget).Nano(), left.Nano()/int64(2*sharers))))
}

// Lease returns what the proxy is told of its lease.
func (c *Claim) Lease(id int64, granted money.Amount, sharers int) store.Lease {
	return store.Lease{
		ID: id, Granted: granted, WindowEnd: c.Window.End,
		Consumer: c.Budget.Consumer, Owner: c.Budget.Owner, Budget: c.Budget.Name,
		Coverage: c.Budget.Coverage, Unit: c.Budget.Unit, Limit: c.Budget.Limit,
		Remaining: c.Remaining(), Free: c.Free(), Sharers: sharers, Recalled: c.Contended,
	}
}

// Exhausted reports whether what is spent leaves too little for the demand, whatever is out with proxies.
func (c *Claim) Exhausted(demand *store.Demand) bool {
	return c.Remaining().Cmp(demand.Need(&c.Budget)) < 0
}

// Denial returns why a demand cannot be met from the account; nil if it can.
func (c *Claim) Denial(demand *store.Demand) *store.Denial {
	if !c.Lacks() {
		return nil
	}
	return &store.Denial{
		Exhausted: c.Exhausted(demand),
		Consumer:  c.Budget.Consumer,
		Owner:     c.Budget.Owner,
		Upstream:  c.Budget.Upstream,
		Budget:    c.Budget.Name,
		Unit:      c.Budget.Unit,
		Limit:     c.Budget.Limit,
		Remaining: c.Remaining(),
		WindowEnd: c.Window.End,
	}
}

// Worse returns which of two denials is to blame, the first if neither keeps money away for longer: one whose money is spent before one
// whose money is only held, and of those the one that is last to have money again. Either may be nil.
func Worse(a, b *store.Denial) *store.Denial {
	if a == nil || b != nil && isLonger(b, a) {
		return b
	}
	return a
}

// isLonger reports whether a keeps money away for longer than b.
func isLonger(a, b *store.Denial) bool {
	if a.Exhausted != b.Exhausted {
		return a.Exhausted
	}
	if a.WindowEnd.IsZero() || b.WindowEnd.IsZero() {
		return a.WindowEnd.IsZero() && !b.WindowEnd.IsZero()
	}
	return a.WindowEnd.After(b.WindowEnd)
}
