package client

import (
	"maps"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// recallTime is for how long a slice that was recalled draws nothing ahead of need.
const recallTime = 3 * time.Second

// recall returns what a slice has, because others were refused.
func (p *purse) recall(now time.Time, lease int64) []charge {
	s := p.slices[lease]
	if s == nil {
		return nil
	}
	s.recalled = now.Add(recallTime)
	return s.returnAll()
}

// heed notes which slices others need more, and of which accounts more is out than their limits allow: one was lowered, and an answer may
// tell of that before a heartbeat does.
func (p *purse) heed(now time.Time, leases []granted) {
	for _, one := range leases {
		if s := p.slices[one.lease]; s != nil && (one.recalled || one.told.free.IsNegative()) {
			s.recalled = now.Add(recallTime)
		}
	}
}

// surrender returns what has come back to slices that were recalled lately. When they were, it may have been put aside for a request that
// waited for more; a busy proxy has something put aside nearly always, and would sit on its crumb while others sit on theirs.
func (p *purse) surrender(now time.Time) []charge {
	var returned []charge
	for _, s := range p.slices {
		if now.Before(s.recalled) {
			returned = append(returned, s.returnAll()...)
		}
	}
	return returned
}

// idleTime is how long a slice may lie unused before it goes back.
const idleTime = 10 * time.Second

// tidy returns what nobody here needs: slices whose window is over, those that nothing was taken from for a while, and what others have
// more of than their spenders use.
func (p *purse) tidy(now time.Time) []charge {
	var returned []charge
	appetites := p.appetites(now)
	for _, s := range p.slices {
		switch {
		case !s.usable(now):
			returned = append(returned, p.putAway(now, s)...)
		case now.Sub(s.lastUsed) > idleTime:
			returned = append(returned, s.returnAll()...)
		default:
			// Twice of what is drawn at a time: less would send the same money back and forth.
			wanted := appetites[s][s.unit]
			returned = append(returned, s.returnBut(wanted.Add(wanted))...)
		}
	}
	p.forgetIdle(now)
	return returned
}

// forgetIdle forgets spenders that ask for nothing, and slices of which nothing is left and that no payer has.
func (p *purse) forgetIdle(now time.Time) {
	inUse := make(map[*slice]bool, len(p.slices))
	for key, one := range p.payers {
		maps.DeleteFunc(one.spenders, func(_ string, at *spender) bool {
			return at.inFlight.IsZero() && at.appetite.idleSince(now) > spenderLife
		})
		if len(one.spenders) == 0 {
			delete(p.payers, key)
			continue
		}
		for _, s := range one.slices {
			inUse[s] = true
		}
	}
	for lease, s := range p.slices {
		if s.held == 0 && s.free.IsZero() && !inUse[s] {
			delete(p.slices, lease)
		}
	}
}

// forgetLeases forgets what was granted under leases of which nothing is left here. It may be called while the ledger has all records: then
// it has forgotten these leases itself, since it keeps those of which nothing is out for less long.
func (p *purse) forgetLeases(now time.Time) {
	for lease, one := range p.known {
		over := !one.ends.IsZero() && now.Sub(one.ends) > store.RateLife
		if p.slices[lease] == nil && (now.Sub(one.toldAt) > leaseLife || one.unit != budget.USD && over) {
			delete(p.known, lease)
		}
	}
}

// leaseLife is for how long it is remembered what was granted under a lease of which nothing is left.
const leaseLife = 2 * time.Hour

// spenderLife is for how long a spender that asks for nothing is remembered.
const spenderLife = 10 * time.Minute

// appetites sums up for each slice what its spenders would draw ahead of need.
func (p *purse) appetites(now time.Time) map[*slice]budget.Amounts {
	sums := make(map[*slice]budget.Amounts, len(p.slices))
	for _, one := range p.payers {
		for _, at := range one.spenders {
			wanted := at.appetite.wants(now)
			for _, s := range at.slices {
				sums[s] = sums[s].Add(wanted)
			}
		}
	}
	return sums
}

// aheadPause is how long a spender waits before it asks for money ahead of need again: where little is left it gets little, and would
// ask with every request.
const aheadPause = 50 * time.Millisecond

// low reports whether a spender should draw before it needs to.
func (p *purse) low(now time.Time, key spenderKey) bool {
	by := p.spender(key)
	if by == nil || now.Sub(by.aheadAt) < aheadPause {
		return false
	}
	wanted := by.appetite.wants(now)
	for _, s := range by.slices {
		if s.free.Nano() < wanted[s.unit].Nano()/4 && now.After(s.recalled) {
			by.aheadAt = now
			return true
		}
	}
	return false
}

// wants is how much a spender would like to have ahead of need.
func (p *purse) wants(now time.Time, key spenderKey, need budget.Amounts) budget.Amounts {
	if by := p.spender(key); by != nil && !by.appetite.isNew() {
		return by.appetite.wants(now)
	}
	return severalTimes(need)
}

func least(a, b money.Amount) money.Amount {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}
