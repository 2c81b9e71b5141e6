package client

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// purse is the money that a proxy has drawn and not spent, in slices. It makes no calls and reads no clock; the client's mutex guards it.
type purse struct {
	spenders map[spenderKey]*spender
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

// spenderKey is a consumer of a route.
type spenderKey struct {
	route    Route
	consumer string
}

// spender is a consumer that has spent, with the slices that each of its requests is held in.
type spender struct {
	// version is that of the route when the ledger said which accounts there are.
	version int64
	slices  []*slice
	// inFlight is what its requests under way can cost at most.
	inFlight money.Amount
	// appetite says how much it spends.
	appetite appetite
	// aheadAt is when it was last asked for money ahead of need.
	aheadAt time.Time
}

func newPurse() *purse {
	return &purse{
		spenders: map[spenderKey]*spender{}, slices: map[int64]*slice{}, known: map[int64]known{},
		versions: map[Route]int64{}, unknown: &slice{closed: true},
	}
}

// take takes what is needed from every slice of a spender, or nothing from any. It reports false if a slice has too little, or if it is not
// known yet which slices there have to be.
func (p *purse) take(now time.Time, key spenderKey, need budget.Amounts) ([]*slice, bool) {
	payer := p.spenders[key]
	if payer == nil {
		return nil, false
	}
	for _, s := range payer.slices {
		if !s.usable(now) || s.free.Cmp(need[s.unit]) < 0 {
			return nil, false
		}
	}
	for _, s := range payer.slices {
		s.free = s.free.Sub(need[s.unit])
		s.held++
		s.lastUsed = now
	}
	payer.inFlight = payer.inFlight.Add(need[budget.USD])
	payer.appetite.ate(now, need)
	return payer.slices, true
}

// end ends a hold: what was held and not spent goes back to the slices. It returns what must go back to the ledger: what is in slices that
// are not spent from any more or that others need more, and so much as was spent beyond the hold, since that is booked against money that
// was not leased.
func (p *purse) end(now time.Time, key spenderKey, from []*slice, held, spent budget.Amounts) []charge {
	if payer := p.spenders[key]; payer != nil {
		payer.inFlight = payer.inFlight.Sub(held[budget.USD])
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

// claim puts aside what a spender's slices have for a demand that they cannot cover, until the ledger has answered.
func (p *purse) claim(now time.Time, key spenderKey, need budget.Amounts) []charge {
	payer := p.spenders[key]
	if payer == nil {
		return nil
	}
	var claimed []charge
	for _, s := range payer.slices {
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

// forgetRoute makes the route's spenders ask the ledger again which accounts they have, and returns what their slices have: the route
// was edited.
func (p *purse) forgetRoute(now time.Time, route Route) []charge {
	var returned []charge
	for key, payer := range p.spenders {
		if key.route != route {
			continue
		}
		for _, s := range payer.slices {
			returned = append(returned, p.shut(now, s)...)
		}
		p.forgetSpender(key, payer)
	}
	return returned
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
	for key, payer := range p.spenders {
		p.forgetSpender(key, payer)
	}
	return returned
}

// forgetSpender forgets which slices a spender has; with requests under way, it stays for what they can cost.
func (p *purse) forgetSpender(key spenderKey, payer *spender) {
	if payer.inFlight.IsZero() {
		delete(p.spenders, key)
		return
	}
	payer.version, payer.slices = 0, []*slice{p.unknown}
}

// idle reports whether no request is under way.
func (p *purse) idle() bool {
	for _, payer := range p.spenders {
		if !payer.inFlight.IsZero() {
			return false
		}
	}
	return true
}

// outdated notes the versions that the ledger tells, and returns the routes whose spenders learned their accounts under another one.
func (p *purse) outdated(versions map[Route]int64) []Route {
	p.versions = versions
	found := map[Route]bool{}
	for key, payer := range p.spenders {
		if version, told := versions[key.route]; told && payer.version != 0 && payer.version != version {
			found[key.route] = true
		}
	}
	routes := make([]Route, 0, len(found))
	for route := range found {
		routes = append(routes, route)
	}
	return routes
}
