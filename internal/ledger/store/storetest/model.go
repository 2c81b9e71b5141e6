package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// runModel drives a store with random calls and compares all that it says with a model that keeps every lease and every settlement in a
// list and adds up from the start each time.
func runModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt, open)
		defer m.close(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"draw":    m.draw,
			"draw2":   m.draw, // What happens most often in life, too.
			"redraw":  m.redraw,
			"append":  m.append,
			"append2": m.append,
			"gap":     m.gap,
			"edit":    m.edit,
			"share":   m.share,
			"time":    m.moveTime,
			"beat":    m.beat,
			"expire":  m.expire,
			"release": m.release,
			"compact": m.compact,
			"session": m.openSession,
			"stale":   m.stale,
			"restart": m.restart,
			"forget":  m.forget,
			"":        m.compare,
		})
		m.made.Forget(m.store)
		m.compare(rt)
	})
}

var (
	modelConsumers = []string{"alice", "bob"}
	modelUpstreams = []string{"main", "spare"}
	modelPeriods   = []budget.Period{budget.Hour, budget.Day, budget.Week, budget.Month, budget.Year, budget.Total}
	// modelZones have changes by a whole hour, by half an hour, offsets of 45 minutes, and none.
	modelZones = []string{"", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"}
	// modelStarts are shortly before something happens to a calendar.
	modelStarts = []time.Time{
		time.Date(2026, time.March, 28, 23, 40, 0, 0, time.UTC),
		time.Date(2026, time.October, 24, 23, 10, 0, 0, time.UTC),
		time.Date(2026, time.October, 3, 14, 50, 0, 0, time.UTC),
		time.Date(2026, time.December, 31, 22, 0, 0, 0, time.UTC),
		time.Date(2028, time.February, 28, 18, 0, 0, 0, time.UTC),
	}
	modelSteps = []time.Duration{
		time.Second, 20 * time.Minute, time.Hour, 7 * time.Hour, 26 * time.Hour, 31 * 24 * time.Hour, -90 * time.Minute,
	}
)

// modelProxy is one of the proxies.
type modelProxy struct {
	id       string
	session  store.Credential
	stale    []store.Credential
	lastDraw int64
	log      []store.Record
	heard    time.Time
	silent   bool
	released bool
}

// modelCost is a settlement as it counts.
type modelCost struct {
	consumer, upstream, team string
	at                       time.Time
	settled, uncertain       int64
}

// accountKey names an account.
type accountKey struct {
	consumer string
	owner    budget.Owner
	upstream string
	budget   string
}

// modelLease is a lease as the model remembers it.
type modelLease struct {
	// id is not known before the store tells it.
	id           int64
	proxy        *modelProxy
	account      accountKey
	start        time.Time
	granted, out int64
	at           time.Time
	// idle is true if nothing was out when the store was free to forget it.
	idle bool
}

type model struct {
	t       *testing.T
	made    Books
	store   store.Store
	clock   *clock
	proxies []*modelProxy
	route   store.Route
	version int64
	// shared are the budgets of shared owners, ever is who was ever a member of one.
	shared    map[budget.Owner][]store.Budget
	ever      map[store.Member]bool
	leases    []*modelLease
	costs     []modelCost
	contended map[accountKey]*contention
}

func newModel(t *testing.T, rt *rapid.T, open Open) *model {
	m := &model{t: t, clock: newClock(rapid.SampledFrom(modelStarts).Draw(rt, "start")), contended: map[accountKey]*contention{}}
	m.shared, m.ever = map[budget.Owner][]store.Budget{}, map[store.Member]bool{}
	m.made = open(t, m.clock.now)
	m.store = m.made.Open()
	for _, owner := range modelOwners {
		m.putShared(rt, owner, nil)
	}
	m.put(rt, m.someRoute(rt))
	for range 2 {
		m.addProxy(rt)
	}
	return m
}

func (m *model) close(rt *rapid.T) {
	if found, err := faults(m.t.Context(), m.store, m.clock.now()); err != nil || len(found) > 0 {
		rt.Fatalf("verifying the books: %+v, error %v", found, err)
	}
	if err := m.store.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
}

func (m *model) restart(rt *rapid.T) {
	m.close(rt)
	m.store = m.made.Open()
	m.doubt()
	for _, p := range m.proxies {
		switch {
		case m.made.Remembers && (p.silent || p.heard.After(m.clock.now())): // The clock may have been turned back.
		case p.silent:
			p.heard = time.Time{}
		default:
			p.heard = m.clock.now()
		}
	}
}

func (m *model) addProxy(rt *rapid.T) {
	p := &modelProxy{id: fmt.Sprintf("proxy-%d", len(m.proxies))}
	m.proxies = append(m.proxies, p)
	m.open(rt, p)
}

func (m *model) open(rt *rapid.T, p *modelProxy) {
	token := sha256.Sum256(fmt.Append(nil, p.id, len(p.stale)))
	opened, err := m.store.OpenSession(m.t.Context(), m.clock.now(), store.NewSession{
		ProxyID: p.id, Instance: p.id, Routes: []store.RouteKey{chat}, Identity: server, Token: token,
	})
	if err != nil || opened.Epoch != p.session.Epoch+1 || opened.Applied != int64(len(p.log)) {
		rt.Fatalf("OpenSession = %+v, %v, want epoch %d, %d applied", opened, err, p.session.Epoch+1, len(p.log))
	}
	p.stale = append(p.stale, p.session)
	p.session = store.Credential{ProxyID: p.id, Epoch: opened.Epoch, Token: token}
	p.lastDraw = 0
	m.hear(p)
}

func (m *model) openSession(rt *rapid.T) {
	if m.route.Server == "" {
		rt.Skip("nobody serves the route")
	}
	m.open(rt, m.anyProxy(rt))
}

// stale makes calls of a session that has ended.
func (m *model) stale(rt *rapid.T) {
	p := m.anyProxy(rt)
	old := rapid.SampledFrom(p.stale).Draw(rt, "stale")
	draw := store.Draw{Sequence: 99, Identity: server, Demands: []store.Demand{{Route: chat, Consumer: "alice", Amount: money.FromNano(1)}}}
	if _, err := m.store.Draw(m.t.Context(), m.clock.now(), old, draw); !errors.Is(err, store.ErrUnknownSession) {
		rt.Fatalf("Draw: %v, want ErrUnknownSession", err)
	}
	records := []store.Record{releaseAll}
	if _, err := m.store.Append(m.t.Context(), m.clock.now(), old, int64(len(p.log))+1, records); !errors.Is(err, store.ErrUnknownSession) {
		rt.Fatalf("Append: %v, want ErrUnknownSession", err)
	}
}

func (m *model) anyProxy(rt *rapid.T) *modelProxy {
	return rapid.SampledFrom(m.proxies).Draw(rt, "proxy")
}

func (m *model) hear(p *modelProxy) { p.heard, p.silent = m.clock.now(), false }

func someBudgets(rt *rapid.T) []store.Budget {
	var budgets []store.Budget
	owners := []accountKey{{}}
	for _, name := range modelConsumers {
		owners = append(owners, accountKey{consumer: name})
	}
	for _, name := range modelUpstreams {
		owners = append(owners, accountKey{upstream: name})
	}
	for _, owner := range owners {
		budgets = append(budgets, someBudgetsOf(rt, owner)...)
	}
	return budgets
}

func someBudgetsOf(rt *rapid.T, owner accountKey) []store.Budget {
	var budgets []store.Budget
	for n := range rapid.IntRange(0, 2).Draw(rt, "budgets") {
		covered := budget.Coverage{Upstream: owner.upstream}
		if owner.upstream == "" && owner.owner == "" {
			covered.Except = rapid.SampledFrom(append([]string{""}, modelUpstreams...)).Draw(rt, "except")
		}
		budgets = append(budgets, store.Budget{
			Consumer:    owner.consumer,
			Owner:       owner.owner,
			Coverage:    covered,
			Name:        fmt.Sprintf("budget-%d", n),
			Limit:       money.FromNano(rapid.Int64Range(0, 500).Draw(rt, "limit")),
			Period:      rapid.SampledFrom(modelPeriods).Draw(rt, "period"),
			TimeZone:    rapid.SampledFrom(modelZones).Draw(rt, "zone"),
			Enforcement: rapid.SampledFrom([]budget.Enforcement{budget.Deny, budget.Deny, budget.Warn}).Draw(rt, "enforcement"),
		})
	}
	return budgets
}

// edit puts other budgets, the same again, or none and nobody who serves the route.
func (m *model) edit(rt *rapid.T) {
	route := m.route
	switch rapid.IntRange(0, 5).Draw(rt, "edit") {
	case 0:
		route = store.Route{Namespace: "ai", Name: "chat"}
	case 1: // Nothing changes.
	default:
		route = m.someRoute(rt)
	}
	m.put(rt, route)
}

func (m *model) put(rt *rapid.T, route store.Route) {
	if err := m.store.PutRoute(m.t.Context(), route); err != nil {
		rt.Fatalf("PutRoute: %v", err)
	}
	if m.version == 0 || !cmp.Equal(m.route, route, amounts) {
		m.version++
		m.forgetContention("") // Who is still refused asks again.
	}
	m.route = route
	for _, member := range route.Members {
		if !m.ever[member] {
			m.ever[member] = true
			m.doubt()
		}
	}
}

func (m *model) moveTime(rt *rapid.T) {
	step := rapid.SampledFrom(modelSteps).Draw(rt, "step")
	m.clock.advance(step)
	if step != time.Second {
		m.doubt()
	}
}

func (m *model) expire(rt *rapid.T) {
	heardAfter := m.clock.now().Add(-30 * time.Second)
	var want store.Lapsed
	for _, p := range m.proxies {
		if !p.silent && !p.heard.After(heardAfter) {
			p.silent = true
			want.Proxies++
			want.Amount = want.Amount.Add(money.FromNano(m.outWith(p)))
		}
	}
	if got, err := m.store.ExpireSilent(m.t.Context(), heardAfter); err != nil || got != want {
		rt.Fatalf("ExpireSilent = %+v, %v, want %+v", got, err, want)
	}
}

func (m *model) outWith(p *modelProxy) int64 {
	out := int64(0)
	for _, l := range m.leases {
		if l.proxy == p {
			out += l.out
		}
	}
	return out
}

// release gives up on a proxy. Another takes its place.
func (m *model) release(rt *rapid.T) {
	p := m.anyProxy(rt)
	heardAfter := m.clock.now().Add(-30 * time.Second)
	freed, err := m.store.ReleaseProxy(m.t.Context(), m.clock.now(), heardAfter, store.Release{ProxyID: p.id, By: "admin", Reason: "gone"})
	if p.heard.After(heardAfter) {
		if !errors.Is(err, store.ErrStillAlive) {
			rt.Fatalf("ReleaseProxy: %v, want ErrStillAlive", err)
		}
		return
	}
	if err != nil || freed.Nano() != m.outWith(p) {
		rt.Fatalf("ReleaseProxy = %s, %v, want %d", freed, err, m.outWith(p))
	}
	m.releaseAll(p)
	p.released = true
	if m.route.Server != "" && len(m.proxies) < 6 {
		m.addProxy(rt)
	}
}

// releaseAll makes the proxy's leases ones of which nothing is out, and which the store may forget.
func (m *model) releaseAll(p *modelProxy) {
	for _, l := range m.leases {
		if l.proxy == p {
			l.out, l.idle = 0, true
		}
	}
}

func (m *model) compact(rt *rapid.T) {
	if err := m.store.Compact(m.t.Context(), m.clock.now(), m.clock.now().Add(-store.MinRetention)); err != nil {
		rt.Fatalf("Compact: %v", err)
	}
	for _, l := range m.leases {
		l.idle = l.idle || l.out == 0
	}
}

func keyOf(b store.Budget) accountKey {
	return accountKey{consumer: b.Consumer, owner: b.Owner, upstream: b.Upstream, budget: b.Name}
}

func calendarOf(rt *rapid.T, b store.Budget) budget.Calendar {
	calendar, err := budget.NewCalendar(b.Period, b.TimeZone)
	if err != nil {
		rt.Fatal(err)
	}
	return calendar
}
