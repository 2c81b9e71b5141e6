package postgres

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// claim is an account from which a demand is to be met.
type claim struct {
	account *account
	window  budget.Window
	key     windowKey
	// lease is nil while the proxy has none.
	lease *lease
	row   *windowRow
	// need is what the demand lacks, extra what is leased ahead of need.
	need, extra money.Amount
}

func (c *claim) remaining() money.Amount {
	return c.account.budget.Limit.Sub(c.row.spend.Settled).Sub(c.row.spend.Uncertain)
}

func (c *claim) free() money.Amount { return c.remaining().Sub(c.row.spend.Leased) }

// lacks reports whether the account has too little for what the demand needs of it. Nothing can be had of an account in debt too.
func (c *claim) lacks() bool { return !c.need.IsZero() && c.need.Cmp(c.free()) > 0 }

// claims returns the accounts of the route and of the consumer that deny, each with its window and the proxy's lease in it.
func (d *drawing) claims(owner *route, spender *scope) []claim {
	accounts := denying(owner, spender)
	claims := make([]claim, 0, len(accounts))
	for _, a := range accounts {
		key := a.keyAt(d.now)
		l := d.current[key]
		// A lease counts in the window that is drawn from, unless the clock was turned back.
		if l != nil && a.keyAt(l.grantedAt) != key {
			d.addTo(l, money.Amount{})
		}
		claims = append(claims, claim{account: a, window: a.windowAt(d.now), key: key, lease: l, row: d.windows[key]})
	}
	return claims
}

// weigh works out what a demand needs of an account, and how much may be leased ahead of need: so much that as much is left for every
// other proxy twice over, which shrinks as the budget runs out, and nothing while somebody is being refused.
func (c *claim) weigh(demand store.Demand, sharers int, now time.Time) {
	c.need = demand.Amount
	if c.lease != nil {
		// Nobody has more of a lease than is out; these books may be from a backup and know nothing of the rest.
		have := min(demand.Have[c.lease.id].Nano(), c.lease.out().Nano(), demand.Amount.Nano())
		c.need = c.need.Sub(money.FromNano(max(have, 0)))
	}
	left := c.free().Sub(c.need)
	if c.row.isContended(now) || left.IsNegative() {
		return
	}
	c.extra = money.FromNano(max(0, min(demand.Want.Nano(), left.Nano()/int64(2*sharers))))
}

func leasesOf(claims []claim, sharers int) []store.Lease {
	leases := make([]store.Lease, 0, len(claims))
	for i := range claims {
		c := &claims[i]
		if c.lease == nil {
			continue
		}
		leases = append(leases, store.Lease{
			ID: c.lease.id, Granted: c.lease.granted, WindowEnd: c.window.End,
			Consumer: c.account.budget.Consumer, Budget: c.account.budget.Name, Limit: c.account.budget.Limit,
			Remaining: c.remaining(), Free: c.free(), Sharers: sharers,
		})
	}
	return leases
}

// denialOf finds the budget to blame: one whose money is spent before one whose money is only held, and of those the one that is last
// to have money again. It returns nil if every account has what is needed.
func denialOf(claims []claim, amount money.Amount) *store.Denial {
	var worst *store.Denial
	for i := range claims {
		c := &claims[i]
		if !c.lacks() {
			continue
		}
		this := &store.Denial{
			Exhausted: c.remaining().Cmp(amount) < 0,
			Consumer:  c.account.budget.Consumer,
			Budget:    c.account.budget.Name,
			Limit:     c.account.budget.Limit,
			Remaining: c.remaining(),
			WindowEnd: c.window.End,
		}
		if worst == nil || worse(this, worst) {
			worst = this
		}
	}
	return worst
}

// worse reports whether a keeps money away for longer than b.
func worse(a, b *store.Denial) bool {
	if a.Exhausted != b.Exhausted {
		return a.Exhausted
	}
	if a.WindowEnd.IsZero() || b.WindowEnd.IsZero() {
		return a.WindowEnd.IsZero() && !b.WindowEnd.IsZero()
	}
	return a.WindowEnd.After(b.WindowEnd)
}

const (
	// contentionTime is for how long after a refusal others are asked to give back what they do not need, and get nothing ahead of need.
	contentionTime = 3 * time.Second
	// contentionKept is how much of it has to be left for a further refusal not to be written.
	contentionKept = 2 * time.Second
)

// noteDenial remembers which accounts refused: one whose money is spent, until it grants again, and one whose money is out with
// proxies, so that they are asked for it.
func (d *drawing) noteDenial(claims []claim, amount money.Amount) {
	for i := range claims {
		c := &claims[i]
		switch {
		case !c.lacks():
		case c.remaining().Cmp(amount) >= 0:
			if !c.row.isContended(d.now.Add(contentionKept)) || !c.row.isContended(d.now) {
				c.row.contendedUntil, d.marked[c.key] = d.now.Add(contentionTime).UnixMilli(), true
			}
		case amount.Cmp(c.account.budget.Limit) <= 0 && !c.row.refusing:
			c.row.refusing, d.marked[c.key] = true, true
		}
	}
}

// isContended reports whether somebody was refused lately. The clock may have been turned back since.
func (r *windowRow) isContended(now time.Time) bool {
	at := now.UnixMilli()
	return r.contendedUntil >= at && r.contendedUntil-at <= contentionTime.Milliseconds()
}
