package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// Draw implements store.Store.
func (s *Store) Draw(ctx context.Context, now time.Time, credential store.Credential, draw store.Draw) ([]store.Answer, error) {
	var answers []store.Answer
	err := s.asProxy(ctx, now, credential, "leasing", func(t *tx) error {
		var err error
		answers, err = t.draw(now, credential, draw)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// drawing is a transaction that leases.
type drawing struct {
	*work
	draw     store.Draw
	repeated bool
	// routes are those of the demands, and the owners on which their consumers draw.
	routes map[store.RouteKey]*route
	// sharers are how many proxies serve a route, or one of those that share an owner, by its id.
	sharers map[int64]int
	// current are the proxy's leases that are added to.
	current map[windowKey]*lease
	// granted is what is leased from each window.
	granted map[windowKey]money.Amount
	// marked are the windows whose refusals are to be written.
	marked map[windowKey]bool
	// ever are the routes that the proxy ever had a session for or drew for, served are those for which it draws now for the first time.
	ever, served map[int64]bool
}

func (t *tx) draw(now time.Time, credential store.Credential, draw store.Draw) ([]store.Answer, error) {
	d := &drawing{
		work: t.work(now, &proxy{}), draw: draw, sharers: map[int64]int{}, current: map[windowKey]*lease{},
		granted: map[windowKey]money.Amount{}, marked: map[windowKey]bool{}, ever: map[int64]bool{}, served: map[int64]bool{},
	}
	b := d.batch()
	queueProxy(b, credential.ProxyID, d.from)
	if err := d.send(b); err != nil {
		return nil, err
	}
	if err := d.from.check(credential); err != nil {
		return nil, err
	}
	if refused := d.refused(); refused != nil {
		if err := d.heardOnly(); err != nil && !errors.Is(err, errUnchanged) {
			return nil, err
		}
		return nil, refusal{refused}
	}
	d.repeated = draw.Sequence <= d.from.lastDraw
	if err := d.prepare(); err != nil {
		return nil, err
	}
	answers := make([]store.Answer, 0, len(draw.Demands))
	for i := range draw.Demands {
		answers = append(answers, d.meet(&draw.Demands[i]))
	}
	return answers, d.write()
}

// refused says why the proxy gets no money, whatever it asks for.
func (d *drawing) refused() error {
	switch {
	case d.from.released:
		return store.ErrReleased
	case d.draw.After < d.from.gaveBack:
		return store.ErrLate
	}
	return nil
}

// prepare locks and reads everything that the demands are about.
func (d *drawing) prepare() error {
	if err := d.findRoutes(); err != nil {
		return err
	}
	var accounts []*account
	for i := range d.draw.Demands {
		owner, spender, refused := d.spender(&d.draw.Demands[i])
		if refused != nil {
			continue
		}
		for _, a := range d.denying(owner, spender) {
			if d.accounts[a.id] == nil {
				d.accounts[a.id] = a
				accounts = append(accounts, a)
			}
		}
	}
	scopes, routes := d.concerned()
	var ids, owners []int64
	for key, known := range d.routes {
		routes[known] = true // Its refusals too are to be those of now.
		if key.Owner() == "" {
			ids = append(ids, known.id)
		} else {
			owners = append(owners, known.id)
		}
	}
	b := d.batch()
	d.lock(b, scopes, routes)
	d.queueWindows(b, accounts)
	d.queueLeases(b, accounts)
	d.queueServers(b, ids)
	d.queueSharers(b, owners)
	if err := d.send(b); err != nil {
		return err
	}
	return d.ensureWindows(accounts)
}

// findRoutes finds the routes of the demands, and the owners on which their consumers draw.
func (d *drawing) findRoutes() (err error) {
	keys := map[store.RouteKey]bool{}
	for i := range d.draw.Demands {
		keys[d.draw.Demands[i].Route] = true
	}
	if d.routes, err = d.routesFor(keys); err != nil {
		return err
	}
	owners := map[store.RouteKey]bool{}
	for i := range d.draw.Demands {
		_, spender, refused := d.spender(&d.draw.Demands[i])
		if refused != nil {
			continue
		}
		for _, m := range spender.members {
			if m.active {
				owners[m.owner] = true
			}
		}
	}
	return d.addOwners(d.routes, owners)
}

// denying returns the accounts that a demand is to be met from.
func (d *drawing) denying(owner *route, spender *scope) []*account {
	payers := []*scope{owner.scopes[""], spender}
	for _, m := range spender.members {
		if m.active {
			payers = append(payers, d.routes[m.owner].scopes[""])
		}
	}
	var found []*account
	for _, payer := range payers {
		for _, a := range payer.accounts {
			if a.budget.Enforcement == budget.Deny {
				found = append(found, a)
			}
		}
	}
	return found
}

// queueLeases reads the proxy's leases on the accounts.
func (d *drawing) queueLeases(b *pgx.Batch, accounts []*account) {
	ids := make([]int64, 0, len(accounts))
	for _, a := range accounts {
		ids = append(ids, a.id)
	}
	b.Queue(selectLeases+`WHERE proxy_id = $1 AND account_id = ANY ($2)`, d.from.id, ids).Query(func(rows pgx.Rows) error {
		err := each(d.scanLeases)(rows)
		for _, l := range d.leases {
			d.current[windowKey{account: l.account, start: l.start}] = l
		}
		return err
	})
}

// queueServers reads which of the routes the proxy ever served, and counts the proxies that serve them in their current session and are
// not silent.
func (d *drawing) queueServers(b *pgx.Batch, routes []int64) {
	b.Queue(`SELECT route_id FROM proxy_routes WHERE proxy_id = $1 AND route_id = ANY ($2)`, d.from.id, routes).Query(
		each(func(scan func(into ...any) error) error {
			var id int64
			err := scan(&id)
			d.ever[id] = true
			return err
		}))
	b.Queue(`SELECT route_id, count(*) FROM proxies
		JOIN proxy_routes ON proxy_routes.proxy_id = proxies.id AND proxy_routes.epoch = proxies.epoch
		WHERE NOT silent AND route_id = ANY ($1) GROUP BY route_id`, routes).Query(each(func(scan func(into ...any) error) error {
		var id int64
		var count int
		err := scan(&id, &count)
		d.sharers[id] = count
		return err
	}))
}

// spender finds who pays for the demand, and checks that the caller may spend it.
func (d *drawing) spender(demand *store.Demand) (*route, *scope, error) {
	owner := d.routes[demand.Route]
	if owner == nil {
		return nil, nil, store.ErrUnknownRoute
	}
	if owner.server == "" || owner.server != d.draw.Identity {
		return nil, nil, store.ErrNotServer
	}
	spender := owner.scopes[demand.Consumer]
	if spender == nil || !spender.active || demand.Consumer == "" {
		return nil, nil, store.ErrUnknownConsumer
	}
	return owner, spender, nil
}

// meet leases what a demand lacks in all of its accounts, and what it would like on top, or says why not.
func (d *drawing) meet(demand *store.Demand) store.Answer {
	owner, spender, refused := d.spender(demand)
	if refused != nil {
		return store.Answer{Err: refused}
	}
	claims := d.claims(owner, spender)
	answer := store.Answer{Version: owner.version}
	answer.Team, answer.Former = spender.team()
	if d.repeated {
		demand = new(demand.Nothing()) // It is met with what was leased.
	}
	for i := range claims {
		claims[i].weigh(demand, claims[i].row.isContended(d.now))
	}
	if answer.Denial = denialOf(claims, demand); answer.Denial != nil {
		d.noteDenial(claims, demand)
	} else {
		d.grantAll(owner, claims, demand)
	}
	// With a denial too: the proxy may not know of what it has already, since an answer was lost.
	answer.Leases = leasesOf(claims)
	return answer
}

// grantAll leases what a demand needs in all of its accounts. It makes the leases that are missing, so that the proxy learns of every
// account.
func (d *drawing) grantAll(owner *route, claims []claim, demand *store.Demand) {
	if !d.ever[owner.id] {
		d.served[owner.id] = true
	}
	for i := range claims {
		c := &claims[i]
		d.grant(c)
		// What is leased ahead of need says nothing of the requests that come.
		if c.row.refusing && !demand.Need(&c.Budget).IsZero() {
			c.row.refusing, d.marked[c.key] = false, true
		}
	}
}

// grant leases what a claim needs and its extra.
func (d *drawing) grant(c *claim) {
	if c.lease == nil {
		c.lease = &lease{id: randomID(), account: c.key.account, start: c.key.start, grantedAt: d.moment(), made: true}
		d.leases[c.lease.id], d.current[c.key] = c.lease, c.lease
	}
	amount := c.Need.Add(c.Extra)
	if amount.IsZero() {
		return
	}
	d.addTo(c.lease, amount)
	d.granted[c.key] = d.granted[c.key].Add(amount)
	c.row.spend.Leased = c.row.spend.Leased.Add(amount)
}

// addTo leases an amount more. What was out under a lease that counted in another window until now counts in this one; that the amount
// counts is for the statement that keeps the invariant.
func (d *drawing) addTo(l *lease, amount money.Amount) {
	out := l.out()
	d.count(l, false, money.Amount{}.Sub(out))
	l.granted, l.grantedAt, l.grown = l.granted.Add(amount), d.moment(), true
	d.count(l, false, out)
}

func (d *drawing) moment() time.Time { return d.now.Truncate(time.Millisecond).UTC() }

// randomID returns an id that nobody has had. Ids that are counted would come again after a restore from a backup.
func randomID() int64 {
	return rand.Int64N(1<<63-1) + 1 //nolint:gosec // It need not be secret: a lease is only good for its proxy.
}
