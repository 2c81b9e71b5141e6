package storetest

import (
	"errors"
	"time"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// modelClaim is an account from which a demand has to be met.
type modelClaim struct {
	budget      store.Budget
	start       time.Time
	lease       *modelLease
	spend       store.Spend
	need, extra int64
}

func (c *modelClaim) remaining() int64 {
	return c.budget.Limit.Nano() - c.spend.Settled.Nano() - c.spend.Uncertain.Nano()
}

func (c *modelClaim) free() int64 { return c.remaining() - c.spend.Leased.Nano() }

// draw makes a draw for one or two demands.
func (m *model) draw(rt *rapid.T) {
	p := m.anyProxy(rt)
	m.drawAs(rt, p, p.lastDraw+rapid.Int64Range(1, 3).Draw(rt, "ahead"))
}

// redraw makes one whose sequence is not above the last one.
func (m *model) redraw(rt *rapid.T) {
	p := m.anyProxy(rt)
	m.drawAs(rt, p, rapid.Int64Range(0, p.lastDraw).Draw(rt, "sequence"))
}

func (m *model) drawAs(rt *rapid.T, p *modelProxy, sequence int64) {
	m.hear(p)
	draw := store.Draw{Sequence: sequence, After: int64(len(p.log)), Identity: server}
	for range rapid.IntRange(1, 2).Draw(rt, "demands") {
		draw.Demands = append(draw.Demands, m.someDemand(rt, p))
	}
	answers, err := m.store.Draw(m.t.Context(), m.clock.now(), p.session, draw)
	if p.released {
		if !errors.Is(err, store.ErrReleased) {
			rt.Fatalf("Draw: %v, want ErrReleased", err)
		}
		return
	}
	if err != nil || len(answers) != len(draw.Demands) {
		rt.Fatalf("Draw = %+v, %v", answers, err)
	}
	granted := false
	for i, demand := range draw.Demands {
		if m.route.Server == "" {
			if !errors.Is(answers[i].Err, store.ErrNotServer) {
				rt.Fatalf("answer = %+v, want ErrNotServer", answers[i])
			}
			continue
		}
		granted = m.meet(rt, p, demand, answers[i], sequence <= p.lastDraw) || granted
	}
	if granted {
		p.lastDraw = sequence
	}
}

func (m *model) someDemand(rt *rapid.T, p *modelProxy) store.Demand {
	demand := store.Demand{
		Route:    chat,
		Consumer: rapid.SampledFrom(modelConsumers).Draw(rt, "consumer"),
		Upstream: rapid.SampledFrom(modelUpstreams).Draw(rt, "upstream"),
		Amount:   money.FromNano(rapid.Int64Range(0, 200).Draw(rt, "amount")),
		Want:     money.FromNano(rapid.SampledFrom([]int64{0, 0, 10, 500}).Draw(rt, "want")),
		Have:     map[int64]money.Amount{},
	}
	for _, l := range m.leases {
		if (l.proxy == p || rapid.IntRange(0, 9).Draw(rt, "foreign") == 0) && !l.idle && rapid.Bool().Draw(rt, "have") {
			demand.Have[l.id] = money.FromNano(rapid.Int64Range(0, l.out+2).Draw(rt, "amount"))
		}
	}
	return demand
}

// meet works out what has to become of a demand, and compares. It reports whether money was leased.
func (m *model) meet(rt *rapid.T, p *modelProxy, demand store.Demand, answer store.Answer, repeated bool) bool {
	claims := m.claims(rt, p, demand)
	if answer.Version != m.version {
		rt.Fatalf("version %d, want %d", answer.Version, m.version)
	}
	m.compareTeam(rt, demand.Consumer, answer)
	if repeated {
		m.compareLeases(rt, p, claims, answer)
		return false
	}
	denied, exhausted := false, false
	for _, c := range claims {
		m.weigh(c, demand, answer)
		if c.need > 0 && c.need > c.free() {
			denied, exhausted = true, exhausted || c.remaining() < demand.Amount.Nano()
		}
	}
	if denied != (answer.Denial != nil) || denied && answer.Denial.Exhausted != exhausted {
		rt.Fatalf("denial = %+v, want denied %t, exhausted %t", answer.Denial, denied, exhausted)
	}
	granted := false
	for _, c := range claims {
		switch {
		case !denied:
			granted = m.grant(rt, p, c) || granted
		case c.need > 0 && c.need > c.free() && c.remaining() >= demand.Amount.Nano():
			m.contend(keyOf(c.budget))
		}
	}
	m.compareLeases(rt, p, claims, answer)
	return granted
}

// claims returns the accounts of a demand that deny.
func (m *model) claims(rt *rapid.T, p *modelProxy, demand store.Demand) []*modelClaim {
	var claims []*modelClaim
	for _, b := range m.allBudgets() {
		isIts := b.Owner == "" && (b.Consumer == "" || b.Consumer == demand.Consumer) || m.isMember(demand.Consumer, b.Owner)
		if isIts && b.Enforcement == budget.Deny {
			window := calendarOf(rt, b).WindowAt(m.clock.now())
			c := &modelClaim{budget: b, start: window.Start}
			for _, l := range m.leases {
				if l.proxy == p && l.account == keyOf(b) && l.start.Equal(window.Start) {
					c.lease = l
				}
			}
			// A lease counts where it was last added to. Where the clock was turned back, that is brought up to date first.
			if c.lease != nil && calendarOf(rt, b).WindowAt(c.lease.at) != window {
				c.lease.at = m.clock.now()
			}
			claims = append(claims, c)
		}
	}
	for _, c := range claims {
		_, c.spend = m.sums(rt, c.budget)
	}
	return claims
}

func (m *model) weigh(c *modelClaim, demand store.Demand, answer store.Answer) {
	wanted := demand.Want.Nano()
	c.need = demand.Amount.Nano()
	if !c.budget.Covers(demand.Upstream) {
		c.need, wanted = 0, 0
	}
	if c.lease != nil && c.lease.id != 0 {
		c.need -= min(demand.Have[c.lease.id].Nano(), c.lease.out, c.need)
	}
	sharers := int64(0)
	for _, p := range m.proxies {
		if !p.silent {
			sharers++
		}
	}
	if left := c.free() - c.need; left > 0 && !m.isContended(c, answer) {
		c.extra = min(wanted, left/(2*sharers))
	}
}

// grant leases, and checks what must hold right after that: the invariant of the books.
func (m *model) grant(rt *rapid.T, p *modelProxy, c *modelClaim) bool {
	if c.lease == nil {
		c.lease = &modelLease{proxy: p, account: keyOf(c.budget), start: c.start, at: m.clock.now()}
		m.leases = append(m.leases, c.lease)
	}
	if c.need+c.extra == 0 {
		return false
	}
	c.lease.granted += c.need + c.extra
	c.lease.out += c.need + c.extra
	c.lease.at = m.clock.now()
	_, now := m.sums(rt, c.budget)
	if total := now.Settled.Add(now.Uncertain).Add(now.Leased); total.Cmp(c.budget.Limit) > 0 {
		rt.Fatalf("%+v are out under a limit of %s", now, c.budget.Limit)
	}
	c.spend = now
	return true
}

// compareLeases compares the leases of an answer, and learns their ids. A lease that the store was free to forget may have another.
func (m *model) compareLeases(rt *rapid.T, p *modelProxy, claims []*modelClaim, answer store.Answer) {
	told := map[accountKey]store.Lease{}
	for _, one := range answer.Leases {
		told[accountKey{consumer: one.Consumer, owner: one.Owner, upstream: one.Upstream, budget: one.Budget}] = one
	}
	for _, c := range claims {
		one, there := told[keyOf(c.budget)]
		if !there && answer.Denial != nil && (c.lease == nil || c.lease.out == 0) {
			continue // It is told only of what it has.
		}
		if !there {
			rt.Fatalf("the answer %+v lacks budget %+v", answer, c.budget)
		}
		if c.lease == nil {
			c.lease = &modelLease{proxy: p, account: keyOf(c.budget), start: c.start, at: m.clock.now()}
			m.leases = append(m.leases, c.lease)
		}
		m.learn(rt, c.lease, one)
		if one.Remaining.Nano() != c.remaining() || one.Free.Nano() != c.free() {
			rt.Fatalf("lease %+v, want %d remaining, %d free", one, c.remaining(), c.free())
		}
	}
}

func (m *model) learn(rt *rapid.T, l *modelLease, told store.Lease) {
	if l.id != told.ID {
		if l.id != 0 && !l.idle {
			rt.Fatalf("lease %d is %d now", l.id, told.ID)
		}
		for _, other := range m.leases {
			if other.id == told.ID {
				rt.Fatalf("the id %d is used again", told.ID)
			}
		}
		l.id, l.granted, l.at = told.ID, l.out, m.clock.now() // All of it was leased under the new id.
	}
	l.idle = false
	if l.granted != told.Granted.Nano() {
		rt.Fatalf("lease %+v, want %d granted", told, l.granted)
	}
}

// append appends some records, perhaps after some that were applied before.
func (m *model) append(rt *rapid.T) {
	p := m.anyProxy(rt)
	m.hear(p)
	first := len(p.log) - rapid.IntRange(0, min(3, len(p.log))).Draw(rt, "repeated")
	repeated := len(p.log) - first
	for range rapid.IntRange(0, 4).Draw(rt, "records") {
		record := m.someRecord(rt, p)
		m.apply(rt, p, record)
		p.log = append(p.log, record)
	}
	got, err := m.store.Append(m.t.Context(), m.clock.now(), p.session, int64(first)+1, p.log[first:])
	if want := (store.Appended{Applied: int64(len(p.log)), Repeated: repeated}); err != nil || got != want {
		rt.Fatalf("Append = %+v, %v, want %+v", got, err, want)
	}
}

func (m *model) gap(rt *rapid.T) {
	p := m.anyProxy(rt)
	m.hear(p)
	got, err := m.store.Append(m.t.Context(), m.clock.now(), p.session, int64(len(p.log))+2, []store.Record{releaseAll})
	if !errors.Is(err, store.ErrGap) || got.Applied != int64(len(p.log)) {
		rt.Fatalf("Append = %+v, %v, want a gap", got, err)
	}
}

func (m *model) someRecord(rt *rapid.T, p *modelProxy) store.Record {
	kind := rapid.IntRange(0, 9).Draw(rt, "kind")
	if kind == 0 {
		return releaseAll
	}
	if kind < 4 {
		if some := m.someCharges(rt, p); len(some) > 0 {
			return store.Record{Return: &some[0]}
		}
	}
	return store.Record{Settlement: &store.Settlement{
		Route:     chat,
		Consumer:  rapid.SampledFrom(modelConsumers).Draw(rt, "consumer"),
		Upstream:  rapid.SampledFrom(modelUpstreams).Draw(rt, "upstream"),
		Team:      rapid.SampledFrom(modelTeams).Draw(rt, "team"),
		OpenedAt:  m.clock.now().Add(-rapid.SampledFrom(modelSteps).Draw(rt, "age")),
		Amount:    money.FromNano(rapid.Int64Range(0, 150).Draw(rt, "cost")),
		Uncertain: rapid.Bool().Draw(rt, "uncertain"),
		Charges:   m.someCharges(rt, p),
	}}
}

// someCharges are on leases that the store surely has, most of them the proxy's own.
func (m *model) someCharges(rt *rapid.T, p *modelProxy) []store.Charge {
	var some []store.Charge
	for _, l := range m.leases {
		if l.id == 0 || l.idle || l.proxy != p && rapid.IntRange(0, 9).Draw(rt, "foreign") > 0 {
			continue
		}
		if rapid.IntRange(0, 2).Draw(rt, "charge") > 0 {
			continue
		}
		some = append(some, store.Charge{Lease: l.id, Amount: money.FromNano(rapid.Int64Range(0, l.out+3).Draw(rt, "taken"))})
	}
	return some
}

// apply does what a record says.
func (m *model) apply(rt *rapid.T, p *modelProxy, record store.Record) {
	switch {
	case record.ReleaseAll:
		m.releaseAll(p)
	case record.Return != nil:
		m.take(p, *record.Return)
	default:
		one := record.Settlement
		cost := modelCost{consumer: one.Consumer, upstream: one.Upstream, team: one.Team, at: one.OpenedAt, settled: one.Amount.Nano()}
		if one.Uncertain {
			cost.settled, cost.uncertain = 0, cost.settled
		}
		if cost.at.After(m.clock.now()) {
			cost.at = m.clock.now()
		}
		for _, charge := range one.Charges {
			if l := m.take(p, charge); l != nil {
				cost.at = m.within(rt, l, cost.at)
			}
		}
		m.costs = append(m.costs, cost)
	}
}

func (m *model) take(p *modelProxy, charge store.Charge) *modelLease {
	for _, l := range m.leases {
		if l.id == charge.Lease && l.proxy == p {
			l.out -= min(l.out, charge.Amount.Nano())
			return l
		}
	}
	return nil
}

// within moves a time into the window that a lease counts in.
func (m *model) within(rt *rapid.T, l *modelLease, at time.Time) time.Time {
	for _, b := range m.allBudgets() {
		if keyOf(b) != l.account {
			continue
		}
		window := calendarOf(rt, b).WindowAt(l.at)
		if at.Before(window.Start) {
			return window.Start
		}
		if !window.End.IsZero() && !at.Before(window.End) {
			return window.End.Add(-time.Millisecond)
		}
	}
	return at
}
