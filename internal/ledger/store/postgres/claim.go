package postgres

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/lend"
	"github.com/modelroute/modelroute/internal/money"
)

// claim is an account from which a demand is to be met.
type claim struct {
	lend.Claim
	account *account
	key     windowKey
	// lease is nil while the proxy has none.
	lease *lease
	row   *windowRow
	// sharers is how many proxies draw on the account.
	sharers int
}

// claims returns the accounts of the route, of the consumer and of the owners on which it draws that deny, each with its window and the
// proxy's lease in it.
func (d *drawing) claims(owner *route, spender *scope) []claim {
	accounts := d.denying(owner, spender)
	claims := make([]claim, 0, len(accounts))
	for _, a := range accounts {
		key := a.keyAt(d.now)
		l := d.current[key]
		// A lease counts in the window that is drawn from, unless the clock was turned back.
		if l != nil && a.keyAt(l.grantedAt) != key {
			d.addTo(l, money.Amount{})
		}
		row := d.windows[key]
		claims = append(claims, claim{
			Claim:   lend.Claim{Budget: a.budget, Window: a.windowAt(d.now), Spend: &row.spend},
			account: a, key: key, lease: l, row: row, sharers: max(d.sharers[a.route.id], 1),
		})
	}
	return claims
}

// weigh works out what a demand needs of an account, and what may be leased on top.
func (c *claim) weigh(demand *store.Demand, contended bool) {
	var have, out money.Amount
	if c.lease != nil {
		have, out = demand.Have[c.lease.id], c.lease.out()
	}
	c.Weigh(demand, have, out, c.sharers, contended)
}

func leasesOf(claims []claim) []store.Lease {
	leases := make([]store.Lease, 0, len(claims))
	for i := range claims {
		if c := &claims[i]; c.lease != nil {
			leases = append(leases, c.Lease(c.lease.id, c.lease.granted, c.sharers))
		}
	}
	return leases
}

// denialOf finds the budget to blame; nil if every account has what is needed.
func denialOf(claims []claim, demand *store.Demand) (worst *store.Denial) {
	for i := range claims {
		worst = lend.Worse(worst, claims[i].Denial(demand))
	}
	return worst
}

// contentionKept is how much of lend.ContentionTime has to be left for a further refusal not to be written.
const contentionKept = 2 * time.Second

// noteDenial remembers which accounts refused: one whose money is spent, until it grants again, and one whose money is out with
// proxies, so that they are asked for it.
func (d *drawing) noteDenial(claims []claim, demand *store.Demand) {
	for i := range claims {
		c := &claims[i]
		switch {
		case !c.Lacks():
		case !c.Exhausted(demand):
			if !c.row.isContended(d.now.Add(contentionKept)) || !c.row.isContended(d.now) {
				c.row.contendedUntil, d.marked[c.key] = d.now.Add(lend.ContentionTime).UnixMilli(), true
			}
		case c.Budget.Unit == budget.USD && demand.Amount.Cmp(c.Budget.Limit) <= 0 && !c.row.refusing:
			c.row.refusing, d.marked[c.key] = true, true
		}
	}
}

// isContended reports whether somebody was refused lately. The clock may have been turned back since.
func (r *windowRow) isContended(now time.Time) bool {
	at := now.UnixMilli()
	return r.contendedUntil >= at && r.contendedUntil-at <= lend.ContentionTime.Milliseconds()
}
