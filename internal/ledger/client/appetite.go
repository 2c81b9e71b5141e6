package client

import (
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// ahead is how many requests like the last one are drawn for at the least.
const ahead = 4

// appetite is how much a spender spends: what it was held for in this period and in the one before.
type appetite struct {
	began          time.Time
	current, prior money.Amount
	last           money.Amount
	lastAt         time.Time
}

// appetitePeriod is how far ahead a spender draws: long enough that a busy one draws every other second, short enough that a proxy that
// is lost strands little.
const appetitePeriod = 2 * time.Second

// ate notes that an amount was held.
func (a *appetite) ate(now time.Time, amount money.Amount) {
	a.turn(now)
	a.current = a.current.Add(amount)
	a.last, a.lastAt = amount, now
}

// greet notes that the spender is there, though it has held nothing yet.
func (a *appetite) greet(now time.Time) {
	if a.lastAt.IsZero() {
		a.lastAt = now
	}
}

// turn begins another period when this one is over.
func (a *appetite) turn(now time.Time) {
	switch passed := now.Sub(a.began); {
	case passed >= 2*appetitePeriod:
		a.began, a.current, a.prior = now, money.Amount{}, money.Amount{}
	case passed >= appetitePeriod:
		a.began, a.current, a.prior = a.began.Add(appetitePeriod), money.Amount{}, a.current
	}
}

// wants is what the spender is likely to need within a period; after a while without requests, nothing.
func (a *appetite) wants(now time.Time) money.Amount {
	if a.idleSince(now) > idleTime {
		return money.Amount{}
	}
	a.turn(now)
	most := money.FromNano(ahead * min(a.last.Nano(), maxAmount.Nano()/ahead))
	for _, one := range [2]money.Amount{a.current, a.prior} {
		if one.Cmp(most) > 0 {
			most = one
		}
	}
	return least(most, maxAmount)
}

func (a *appetite) idleSince(now time.Time) time.Duration { return now.Sub(a.lastAt) }
