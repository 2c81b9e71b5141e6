package client

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// purseModel checks a purse against what is simplest: for every lease, the money that the ledger granted is either here or was told back.
type purseModel struct {
	now   time.Time
	purse *purse
	// granted is what the ledger granted in all, heard what an answer with that was taken up, back what was returned or spent of holds.
	granted, heard, back map[int64]int64
	versions             map[Route]int64
	holds                []purseHold
	claims               [][]charge
	window               int64
}

type purseHold struct {
	key    spenderKey
	slices []*slice
	amount budget.Amounts
}

// amountsOf are so many nano-USD, one request and so many tokens.
func amountsOf(nano, tokens int64) budget.Amounts {
	return budget.Amounts{budget.USD: money.FromNano(nano), budget.Requests: money.FromNano(1), budget.Tokens: money.FromNano(tokens)}
}

func drawAmounts(t *rapid.T, most int64) budget.Amounts {
	return amountsOf(rapid.Int64Range(0, most).Draw(t, "amount"), rapid.Int64Range(0, most).Draw(t, "tokens"))
}

var (
	purseRoutes = []Route{{Namespace: "ai", Name: "a"}, {Namespace: "ai", Name: "b"}}
	consumers   = []string{"alice", "bob"}
	upstreams   = []string{"main", "spare"}
)

func drawSpender(t *rapid.T) spenderKey {
	payer := payerKey{route: rapid.SampledFrom(purseRoutes).Draw(t, "route"), consumer: rapid.SampledFrom(consumers).Draw(t, "consumer")}
	return spenderKey{payerKey: payer, upstream: rapid.SampledFrom(upstreams).Draw(t, "upstream")}
}

// leasesOf names the leases that a spender is told of, in the window and for the version of now: one that the whole route shares, and that
// has the upstream spare as its reserve, its own, one of the tokens that the whole route shares, one of the upstream spare, and one of a
// team that both routes share.
func (m *purseModel) leasesOf(key spenderKey) []int64 {
	base := 1000 * (m.window + 1)
	if key.route == purseRoutes[1] {
		base += 100
	}
	own := base + 10
	if key.consumer == "bob" {
		own += 10
	}
	return []int64{base, own, base + tokenLease, base + spareLease, 1000*(m.window+1) + teamLease}
}

const (
	tokenLease = 50
	spareLease = 60
	teamLease  = 970
)

func coverageOfLease(lease int64) budget.Coverage {
	switch lease % 100 {
	case 0:
		return budget.Coverage{Except: "spare"}
	case spareLease:
		return budget.Coverage{Upstream: "spare"}
	}
	return budget.Coverage{}
}

func (m *purseModel) grantedOf(lease, amount int64) granted {
	made := granted{
		lease: lease, unit: unitOfLease(lease), coverage: coverageOfLease(lease), amount: money.FromNano(amount), ends: m.ends(),
	}
	if lease%1000 == teamLease {
		made.budget.owner = budget.TeamOwner("search")
	}
	return made
}

func unitOfLease(lease int64) budget.Unit {
	if lease%100 == tokenLease {
		return budget.Tokens
	}
	return budget.USD
}

const windowLength = time.Hour

func (m *purseModel) ends() time.Time {
	return time.Unix(0, 0).Add(time.Duration(m.window+1) * windowLength)
}

func (m *purseModel) takeBack(returned []charge) {
	for _, one := range returned {
		m.back[one.slice.lease] += one.amount.Nano()
	}
}

// grant is a draw whose answer arrives, or does not.
func (m *purseModel) grant(t *rapid.T) {
	key := drawSpender(t)
	lost := rapid.Bool().Draw(t, "lost")
	version := m.versions[key.route] - rapid.Int64Range(0, 1).Draw(t, "stale")
	answer := []granted{}
	for _, lease := range m.leasesOf(key) {
		m.granted[lease] += rapid.Int64Range(0, 1000).Draw(t, "more")
		answer = append(answer, m.grantedOf(lease, m.granted[lease]))
	}
	if lost {
		return
	}
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		m.purse.learn(m.now, key, version, answer)
	}
	for _, lease := range m.leasesOf(key) {
		m.heard[lease] = m.granted[lease]
	}
}

// repeat is an answer of an earlier moment that comes late.
func (m *purseModel) repeat(t *rapid.T) {
	key := drawSpender(t)
	answer := []granted{}
	for _, lease := range m.leasesOf(key) {
		old := rapid.Int64Range(0, m.heard[lease]).Draw(t, "old")
		answer = append(answer, m.grantedOf(lease, old))
	}
	m.purse.learn(m.now, key, m.versions[key.route], answer)
}

func (m *purseModel) take(t *rapid.T) {
	key, amount := drawSpender(t), drawAmounts(t, 600)
	if taken, enough := m.purse.take(m.now, key, amount); enough {
		for _, s := range taken {
			if !coverageOfLease(s.lease).Covers(key.upstream) {
				t.Fatalf("a request to %s is held in lease %d", key.upstream, s.lease)
			}
		}
		m.holds = append(m.holds, purseHold{key: key, slices: taken, amount: amount})
	}
}

func (m *purseModel) settle(t *rapid.T) {
	if len(m.holds) == 0 {
		return
	}
	at := rapid.IntRange(0, len(m.holds)-1).Draw(t, "hold")
	hold := m.holds[at]
	m.holds = append(m.holds[:at], m.holds[at+1:]...)
	spent := drawAmounts(t, 800)
	m.takeBack(m.purse.end(m.now, hold.key, hold.slices, hold.amount, spent))
	for _, s := range hold.slices {
		m.back[s.lease] += min(spent[s.unit].Nano(), hold.amount[s.unit].Nano())
	}
}

func (m *purseModel) claim(t *rapid.T) {
	m.claims = append(m.claims, m.purse.claim(m.now, drawSpender(t), drawAmounts(t, 900)))
}

func (m *purseModel) unclaim(t *rapid.T) {
	if len(m.claims) == 0 {
		return
	}
	at := rapid.IntRange(0, len(m.claims)-1).Draw(t, "claim")
	m.takeBack(m.purse.unclaim(m.now, m.claims[at]))
	m.claims = append(m.claims[:at], m.claims[at+1:]...)
}

// edit is a route that is put again, of which a heartbeat tells.
func (m *purseModel) edit(t *rapid.T) {
	m.versions[rapid.SampledFrom(purseRoutes).Draw(t, "route")]++
	for _, route := range m.purse.outdated(maps.Clone(m.versions)) {
		m.takeBack(m.purse.forgetRoute(m.now, route))
	}
}

func (m *purseModel) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "time")))
	m.window = m.now.Unix() / int64(windowLength.Seconds())
	m.takeBack(m.purse.tidy(m.now))
}

func (m *purseModel) recall(t *rapid.T) {
	leases := m.leasesOf(drawSpender(t))
	m.takeBack(m.purse.recall(m.now, leases[rapid.IntRange(0, len(leases)-1).Draw(t, "lease")]))
}

// check adds up what is here.
func (m *purseModel) check(t *rapid.T) {
	here := map[int64]int64{}
	for lease, s := range m.purse.slices {
		if s.free.IsNegative() || s.held < 0 || s.lease != lease {
			t.Fatalf("lease %d has %v free and %d holds", lease, s.free.Nano(), s.held)
		}
		here[lease] += s.free.Nano()
	}
	flight := map[spenderKey]int64{}
	for _, hold := range m.holds {
		flight[hold.key] += hold.amount[budget.USD].Nano()
		for _, s := range hold.slices {
			here[s.lease] += hold.amount[s.unit].Nano()
			m.inPurse(t, s)
		}
	}
	for _, claimed := range m.claims {
		for _, one := range claimed {
			here[one.slice.lease] += one.amount.Nano()
			m.inPurse(t, one.slice)
		}
	}
	for lease, granted := range m.heard {
		if here[lease]+m.back[lease] != granted {
			t.Fatalf("lease %d: %d are here and %d went back, of %d that were granted", lease, here[lease], m.back[lease], granted)
		}
	}
	for payer, one := range m.purse.payers {
		for upstream, at := range one.spenders {
			key := spenderKey{payerKey: payer, upstream: upstream}
			if at.inFlight.Nano() != flight[key] {
				t.Fatalf("%v has %d in flight, want %d", key, at.inFlight.Nano(), flight[key])
			}
			delete(flight, key)
		}
		for _, s := range one.slices {
			if !s.closed && s != m.purse.slices[s.lease] {
				t.Fatalf("%v spends from a slice of lease %d that is not in the purse", payer, s.lease)
			}
		}
	}
	for key, nano := range flight {
		if nano != 0 {
			t.Fatalf("%v has nothing in flight, want %d", key, nano)
		}
	}
}

// inPurse checks that what comes back to a slice is not lost.
func (m *purseModel) inPurse(t *rapid.T, s *slice) {
	if m.purse.slices[s.lease] != s {
		t.Fatalf("something may come back to a slice of lease %d that is not in the purse", s.lease)
	}
}

// end lets everything come back and closes the purse: all that was heard of has gone back then.
func (m *purseModel) end(t *rapid.T) {
	for len(m.holds) > 0 {
		m.settle(t)
	}
	for len(m.claims) > 0 {
		m.unclaim(t)
	}
	m.takeBack(m.purse.abandon(m.now))
	m.check(t)
	if len(m.purse.slices) != 0 {
		t.Fatalf("%d slices are left", len(m.purse.slices))
	}
}

func TestThePurseConservesMoney(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &purseModel{
			now: time.Unix(0, 0), purse: newPurse(), granted: map[int64]int64{}, heard: map[int64]int64{}, back: map[int64]int64{},
			versions: map[Route]int64{purseRoutes[0]: 1, purseRoutes[1]: 1},
		}
		t.Repeat(map[string]func(*rapid.T){
			"grant": m.grant, "repeat": m.repeat, "take": m.take, "settle": m.settle, "claim": m.claim, "unclaim": m.unclaim,
			"edit": m.edit, "pass": m.pass, "recall": m.recall, "": m.check,
		})
		m.end(t)
	})
}
