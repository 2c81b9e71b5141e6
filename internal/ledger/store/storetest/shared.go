package storetest

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

var (
	search   = budget.TeamOwner("search")
	ads      = budget.TeamOwner("ads")
	bot      = budget.KeyOwner("ai", "bot")
	image    = store.RouteKey{Namespace: "ai", Name: "image"}
	asSearch = member("alice", search)
)

func member(consumer string, owner budget.Owner) store.Member {
	return store.Member{Consumer: consumer, Owner: owner}
}

// of is the budget as one of the shared owner.
func of(owner budget.Owner, b store.Budget) store.Budget {
	b.Owner = owner
	return b
}

func (b *books) putShared(owner budget.Owner, budgets ...store.Budget) {
	b.t.Helper()
	if err := b.PutShared(b.t.Context(), store.Shared{Owner: owner, Budgets: budgets}); err != nil {
		b.t.Fatalf("PutShared: %v", err)
	}
}

// join makes consumers of a route members of shared owners.
func (b *books) join(route store.RouteKey, members ...store.Member) {
	b.t.Helper()
	b.putRoute(store.Route{
		Namespace: route.Namespace, Name: route.Name, Server: server, Consumers: []string{"alice", "bob"}, Members: members,
	})
}

// newShared makes books with two routes whose alice spends in the name of the team search, under its budgets.
func newShared(t *testing.T, open Open, budgets ...store.Budget) *books {
	t.Helper()
	b := newBooks(t, open)
	b.putShared(search, budgets...)
	b.join(chat, asSearch)
	b.join(image, asSearch)
	return b
}

// serving opens a session of a proxy that serves a route.
func (b *books) serving(route store.RouteKey, proxyID string) *proxy {
	b.t.Helper()
	token := sha256.Sum256([]byte(proxyID))
	opened, err := b.OpenSession(b.t.Context(), b.now(), store.NewSession{
		ProxyID: proxyID, Instance: proxyID, Routes: []store.RouteKey{route}, Identity: server, Token: token,
	})
	if err != nil {
		b.t.Fatalf("OpenSession: %v", err)
	}
	return &proxy{books: b, session: store.Credential{ProxyID: proxyID, Epoch: opened.Epoch, Token: token}}
}

// on is alice's demand on a route.
func (p *proxy) on(route store.RouteKey, usd string) store.Demand {
	demand := p.demand("alice", usd)
	demand.Route = route
	return demand
}

// spentOn settles an attempt of alice on a route, in the name of a team, for as much as is drawn for it now.
func (p *proxy) spentOn(route store.RouteKey, team, usd string) {
	p.t.Helper()
	answer := p.ask(p.on(route, usd))[0]
	if answer.Denial != nil || answer.Err != nil {
		p.t.Fatalf("a draw of %s USD on %s was answered with %+v, %v", usd, route.Name, answer.Denial, answer.Err)
	}
	p.report(p.settledOn(route, team, usd, answer.Leases))
}

func (p *proxy) settledOn(route store.RouteKey, team, usd string, leases []store.Lease) store.Record {
	p.t.Helper()
	record := p.settled(usd, leases, usd)
	record.Settlement.Route, record.Settlement.Team = route, team
	return record
}

// deniedOn expects alice's demand on a route to be refused.
func (p *proxy) deniedOn(route store.RouteKey, usd string, exhausted bool) *store.Denial {
	p.t.Helper()
	denial := p.ask(p.on(route, usd))[0].Denial
	if denial == nil || denial.Exhausted != exhausted {
		p.t.Fatalf("a draw of %s USD on %s: denial %+v, want one with exhausted = %t", usd, route.Name, denial, exhausted)
	}
	return denial
}

func (b *books) shared(owner budget.Owner) store.SharedUsage {
	b.t.Helper()
	usage, err := b.Usage(b.t.Context(), b.now(), b.now().Add(-time.Minute))
	if err != nil {
		b.t.Fatalf("Usage: %v", err)
	}
	for _, one := range usage.Shared {
		if one.Owner == owner {
			return one
		}
	}
	b.t.Fatalf("%s is not there: %+v", owner, usage.Shared)
	return store.SharedUsage{}
}

// wantShared compares what the owner's first budget has in its window.
func (b *books) wantShared(owner budget.Owner, want store.Spend) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.shared(owner).Budgets[0].Spend, amounts); diff != "" {
		b.t.Errorf("the budget of %s (-want +got):\n%s", owner, diff)
	}
}

func runShared(t *testing.T, open Open) {
	month := of(search, denies(t, "", "month", "1", budget.Month))
	t.Run("a budget holds over routes and proxies", func(t *testing.T) {
		b := newShared(t, open, month)
		other := b.serving(image, "proxy-2")
		b.spentOn(chat, "search", "0.5")
		other.spentOn(image, "search", "0.25")
		check := func() {
			b.t.Helper()
			b.wantShared(search, spend(t, "0.75", "0", "0"))
		}
		check()
		denial := other.deniedOn(image, "0.26", true)
		if denial.Owner != search || denial.Budget != "month" || denial.Remaining != dollars(t, "0.25") {
			t.Errorf("denial = %+v, want one that names the team's budget and what is left of it", denial)
		}
		b.made.Forget(b.Store)
		check()
		b.restart()
		check()
		other.spentOn(image, "search", "0.25")
		b.deniedOn(chat, "0.01", true)
	})
	t.Run("a proxy of two routes has one lease", func(t *testing.T) {
		b := newShared(t, open, month)
		first, second := b.ask(b.on(chat, "0.5"))[0].Leases, b.ask(b.on(image, "0.25"))[0].Leases
		if len(first) != 1 || len(second) != 1 || first[0].ID != second[0].ID || second[0].Granted != dollars(t, "0.75") {
			t.Errorf("leases %+v and %+v, want one with 0.75 USD", first, second)
		}
		both := b.ask(b.on(chat, "0.125"), b.on(image, "0.125"), b.on(chat, "0.125"))
		if both[0].Denial != nil || both[1].Denial != nil || both[2].Denial == nil {
			t.Errorf("three demands of 0.125 USD of the 0.25 that are left were answered with %+v", both)
		}
	})
	t.Run("a request takes of all accounts or of none", func(t *testing.T) { runNested(t, open) })
	t.Run("what lies with another route's proxy is recalled", func(t *testing.T) {
		b := newShared(t, open, month)
		other := b.serving(image, "proxy-2")
		lease := b.ask(b.on(chat, "0.75"))[0].Leases[0]
		other.deniedOn(image, "0.5", false)
		if pulse := b.beat(store.Beat{}); len(pulse.Recall) != 1 || pulse.Recall[0] != lease.ID {
			t.Errorf("recalled %v, want the lease %d", pulse.Recall, lease.ID)
		}
		b.report(b.returned(lease, "0.75"))
		other.spentOn(image, "search", "0.5")
	})
	t.Run("what a silent proxy has is uncertain, and a released one's is free", func(t *testing.T) {
		b := newShared(t, open, month)
		other := b.serving(image, "proxy-2")
		other.ask(other.on(image, "0.5"))
		b.advance(time.Minute)
		b.beat(store.Beat{})
		b.expire(1, "0.5")
		b.wantShared(search, spend(t, "0", "0.5", "0"))
		b.deniedOn(chat, "0.6", true)
		if freed, err := b.release("proxy-2"); err != nil || freed != dollars(t, "0.5").String() {
			t.Fatalf("released %s, %v", freed, err)
		}
		b.spentOn(chat, "search", "1")
	})
	t.Run("what is leased ahead of need leaves enough for the proxies of all routes", func(t *testing.T) {
		b := newShared(t, open, month)
		b.serving(image, "proxy-2")
		demand := b.on(chat, "0")
		demand.Want = dollars(t, "1")
		if got := b.ask(demand)[0].Leases[0]; got.Sharers != 2 || got.Granted != dollars(t, "0.25") {
			t.Errorf("%+v, want a quarter for one of two", got)
		}
	})
	t.Run("rate limits are shared, too", func(t *testing.T) {
		b := newShared(t, open, of(search, perMinute("", "all", budget.Requests, 2)))
		other := b.serving(image, "proxy-2")
		one := func(p *proxy, route store.RouteKey) *store.Denial {
			demand := p.on(route, "0")
			demand.Requests = 1
			return p.ask(demand)[0].Denial
		}
		if one(b.proxy, chat) != nil || one(other, image) != nil || one(b.proxy, chat) == nil {
			t.Error("want two requests, and no third")
		}
		b.join(chat, asSearch, member("bob", search))
		if one(b.proxy, chat) == nil {
			t.Error("a further member resets the limit")
		}
	})
	t.Run("a budget that only warns counts, and nothing is leased of it", func(t *testing.T) {
		b := newShared(t, open, of(search, warns(t, "", "soft", "0.25", budget.Month)))
		b.spentOn(chat, "search", "0.5")
		b.wantShared(search, spend(t, "0.5", "0", "0"))
	})
}

func runNested(t *testing.T, open Open) {
	b := newBooks(t, open)
	b.putShared(search, of(search, denies(t, "", "month", "4", budget.Month)))
	b.putShared(bot, of(bot, denies(t, "", "day", "2", budget.Day)))
	b.putRoute(store.Route{
		Namespace: "ai", Name: "chat", Server: server, Consumers: []string{"alice", "bob"},
		Members: []store.Member{asSearch, member("alice", bot)},
		Budgets: []store.Budget{denies(t, "", "all", "5", budget.Total), denies(t, "alice", "own", "3", budget.Total)},
	})
	b.spentOn(chat, "search", "1")
	if denial := b.deniedOn(chat, "1.5", true); denial.Owner != bot {
		t.Errorf("denied by %+v, want the key", denial)
	}
	b.wantSpend("", "all", spend(t, "1", "0", "0"))
	b.wantSpend("alice", "own", spend(t, "1", "0", "0"))
	b.wantShared(search, spend(t, "1", "0", "0"))
	b.wantShared(bot, spend(t, "1", "0", "0"))
	b.advance(24 * time.Hour)
	b.spentOn(chat, "search", "1.5")
	if denial := b.deniedOn(chat, "0.6", true); denial.Consumer != "alice" {
		t.Errorf("denied by %+v, want alice's own budget", denial)
	}
}

func runMembers(t *testing.T, open Open) {
	month := of(search, denies(t, "", "month", "1", budget.Month))
	t.Run("an owner that was never put", func(t *testing.T) {
		b := newBooks(t, open)
		err := b.PutRoute(t.Context(), store.Route{
			Namespace: "ai", Name: "image", Consumers: []string{"alice"}, Members: []store.Member{asSearch},
		})
		if !errors.Is(err, store.ErrUnknownOwner) {
			t.Fatalf("PutRoute: %v, want ErrUnknownOwner", err)
		}
		b.usage() // The route is not there.
	})
	t.Run("what was spent in a team's name before it had a budget counts", func(t *testing.T) {
		b := newBooks(t, open)
		b.report(b.settledOn(chat, "search", "0.25", nil), b.settledOn(chat, "ads", "0.5", nil), b.settledOn(chat, "", "0.5", nil))
		b.putShared(search, month)
		b.putShared(bot, of(bot, month))
		b.wantShared(search, spend(t, "0", "0", "0"))
		b.join(chat, asSearch, member("alice", bot))
		b.wantShared(search, spend(t, "0.25", "0", "0"))
		b.wantShared(bot, spend(t, "1.25", "0", "0"))
		b.join(chat)
		b.join(chat, asSearch)
		b.wantShared(search, spend(t, "0.25", "0", "0"))
	})
	t.Run("what is spent stays with the team in whose name it was", func(t *testing.T) {
		b := newShared(t, open, month)
		b.putShared(ads, of(ads, denies(t, "", "month", "1", budget.Month)))
		b.spentOn(chat, "search", "0.25")
		held := b.ask(b.on(chat, "0.5"))[0]
		if held.Team != "search" || len(held.Former) != 0 {
			t.Errorf("the answer has team %q, former %q", held.Team, held.Former)
		}
		b.join(chat, member("alice", ads))
		answer := b.ask(b.on(chat, "0.125"))[0]
		if answer.Team != "ads" || len(answer.Former) != 1 || answer.Former[0] != "search" || answer.Version <= held.Version {
			t.Errorf("the answer has version %d, team %q, former %q", answer.Version, answer.Team, answer.Former)
		}
		b.report(b.settledOn(chat, "search", "0.5", held.Leases), b.settledOn(chat, "ads", "0.125", answer.Leases))
		b.wantShared(search, spend(t, "0.75", "0", "0"))
		b.wantShared(ads, spend(t, "0.125", "0", "0"))
	})
	t.Run("nobody draws on a team, or counts on it, that does not name it", func(t *testing.T) {
		b := newShared(t, open, month)
		bob := b.demand("bob", "9")
		if answer := b.ask(bob)[0]; answer.Denial != nil || len(answer.Leases) != 0 {
			t.Errorf("bob was answered with %+v", answer)
		}
		record := b.settledOn(chat, "search", "0.5", nil)
		record.Settlement.Consumer = "bob"
		unknown := b.settledOn(chat, "search", "0.5", nil)
		unknown.Settlement.Consumer = "carol"
		b.report(record, unknown)
		b.wantShared(search, spend(t, "0", "0", "0"))
		demand := b.on(image, "0.1")
		b.drawn++
		draw := store.Draw{Sequence: b.drawn, After: b.logged, Identity: "system:serviceaccount:ai:other", Demands: []store.Demand{demand}}
		if answers, err := b.Draw(t.Context(), b.now(), b.session, draw); err != nil || !errors.Is(answers[0].Err, store.ErrNotServer) {
			t.Errorf("answers %+v, %v, want ErrNotServer", answers, err)
		}
	})
	t.Run("a route that goes leaves what it spent", func(t *testing.T) {
		b := newShared(t, open, month)
		b.spentOn(image, "search", "0.25")
		b.putRoute(store.Route{Namespace: "ai", Name: "image"})
		b.wantShared(search, spend(t, "0.25", "0", "0"))
		b.join(image, asSearch)
		b.wantShared(search, spend(t, "0.25", "0", "0"))
		b.spentOn(image, "search", "0.75")
		b.deniedOn(chat, "0.01", true)
	})
	t.Run("an edit gives every route that shares the owner another version", func(t *testing.T) {
		b := newShared(t, open, month)
		other := b.serving(image, "proxy-2")
		before, beforeThere := b.beat(store.Beat{}).Versions[chat], other.beat(store.Beat{}).Versions[image]
		b.putShared(search, month)
		if after := b.beat(store.Beat{}).Versions[chat]; after != before {
			t.Errorf("version %d after nothing was changed, want %d", after, before)
		}
		month.Limit = dollars(t, "0.5")
		b.putShared(search, month)
		after, afterThere := b.beat(store.Beat{}).Versions[chat], other.beat(store.Beat{}).Versions[image]
		if after == before || afterThere == beforeThere {
			t.Errorf("versions %d and %d are as before", after, afterThere)
		}
		b.deniedOn(chat, "0.6", true)
		b.restart()
		if again := b.beat(store.Beat{}).Versions[chat]; again != after {
			t.Errorf("version %d after a restart, want %d", again, after)
		}
		b.putShared(search)
		if answer := b.ask(b.on(chat, "9"))[0]; answer.Denial != nil || len(answer.Leases) != 0 {
			t.Errorf("with no budget any more: %+v", answer)
		}
	})
	t.Run("the spend is told by route, with what is held", func(t *testing.T) {
		b := newShared(t, open, month)
		b.join(image, asSearch, member("bob", search))
		b.spentOn(chat, "search", "0.25")
		b.spentOn(image, "search", "0.125")
		b.report(b.uncertain("0", nil, "0"))
		b.beat(store.Beat{InFlight: []store.InFlight{
			{Route: chat, Consumer: "alice", Amount: dollars(t, "0.0625")}, {Route: chat, Consumer: "bob", Amount: dollars(t, "8")},
			{Route: image, Consumer: "bob", Amount: dollars(t, "0.5")},
		}})
		held := func(settled, held string) store.Spend {
			return store.Spend{Settled: dollars(t, settled), Held: dollars(t, held)}
		}
		want := store.SharedUsage{
			Owner: search, Spend: held("0.375", "0.5625"),
			Routes: []store.RouteSpend{{Route: chat, Spend: held("0.25", "0.0625")}, {Route: image, Spend: held("0.125", "0.5")}},
		}
		got := b.shared(search)
		if got.Budgets[0].Spend.Held != dollars(t, "0.5625") {
			t.Errorf("the budget has %+v", got.Budgets[0].Spend)
		}
		got.Budgets = nil
		if diff := cmp.Diff(want, got, amounts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
