package client

import (
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// ahead is how many requests like the last one are drawn for at the least.
const ahead = 4

// appetite is how much a spender spends: what it was held for in this period and in the one before.
type appetite struct {
	began          time.Time
	current, prior budget.Amounts
	last           budget.Amounts
	lastAt         time.Time
}

// appetitePeriod is how far ahead a spender draws: long enough that a busy one draws every other second, short enough that a proxy that
// is lost strands little.
const appetitePeriod = 2 * time.Second

// ate notes what was held.
func (a *appetite) ate(now time.Time, amounts budget.Amounts) {
	a.turn(now)
	a.current = a.current.Add(amounts)
	a.last, a.lastAt = amounts, now
}

// greet notes that the spender is there, though it has held nothing yet.
func (a *appetite) greet(now time.Time) {
	if a.isNew() {
		a.lastAt = now
	}
}

// isNew reports whether the spender has not been there yet.
func (a *appetite) isNew() bool { return a.lastAt.IsZero() }

// turn begins another period when this one is over.
func (a *appetite) turn(now time.Time) {
	switch passed := now.Sub(a.began); {
	case passed >= 2*appetitePeriod:
		a.began, a.current, a.prior = now, budget.Amounts{}, budget.Amounts{}
	case passed >= appetitePeriod:
		a.began, a.current, a.prior = a.began.Add(appetitePeriod), budget.Amounts{}, a.current
	}
}

// wants is what the spender is likely to need within a period; after a while without requests, nothing.
func (a *appetite) wants(now time.Time) budget.Amounts {
	if a.idleSince(now) > idleTime {
		return budget.Amounts{}
	}
	a.turn(now)
	wanted := severalTimes(a.last)
	for unit := range wanted {
		most := max(wanted[unit].Nano(), a.current[unit].Nano(), a.prior[unit].Nano())
		wanted[unit] = money.FromNano(min(most, maxAmount.Nano()))
	}
	return wanted
}

// severalTimes is what so many requests like one need as are drawn for at the least.
func severalTimes(one budget.Amounts) budget.Amounts {
	for unit, amount := range one {
		one[unit] = money.FromNano(ahead * min(amount.Nano(), maxAmount.Nano()/ahead))
	}
	return one
}

func (a *appetite) idleSince(now time.Time) time.Duration { return now.Sub(a.lastAt) }
