package client

import (
	"maps"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// purse is the money that a proxy has drawn and not spent, in slices. It makes no calls and reads no clock; the client's mutex guards it.
type purse struct {
	payers map[payerKey]*payer
	// slices are by lease. One that was put away stays until nothing can come back to it.
	slices map[int64]*slice
	// known is for every lease all that the ledger ever granted under it, as far as is known here. It outlives the slice: a lease can be
	// told of again, and what was granted before must not count twice.
	known map[int64]known
	// versions are those of the routes as heartbeats told them last.
	versions map[Route]int64
	// unknown is a slice that nothing can be taken from: it stands for accounts that the ledger has to name again.
	unknown *slice
}

// payerKey is a consumer of a route.
type payerKey struct {
	route    Route
	consumer string
}

// payer is a consumer that has spent, with the slices of all accounts that its requests can be held in. The ledger tells of all of them at
// once, so that no call is needed to go on at another upstream.
type payer struct {
	// version is that of the route when the ledger said which accounts there are.
	version int64
	slices  []*slice
	// team is in whose name it spends.
	team teamOf
	// spenders are by upstream.
	spenders map[string]*spender
}

// teamOf is what the ledger says of a payer's team: the one on whose accounts it draws, and those on which it drew once. A configuration
// that is older than that may name one of these still.
type teamOf struct {
	now    string
	former []string
}

// over returns in whose name is spent what the configuration has a team for.
func (t *teamOf) over(configured string) string {
	switch {
	case t.now != "":
		return t.now
	case slices.Contains(t.former, configured):
		return ""
	}
	return configured
}

// spenderKey is a consumer of a route at an upstream.
type spenderKey struct {
	payerKey
	upstream string
}

// spender is what a payer spends at one upstream, with the slices that each request there is held in.
type spender struct {
	slices []*slice
	// inFlight is what its requests under way can cost at most.
	inFlight money.Amount
	// appetite says how much it spends.
	appetite appetite
	// aheadAt is when it was last asked for money ahead of need.
	aheadAt time.Time
}

func newPurse() *purse {
	return &purse{
		payers: map[payerKey]*payer{}, slices: map[int64]*slice{}, known: map[int64]known{},
		versions: map[Route]int64{}, unknown: &slice{closed: true},
	}
}

// spender returns who spends; nil if it is not known yet which slices there have to be.
func (p *purse) spender(key spenderKey) *spender {
	from := p.payers[key.payerKey]
	if from == nil {
		return nil
	}
	at := from.spenders[key.upstream]
	if at == nil {
		at = &spender{slices: covering(from.slices, key.upstream)}
		from.spenders[key.upstream] = at
	}
	return at
}

// covering are those of the slices in which a request to the upstream is held.
func covering(all []*slice, upstream string) []*slice {
	found := make([]*slice, 0, len(all))
	for _, s := range all {
		if s.coverage.Covers(upstream) {
			found = append(found, s)
		}
	}
	return found
}

// tell says which slices a payer has.
func (p *payer) tell(version int64, slices []*slice) {
	p.version, p.slices = version, slices
	for upstream, at := range p.spenders {
		at.slices = covering(slices, upstream)
	}
}

// take takes what is needed from every slice of a spender, or nothing from any. It reports false if a slice has too little, or if it is not
// known yet which slices there have to be.
func (p *purse) take(now time.Time, key spenderKey, need budget.Amounts) ([]*slice, bool) {
	from := p.spender(key)
	if from == nil {
		return nil, false
	}
	for _, s := range from.slices {
		if !s.usable(now) || s.free.Cmp(need[s.unit]) < 0 {
			return nil, false
		}
	}
	for _, s := range from.slices {
		s.free = s.free.Sub(need[s.unit])
		s.held++
		s.lastUsed = now
	}
	from.inFlight = from.inFlight.Add(need[budget.USD])
	from.appetite.ate(now, need)
	return from.slices, true
}

// end ends a hold: what was held and not spent goes back to the slices. It returns what must go back to the ledger: what is in slices that
// are not spent from any more or that others need more, and so much as was spent beyond the hold, since that is booked against money that
// was not leased.
func (p *purse) end(now time.Time, key spenderKey, from []*slice, held, spent budget.Amounts) []charge {
	if by := p.spender(key); by != nil {
		by.inFlight = by.inFlight.Sub(held[budget.USD])
	}
	covered := held.Least(spent)
	rests, debts := held.Sub(covered), spent.Sub(covered)
	var returned []charge
	for _, s := range from {
		s.held--
		s.free = s.free.Add(rests[s.unit])
		if debt := debts[s.unit]; !debt.IsZero() {
			returned = append(returned, s.returnBut(s.free.Sub(least(s.free, debt)))...)
		}
		if now.Before(s.recalled) {
			returned = append(returned, s.returnAll()...)
		}
		returned = append(returned, p.putAway(now, s)...)
	}
	return returned
}

// putAway returns what is left of a slice that is not spent from any more, and forgets it once nothing can come back to it.
func (p *purse) putAway(now time.Time, s *slice) []charge {
	if s.usable(now) {
		return nil
	}
	s.closed = true
	returned := s.returnAll()
	if s.held == 0 {
		delete(p.slices, s.lease)
	}
	return returned
}

// team is in whose name a payer spends that is configured to spend in one.
func (p *purse) team(key payerKey, configured string) string {
	if of := p.payers[key]; of != nil {
		return of.team.over(configured)
	}
	return configured
}

// claim puts aside what a spender's slices have for a demand that they cannot cover, until the ledger has answered.
func (p *purse) claim(now time.Time, key spenderKey, need budget.Amounts) []charge {
	from := p.spender(key)
	if from == nil {
		return nil
	}
	var claimed []charge
	for _, s := range from.slices {
		if part := least(s.free, need[s.unit]); s.usable(now) && !part.IsZero() {
			s.free = s.free.Sub(part)
			s.held++
			claimed = append(claimed, charge{slice: s, amount: part})
		}
	}
	return claimed
}

// unclaim gives back what was put aside. It returns what must go back to the ledger, because its slice is not spent from any more.
func (p *purse) unclaim(now time.Time, claimed []charge) []charge {
	var returned []charge //nolint:prealloc // Mostly nothing goes back.
	for _, one := range claimed {
		one.slice.held--
		one.slice.free = one.slice.free.Add(one.amount)
		returned = append(returned, p.putAway(now, one.slice)...)
	}
	return returned
}

// forgetRoute makes the route's payers ask the ledger again which accounts they have, and returns what their slices have: the route
// was edited.
func (p *purse) forgetRoute(now time.Time, route Route) []charge {
	var returned []charge
	for key, one := range p.payers {
		if key.route != route {
			continue
		}
		for _, s := range one.slices {
			if s.budget.owner == "" || !p.isShared(s, route) {
				returned = append(returned, p.shut(now, s)...)
			}
		}
		p.forgetPayer(key, one)
	}
	return returned
}

// isShared reports whether other routes than this one spend from a slice.
func (p *purse) isShared(s *slice, route Route) bool {
	for key, one := range p.payers {
		if key.route != route && slices.Contains(one.slices, s) {
			return true
		}
	}
	return false
}

// shut ends the spending from a slice, and returns what it has.
func (p *purse) shut(now time.Time, s *slice) []charge {
	s.closed = true
	return p.putAway(now, s)
}

// abandon ends all spending, and returns what there is.
func (p *purse) abandon(now time.Time) []charge {
	var returned []charge //nolint:prealloc // How many have something left is not known.
	for _, s := range p.slices {
		returned = append(returned, p.shut(now, s)...)
	}
	for key, one := range p.payers {
		p.forgetPayer(key, one)
	}
	return returned
}

// forgetPayer forgets which slices a payer has; with requests under way, it stays for what they can cost.
func (p *purse) forgetPayer(key payerKey, one *payer) {
	maps.DeleteFunc(one.spenders, func(_ string, at *spender) bool { return at.inFlight.IsZero() })
	if len(one.spenders) == 0 {
		delete(p.payers, key)
		return
	}
	one.tell(0, []*slice{p.unknown})
}

// idle reports whether no request is under way.
func (p *purse) idle() bool {
	for _, one := range p.payers {
		for _, at := range one.spenders {
			if !at.inFlight.IsZero() {
				return false
			}
		}
	}
	return true
}

// outdated notes the versions that the ledger tells, and returns the routes whose payers learned their accounts under another one.
func (p *purse) outdated(versions map[Route]int64) []Route {
	p.versions = versions
	found := map[Route]bool{}
	for key, one := range p.payers {
		if version, told := versions[key.route]; told && one.version != 0 && one.version != version {
			found[key.route] = true
		}
	}
	routes := make([]Route, 0, len(found))
	for route := range found {
		routes = append(routes, route)
	}
	return routes
}
