package controllers

import (
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// settlingTime is how long after a request both books are sure to have it: the upstream's may lag behind, a proxy may have to be started
// again before it reports, and one that drains, or does not know yet that a key was changed, still spends.
const settlingTime = 10 * time.Minute

// look is how both books stood at one time.
type look struct {
	at time.Time
	// billed is what the upstream ever billed to a key.
	billed money.Amount
	// settled is what the routes that use it are known to have spent, and spent is that and what is uncertain: their true spend, as far as
	// it is booked, lies between.
	settled, spent money.Amount
}

// baseline is what a comparison starts from: both books when it began, and a settlingTime later, when both had all that was spent before it
// began.
type baseline struct {
	since              time.Time
	billedFrom, billed money.Amount
	settledFrom, spent money.Amount
}

// comparison is of one key of one upstream and of the routes that use it. What can be said for sure is worked out from the books at several
// times, since neither is ever up to date: what was spent until a time is in both a settlingTime later, and nothing is in either before it
// was spent.
type comparison struct {
	// from is nil until it is known.
	from *baseline
	// first is the look that a baseline is made of; looks are the last one that is older than settlingTime, and all that came later.
	first *look
	looks []look
}

// add takes up a look, later than all before.
func (c *comparison) add(next look) {
	c.looks = append(c.looks, next)
	for len(c.looks) > 1 && next.at.Sub(c.looks[1].at) >= settlingTime {
		c.looks = c.looks[1:]
	}
	switch {
	case c.from != nil:
	case c.first == nil:
		c.first = &next
	case next.at.Sub(c.first.at) >= settlingTime:
		c.from = &baseline{
			since: c.first.at, billedFrom: c.first.billed, billed: next.billed, settledFrom: c.first.settled, spent: next.spent,
		}
	}
}

// finding is what a comparison says.
type finding struct {
	from                   baseline
	billed, settled, drift money.Amount
}

// finding returns what can be said after the last look; false if nothing can yet.
func (c *comparison) finding() (finding, bool) {
	if c.from == nil || len(c.looks) < 2 {
		return finding{}, false
	}
	old, now := c.looks[0], c.looks[len(c.looks)-1]
	if now.at.Sub(old.at) < settlingTime {
		return finding{}, false
	}
	r := finding{from: *c.from, billed: now.billed.Sub(c.from.billedFrom), settled: now.settled.Sub(c.from.settledFrom)}
	// What was billed a while ago, and surely for requests since the baseline, must be booked here by now.
	more := old.billed.Sub(c.from.billed).Sub(now.spent.Sub(c.from.settledFrom))
	// What was settled here a while ago, and surely for such requests, must be billed by now.
	less := old.settled.Sub(c.from.spent).Sub(r.billed)
	switch {
	case more.Cmp(money.Amount{}) > 0:
		r.drift = more
	case less.Cmp(money.Amount{}) > 0:
		r.drift = money.Amount{}.Sub(less)
	}
	return r, true
}

// A drift is told of if it is more than both: cents are not worth a look, and nor is what rounding makes of a large sum.
const (
	driftAmount  = money.NanoPerUSD / 100
	driftPercent = 1
)

func (r finding) state() v1alpha1.BooksState {
	size, sum := r.drift, r.billed
	if size.IsNegative() {
		size = money.Amount{}.Sub(size)
	}
	if r.settled.Cmp(sum) > 0 {
		sum = r.settled
	}
	if size.Nano() > max(driftAmount, sum.Nano()/100*driftPercent) {
		return v1alpha1.BooksDrifting
	}
	return v1alpha1.BooksAgreeing
}
