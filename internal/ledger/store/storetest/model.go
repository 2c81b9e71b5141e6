package storetest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// runModel drives a store with random calls and compares all that it says with a model that keeps every hold in a list and adds up
// from the start each time.
func runModel(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt, open)
		defer m.close(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"reserve":   m.reserve,
			"repeat":    m.repeat,
			"settle":    m.settle,
			"unmatched": m.unmatched,
			"edit":      m.edit,
			"time":      m.moveTime,
			"beat":      m.beat,
			"expire":    m.expire,
			"compact":   m.compact,
			"session":   m.openSession,
			"restart":   m.restart,
			"":          m.compare,
		})
	})
}

var (
	modelConsumers = []string{"alice", "bob"}
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
)

// entry is a hold as the model remembers it.
type entry struct {
	proxy     int
	epoch     int64
	sequence  int64
	consumer  string
	amount    int64
	openedAt  time.Time
	state     string // open, lapsed or settled
	settled   int64
	uncertain int64
}

func (e *entry) held() int64 {
	if e.state == "open" {
		return e.amount
	}
	return 0
}

// modelProxy is one of the proxies.
type modelProxy struct {
	session store.Credential
	heard   time.Time
	lapsed  bool
}

type model struct {
	t       *testing.T
	store   store.Store
	reopen  func() store.Store
	clock   *clock
	proxies []*modelProxy
	budgets []store.Budget
	entries []*entry
	next    int64
}

func newModel(t *testing.T, rt *rapid.T, open Open) *model {
	m := &model{t: t, clock: newClock(rapid.SampledFrom(modelStarts).Draw(rt, "start"))}
	m.reopen = open(t, m.clock.now)
	m.store = m.reopen()
	m.proxies = []*modelProxy{{}, {}}
	m.edit(rt)
	for i := range m.proxies {
		m.open(rt, i)
	}
	return m
}

func (m *model) close(rt *rapid.T) {
	if err := m.store.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
}

func (m *model) restart(rt *rapid.T) {
	m.close(rt)
	m.store = m.reopen()
	for _, p := range m.proxies {
		p.heard, p.lapsed = m.clock.now(), false
	}
}

func (m *model) open(rt *rapid.T, i int) {
	p := m.proxies[i]
	id := fmt.Sprintf("proxy-%d", i)
	token := sha256.Sum256([]byte(id + m.clock.now().String()))
	epoch, err := m.store.OpenSession(m.t.Context(), m.clock.now(), store.NewSession{
		ProxyID: id, Instance: id, Routes: []store.RouteKey{chat}, Identity: server, Token: token,
	})
	if err != nil {
		rt.Fatalf("OpenSession: %v", err)
	}
	if epoch <= p.session.Epoch {
		rt.Fatalf("epoch %d follows %d", epoch, p.session.Epoch)
	}
	p.session = store.Credential{ProxyID: id, Epoch: epoch, Token: token}
	p.heard, p.lapsed = m.clock.now(), false
}

func (m *model) openSession(rt *rapid.T) { m.open(rt, m.anyProxy(rt)) }

func (m *model) anyProxy(rt *rapid.T) int {
	return rapid.IntRange(0, len(m.proxies)-1).Draw(rt, "proxy")
}

func (m *model) hear(i int) *modelProxy {
	p := m.proxies[i]
	p.heard, p.lapsed = m.clock.now(), false
	return p
}

func (m *model) edit(rt *rapid.T) {
	m.budgets = nil
	for _, consumer := range append([]string{""}, modelConsumers...) {
		for n := range rapid.IntRange(0, 2).Draw(rt, "budgets") {
			m.budgets = append(m.budgets, store.Budget{
				Consumer:    consumer,
				Name:        fmt.Sprintf("budget-%d", n),
				Limit:       money.FromNano(rapid.Int64Range(0, 300).Draw(rt, "limit")),
				Period:      rapid.SampledFrom(modelPeriods).Draw(rt, "period"),
				TimeZone:    rapid.SampledFrom(modelZones).Draw(rt, "zone"),
				Enforcement: rapid.SampledFrom([]budget.Enforcement{budget.Deny, budget.Deny, budget.Warn}).Draw(rt, "enforcement"),
			})
		}
	}
	put := store.Route{Namespace: "ai", Name: "chat", Server: server, Consumers: modelConsumers, Budgets: m.budgets}
	if err := m.store.PutRoute(m.t.Context(), put); err != nil {
		rt.Fatalf("PutRoute: %v", err)
	}
}

func (m *model) moveTime(rt *rapid.T) {
	steps := []time.Duration{
		time.Second, 20 * time.Minute, time.Hour, 7 * time.Hour, 26 * time.Hour, 31 * 24 * time.Hour, -90 * time.Minute,
	}
	m.clock.advance(rapid.SampledFrom(steps).Draw(rt, "step"))
}

func (m *model) reserve(rt *rapid.T) {
	i := m.anyProxy(rt)
	p := m.hear(i)
	m.next++
	e := &entry{
		proxy: i, epoch: p.session.Epoch, sequence: m.next, state: "open", openedAt: m.clock.now(),
		consumer: rapid.SampledFrom(modelConsumers).Draw(rt, "consumer"),
		amount:   rapid.Int64Range(0, 120).Draw(rt, "amount"),
	}
	denial := m.call(rt, e)
	wantDenied, wantExhausted := m.verdict(rt, e)
	if (denial != nil) != wantDenied || denial != nil && denial.Exhausted != wantExhausted {
		rt.Fatalf("denial = %+v, want denied %t, exhausted %t", denial, wantDenied, wantExhausted)
	}
	if denial == nil {
		m.entries = append(m.entries, e)
	}
}

func (m *model) call(rt *rapid.T, e *entry) *store.Denial {
	demand := store.Demand{Sequence: e.sequence, Route: chat, Consumer: e.consumer, Amount: money.FromNano(e.amount), Identity: server}
	denial, err := m.store.Reserve(m.t.Context(), m.clock.now(), m.proxies[e.proxy].session, demand)
	if err != nil {
		rt.Fatalf("Reserve: %v", err)
	}
	return denial
}

// repeat sends a reservation again whose hold is open.
func (m *model) repeat(rt *rapid.T) {
	e := m.anyEntry(rt, func(e *entry) bool { return e.state == "open" && e.epoch == m.proxies[e.proxy].session.Epoch })
	m.hear(e.proxy)
	if denial := m.call(rt, e); denial != nil {
		rt.Fatalf("a repeated call for a hold was denied: %+v", denial)
	}
}

func (m *model) anyEntry(rt *rapid.T, which func(*entry) bool) *entry {
	var fitting []*entry
	for _, e := range m.entries {
		if which(e) {
			fitting = append(fitting, e)
		}
	}
	if len(fitting) == 0 {
		rt.Skip("there is none")
	}
	return rapid.SampledFrom(fitting).Draw(rt, "entry")
}

// settle settles a hold, or again one that was settled: then with another amount, which must not count.
func (m *model) settle(rt *rapid.T) {
	e := m.anyEntry(rt, func(*entry) bool { return true })
	p := m.hear(e.proxy)
	one := store.Settlement{
		Epoch: e.epoch, Sequence: e.sequence, Route: chat, Consumer: e.consumer,
		Amount:    money.FromNano(rapid.Int64Range(0, 150).Draw(rt, "cost")),
		Uncertain: rapid.Bool().Draw(rt, "uncertain"),
	}
	m.book(rt, p, one, e.state == "settled")
	if e.state != "settled" {
		e.pay(one)
	}
}

func (e *entry) pay(one store.Settlement) {
	e.state, e.settled, e.uncertain = "settled", one.Amount.Nano(), 0
	if one.Uncertain {
		e.settled, e.uncertain = 0, one.Amount.Nano()
	}
}

func (m *model) book(rt *rapid.T, p *modelProxy, one store.Settlement, repeated bool) {
	got, err := m.store.Settle(m.t.Context(), m.clock.now(), p.session, []store.Settlement{one})
	if err != nil {
		rt.Fatalf("Settle: %v", err)
	}
	if (got.Repeated == 1) != repeated {
		rt.Fatalf("Settle = %+v, want repeated %t", got, repeated)
	}
}

// unmatched settles a hold that was never made.
func (m *model) unmatched(rt *rapid.T) {
	i := m.anyProxy(rt)
	p := m.hear(i)
	m.next++
	one := store.Settlement{
		Epoch: p.session.Epoch, Sequence: m.next, Route: chat, Consumer: rapid.SampledFrom(modelConsumers).Draw(rt, "consumer"),
		Amount: money.FromNano(rapid.Int64Range(0, 20).Draw(rt, "cost")),
	}
	m.book(rt, p, one, false)
	e := &entry{proxy: i, epoch: one.Epoch, sequence: one.Sequence, consumer: one.Consumer, openedAt: m.clock.now()}
	e.pay(one)
	m.entries = append(m.entries, e)
}

// beat says that everything below the lowest unsettled hold is done.
func (m *model) beat(rt *rapid.T) {
	i := m.anyProxy(rt)
	p := m.hear(i)
	below := m.next + 1
	for _, e := range m.entries {
		if e.proxy == i && e.state != "settled" {
			below = min(below, e.sequence)
		}
	}
	if err := m.store.Heartbeat(m.t.Context(), m.clock.now(), p.session, store.Beat{ConfigHash: "hash", SettledBelow: below}); err != nil {
		rt.Fatalf("Heartbeat: %v", err)
	}
}

func (m *model) expire(rt *rapid.T) {
	heardAfter := m.clock.now().Add(-30 * time.Second)
	want := 0
	for i, p := range m.proxies {
		if p.lapsed || p.heard.After(heardAfter) {
			continue
		}
		p.lapsed = true
		for _, e := range m.entries {
			if e.proxy == i && e.state == "open" {
				e.state, e.uncertain = "lapsed", e.amount
				want++
			}
		}
	}
	if got, err := m.store.ExpireSilent(m.t.Context(), heardAfter); err != nil || got != want {
		rt.Fatalf("ExpireSilent = %d, %v, want %d", got, err, want)
	}
}

// compact forgets; a proxy that was closed opens a new session, as its client would.
func (m *model) compact(rt *rapid.T) {
	if err := m.store.Compact(m.t.Context(), m.clock.now().Add(-24*time.Hour)); err != nil {
		rt.Fatalf("Compact: %v", err)
	}
	for i, p := range m.proxies {
		if !p.heard.After(m.clock.now().Add(-24 * time.Hour)) {
			m.open(rt, i)
		}
	}
}

// sums adds up what counts in the budget's window at the given time.
func (m *model) sums(rt *rapid.T, b store.Budget, at time.Time) (window budget.Window, sum [3]int64) {
	calendar, err := budget.NewCalendar(b.Period, b.TimeZone)
	if err != nil {
		rt.Fatal(err)
	}
	window = calendar.WindowAt(at)
	for _, e := range m.entries {
		if (b.Consumer == "" || b.Consumer == e.consumer) && calendar.WindowAt(e.openedAt) == window {
			sum[0] += e.settled
			sum[1] += e.uncertain
			sum[2] += e.held()
		}
	}
	return window, sum
}

// verdict says whether the demand must be denied, and why.
func (m *model) verdict(rt *rapid.T, e *entry) (denied, exhausted bool) {
	for _, b := range m.budgets {
		if b.Enforcement != budget.Deny || b.Consumer != "" && b.Consumer != e.consumer {
			continue
		}
		_, sum := m.sums(rt, b, e.openedAt)
		denied = denied || sum[0]+sum[1]+sum[2]+e.amount > b.Limit.Nano()
		exhausted = exhausted || sum[0]+sum[1]+e.amount > b.Limit.Nano()
	}
	return denied, exhausted
}

// compare compares everything that the store shows with the model.
func (m *model) compare(rt *rapid.T) {
	usage, err := m.store.Usage(m.t.Context(), m.clock.now(), time.Time{})
	if err != nil || len(usage) != 1 {
		rt.Fatalf("Usage = %+v, %v, want one route", usage, err)
	}
	got := map[string]store.Spend{"": usage[0].Spend}
	budgets := usage[0].Budgets
	for _, one := range usage[0].Consumers {
		got[one.Name] = one.Spend
		budgets = append(budgets, one.Budgets...)
	}
	want := map[string]store.Spend{}
	for _, consumer := range append([]string{""}, modelConsumers...) {
		_, sum := m.sums(rt, store.Budget{Consumer: consumer, Period: budget.Total}, m.clock.now())
		want[consumer] = spendOf(sum)
	}
	if diff := cmp.Diff(want, got, amounts); diff != "" {
		rt.Fatalf("spend (-want +got):\n%s", diff)
	}
	var wantBudgets []store.BudgetUsage
	for _, b := range m.budgets {
		window, sum := m.sums(rt, b, m.clock.now())
		wantBudgets = append(wantBudgets, store.BudgetUsage{Budget: b, Window: window, Spend: spendOf(sum)})
	}
	slices.SortStableFunc(wantBudgets, func(a, b store.BudgetUsage) int { return strings.Compare(a.Budget.Consumer, b.Budget.Consumer) })
	// Refusing is a memory of the last demand, which is lost where a window is summed anew; TestReserve has its cases.
	if diff := cmp.Diff(wantBudgets, budgets, amounts, cmpopts.IgnoreFields(store.BudgetUsage{}, "Refusing")); diff != "" {
		rt.Fatalf("budgets at %s (-want +got):\n%s", m.clock.now(), diff)
	}
}

func spendOf(sum [3]int64) store.Spend {
	return store.Spend{Settled: money.FromNano(sum[0]), Uncertain: money.FromNano(sum[1]), Held: money.FromNano(sum[2])}
}
