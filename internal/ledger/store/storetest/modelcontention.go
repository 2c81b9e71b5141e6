package storetest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// contention is what is known of somebody having been refused money of an account that others have. Stores remember it for three seconds,
// but need not when they are restarted, when windows go or when time jumps, and need not write every refusal down.
type contention struct {
	// refused are when somebody was, since the route was last edited.
	refused []time.Time
	// sure is the last of them if it must still be known; zero if not.
	sure time.Time
}

func (c *contention) may(now time.Time) bool {
	return c != nil && slices.ContainsFunc(c.refused, func(at time.Time) bool { return isWithin(now, at, 3*time.Second) })
}

func (c *contention) must(now time.Time) bool {
	return c != nil && !c.sure.IsZero() && isWithin(now, c.sure, time.Second)
}

func isWithin(now, from time.Time, period time.Duration) bool {
	return !now.Before(from) && now.Sub(from) <= period
}

// isContended reports whether a store gives nothing ahead of need, as it must or as its answer to a demand of so much shows that it does.
func (m *model) isContended(c *modelClaim, answer store.Answer) bool {
	known := m.contended[keyOf(c.budget)]
	if known.must(m.clock.now()) || !known.may(m.clock.now()) {
		return known.must(m.clock.now())
	}
	had := int64(0)
	if c.lease != nil {
		had = c.lease.granted
	}
	return slices.ContainsFunc(answer.Leases, func(l store.Lease) bool {
		isIts := l.Consumer == c.budget.Consumer && l.Owner == c.budget.Owner && l.Coverage == c.budget.Coverage &&
			l.Budget == c.budget.Name
		return isIts && l.Granted.Nano() == had+c.need
	})
}

// contend notes that somebody was refused money of an account that others have.
func (m *model) contend(account accountKey) {
	known := m.contended[account]
	if known == nil {
		known = &contention{}
		m.contended[account] = known
	}
	known.sure = m.clock.now()
	known.refused = append(known.refused, known.sure)
}

// doubt is for when a store may have forgotten who was refused.
func (m *model) doubt() {
	for _, known := range m.contended {
		known.sure = time.Time{}
	}
}

func (m *model) forget(*rapid.T) {
	m.made.Forget(m.store)
	m.doubt()
}

// beat looks at what is recalled: what is out in accounts that somebody was refused of.
func (m *model) beat(rt *rapid.T) {
	p := m.anyProxy(rt)
	m.hear(p)
	pulse, err := m.store.Heartbeat(m.t.Context(), m.clock.now(), p.session, store.Beat{ConfigHash: "hash"})
	if err != nil || pulse.Versions[chat] != m.version {
		rt.Fatalf("Heartbeat = %+v, %v, want version %d", pulse, err, m.version)
	}
	found := 0
	for _, l := range m.leases {
		known, recalled := m.contended[l.account], slices.Contains(pulse.Recall, l.id)
		isOut := l.proxy == p && l.out > 0
		if recalled {
			found++
		}
		if recalled && (!isOut || !known.may(m.clock.now())) {
			rt.Fatalf("lease %d is recalled, of which %d is out, of an account with %+v", l.id, l.out, known)
		}
		if !recalled && isOut && known.must(m.clock.now()) {
			rt.Fatalf("lease %d is not recalled, of which %d is out, of an account with %+v", l.id, l.out, known)
		}
	}
	if found != len(pulse.Recall) {
		rt.Fatalf("recalled %v, of which %d are leases", pulse.Recall, found)
	}
}
