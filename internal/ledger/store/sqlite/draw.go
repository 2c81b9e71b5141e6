package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/ledger/store/lend"
	"github.com/modelroute/modelroute/internal/money"
)

// Draw implements store.Store.
func (s *Store) Draw(ctx context.Context, now time.Time, credential store.Credential, draw store.Draw) ([]store.Answer, error) {
	if err := s.heard(credential, now); err != nil {
		return nil, err
	}
	var answers []store.Answer
	err := s.submit(&call{ctx: ctx, do: func(t *tx) (refused, err error) {
		answers, refused, err = t.draw(now, credential, draw)
		if err != nil {
			err = fmt.Errorf("leasing: %w", err)
		}
		return refused, err
	}})
	if err != nil {
		// A caller whose context ended may be here while the call is still being written.
		return nil, err
	}
	return answers, nil
}

func (t *tx) draw(now time.Time, credential store.Credential, draw store.Draw) (answers []store.Answer, refused, err error) {
	from, refused, err := t.proxyOf(credential)
	if refused != nil || err != nil {
		return nil, refused, err
	}
	if from.released {
		return nil, store.ErrReleased, nil
	}
	if draw.After < from.gaveBack {
		return nil, store.ErrLate, nil
	}
	repeated := draw.Sequence <= from.lastDraw
	granted := false
	for i := range draw.Demands {
		answer, added, err := t.meet(now, from, &draw.Demands[i], draw.Identity, repeated)
		if err != nil {
			return nil, nil, err
		}
		answers, granted = append(answers, answer), granted || added
	}
	// Where nothing was leased, nothing has to be recognised when it is repeated, and denying costs no disk.
	if !repeated && granted {
		from.lastDraw = draw.Sequence
		if _, err := t.exec(`UPDATE proxies SET last_draw = ? WHERE id = ?`, from.lastDraw, from.id); err != nil {
			return nil, nil, fmt.Errorf("noting a draw: %w", err)
		}
	}
	return answers, nil, nil
}

// claim is an account from which a demand is to be met.
type claim struct {
	lend.Claim
	account *account
	key     windowKey
	// lease is nil while the proxy has none.
	lease *lease
	// row is what the window's row says.
	row windowRow
	// sharers is how many proxies draw on the account.
	sharers int
}

// meet leases what a demand lacks in all of its accounts, and what it would like on top, or says why not.
func (t *tx) meet(
	now time.Time, from *state, demand *store.Demand, identity string, repeated bool,
) (answer store.Answer, granted bool, err error) {
	owner, spender, refused := t.spender(demand, identity)
	if refused != nil {
		return store.Answer{Err: refused}, false, nil //nolint:nilerr // It is the answer to this demand; others are met all the same.
	}
	claims, err := t.claims(now, from, demand, owner, spender)
	if err != nil {
		return store.Answer{}, false, err
	}
	answer.Version = owner.version
	answer.Team, answer.Former = spender.team()
	if repeated {
		demand = new(demand.Nothing()) // It is met with what was leased.
	}
	for i := range claims {
		claims[i].weigh(demand, t.isContended(claims[i].key.account, now))
	}
	if answer.Denial = denialOf(claims, demand); answer.Denial != nil {
		err = t.noteDenial(claims, demand, now)
	} else {
		granted, err = t.grantAll(now, from, owner, claims, demand)
	}
	if err != nil {
		return store.Answer{}, false, err
	}
	// With a denial too: the proxy may not know of what it has already, since an answer was lost.
	answer.Leases = leasesOf(claims)
	return answer, granted, nil
}

// grantAll leases what a demand needs in all of its accounts, and reports whether that is more than nothing. It makes the leases that are
// missing, so that the proxy learns of every account.
func (t *tx) grantAll(now time.Time, from *state, owner *route, claims []claim, demand *store.Demand) (granted bool, err error) {
	if err := t.noteServed(from, demand.Route, owner.id); err != nil {
		return false, err
	}
	for i := range claims {
		added, err := t.grant(&claims[i], from, now)
		if err != nil {
			return false, err
		}
		granted = granted || added
		// What is leased ahead of need says nothing of the requests that come.
		if claims[i].row.refusing && !demand.Need(&claims[i].Budget).IsZero() {
			if _, err := t.exec(unmarkRefusing, claims[i].key.account, claims[i].key.start); err != nil {
				return false, fmt.Errorf("noting the end of a refusal: %w", err)
			}
		}
	}
	return granted, nil
}

// spender finds who pays for the demand, and checks that the caller may spend it.
func (t *tx) spender(demand *store.Demand, identity string) (*route, *scope, error) {
	owner := t.routes[demand.Route]
	if owner == nil {
		return nil, nil, store.ErrUnknownRoute
	}
	if owner.server == "" || owner.server != identity {
		return nil, nil, store.ErrNotServer
	}
	spender := owner.scopes[demand.Consumer]
	if spender == nil || !spender.active || demand.Consumer == "" {
		return nil, nil, store.ErrUnknownConsumer
	}
	return owner, spender, nil
}

// claims returns the accounts of the route, of its upstreams, of the consumer and of the owners on which it draws that deny, each with its
// window and the proxy's lease in it.
func (t *tx) claims(now time.Time, from *state, demand *store.Demand, owner *route, spender *scope) ([]claim, error) {
	claims, err := t.claimsOf(now, from, owner.scopes[""], nil)
	if err == nil {
		claims, err = t.claimsOf(now, from, spender, claims)
	}
	sharers := t.sharers(demand.Route)
	for i := range claims {
		claims[i].sharers = sharers
	}
	for _, m := range spender.members {
		if err != nil {
			break
		}
		if !m.active {
			continue
		}
		own := len(claims)
		claims, err = t.claimsOf(now, from, t.routes[m.owner].scopes[""], claims)
		sharers := t.sharers(m.owner)
		for i := own; i < len(claims); i++ {
			claims[i].sharers = sharers
		}
	}
	if err != nil {
		return nil, err
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	for i := range claims {
		var err error
		if claims[i].row, err = t.readWindow(claims[i].key); err != nil {
			return nil, err
		}
		claims[i].Spend = &claims[i].row.spend
	}
	return claims, nil
}

// claimsOf adds the accounts of a scope that deny.
func (t *tx) claimsOf(now time.Time, from *state, s *scope, claims []claim) ([]claim, error) {
	for _, a := range s.accounts {
		if a.budget.Enforcement != budget.Deny {
			continue
		}
		key, err := t.ensureWindow(s, a, now)
		if err != nil {
			return nil, err
		}
		c := claim{Claim: lend.Claim{Budget: a.budget, Window: a.windowAt(now)}, account: a, key: key}
		if c.lease, err = t.leaseFor(leaseKey{proxy: from.id, account: a.id, start: key.start}); err != nil {
			return nil, err
		}
		if err := t.join(&c, from.silent, now); err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	return claims, nil
}

// join makes a lease count in the window that is drawn from. It does already, unless the clock was turned back.
func (t *tx) join(c *claim, silent bool, now time.Time) error {
	if c.lease == nil || c.account.windowAt(c.lease.grantedAt).Start.UnixMilli() == c.key.start {
		return nil
	}
	return t.add(c.lease, silent, money.Amount{}, now)
}

// weigh works out what a demand needs of an account, and what may be leased on top.
func (c *claim) weigh(demand *store.Demand, contended bool) {
	var have, out money.Amount
	if c.lease != nil {
		have, out = demand.Have[c.lease.id], c.lease.out()
	}
	c.Weigh(demand, have, out, c.sharers, contended)
}

// keepInvariant leases from a window, if the budget's limit allows it: the invariant of the books, in one statement.
const keepInvariant = `UPDATE windows SET leased = leased + ?1 WHERE account_id = ?2 AND start = ?3
	AND settled + uncertain + leased + ?1 <= (SELECT ceiling FROM accounts WHERE id = ?2)`

// grant leases what a claim needs and its extra, and reports whether that is more than nothing.
func (t *tx) grant(c *claim, from *state, now time.Time) (bool, error) {
	amount := c.Need.Add(c.Extra)
	if c.lease == nil {
		var err error
		if c.lease, err = t.newLease(leaseKey{proxy: from.id, account: c.key.account, start: c.key.start}, c.Budget.Unit, now); err != nil {
			return false, err
		}
	}
	if amount.IsZero() {
		return false, nil
	}
	changed, err := t.exec(keepInvariant, amount.Nano(), c.key.account, c.key.start)
	if err != nil {
		return false, err
	}
	if changed != 1 {
		return false, fmt.Errorf("%s do not fit %s, though they were found to", c.Budget.Unit.Format(amount), c.Budget.Name)
	}
	c.row.spend.Leased = c.row.spend.Leased.Add(amount)
	return true, t.add(c.lease, from.silent, amount, now)
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

const (
	markRefusing   = `UPDATE windows SET refusing = 1 WHERE account_id = ? AND start = ? AND refusing = 0`
	unmarkRefusing = `UPDATE windows SET refusing = 0 WHERE account_id = ? AND start = ?`
)

// noteDenial remembers which accounts refused: one whose money is spent, until it grants again, and one whose money is out with
// proxies, so that they are asked for it.
func (t *tx) noteDenial(claims []claim, demand *store.Demand, now time.Time) error {
	for i := range claims {
		c := &claims[i]
		switch {
		case !c.Lacks():
		case !c.Exhausted(demand):
			t.contend(c.key.account, now)
		case c.Budget.Unit == budget.USD && demand.Amount.Cmp(c.Budget.Limit) <= 0:
			if _, err := t.exec(markRefusing, c.key.account, c.key.start); err != nil {
				return fmt.Errorf("noting a refusal: %w", err)
			}
		}
	}
	return nil
}
