package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func runSessions(t *testing.T, open Open) {
	t.Run("a session is opened only for routes that the caller serves", func(t *testing.T) {
		b := newBooks(t, open)
		cases := map[string]struct {
			route    string
			identity string
			want     error
		}{
			"another identity":        {"chat", "system:serviceaccount:ai:other", store.ErrNotServer},
			"no identity":             {"chat", "", store.ErrNotServer},
			"a route not yet put":     {"later", server, store.ErrUnknownRoute},
			"the server of the route": {"chat", server, nil},
		}
		for reason, test := range cases {
			_, err := b.OpenSession(t.Context(), b.now(), store.NewSession{
				ProxyID: "other", Routes: []store.RouteKey{{Namespace: "ai", Name: test.route}}, Identity: test.identity,
			})
			if !errors.Is(err, test.want) {
				t.Errorf("%s: error %v, want %v", reason, err, test.want)
			}
		}
	})
	t.Run("a route that the caller does not serve keeps it from no other", func(t *testing.T) {
		b := newBooks(t, open)
		routes := []store.RouteKey{{Namespace: "ai", Name: "later"}, {Namespace: "ai", Name: "chat"}}
		opened, err := b.OpenSession(t.Context(), b.now(), store.NewSession{ProxyID: "other", Routes: routes, Identity: server})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(routes[:1], opened.LeftOut); diff != "" {
			t.Errorf("left out (-want +got):\n%s", diff)
		}
	})
	t.Run("epochs grow and the earlier session ends", func(t *testing.T) {
		b := newBooks(t, open)
		old := b.session
		b.proxy = b.open("proxy-1", "pod-1")
		if b.session.Epoch <= old.Epoch {
			t.Errorf("epoch %d follows %d", b.session.Epoch, old.Epoch)
		}
		b.wantUnknown(old)
	})
	t.Run("a session survives a restart", func(t *testing.T) {
		b := newBooks(t, open)
		old := b.session
		b.proxy = b.open("proxy-1", "pod-1")
		b.restart()
		b.draw("alice", "1")
		b.wantUnknown(old)
	})
	t.Run("what is not the session's own is refused", func(t *testing.T) {
		b := newBooks(t, open)
		for reason, change := range map[string]func(*store.Credential){
			"another token": func(c *store.Credential) { c.Token[0] ^= 1 },
			"another proxy": func(c *store.Credential) { c.ProxyID = "proxy-2" },
			"another epoch": func(c *store.Credential) { c.Epoch++ },
			"no token":      func(c *store.Credential) { c.Token = store.TokenHash{} },
		} {
			t.Run(reason, func(*testing.T) {
				wrong := b.session
				change(&wrong)
				b.wantUnknown(wrong)
			})
		}
	})
	t.Run("the log goes on over sessions, and the draws begin anew", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		leases := b.draw("alice", "0.25")
		b.draw("alice", "0.125")
		b.report(b.settled("0.0625", leases, "0.0625"), b.returned(leases[0], "0.0625"))
		b.proxy = b.open("proxy-1", "pod-1")
		if b.applied != 2 {
			t.Errorf("%d records are applied, want 2", b.applied)
		}
		again := b.draw("alice", "0.25") // A number that was used before, which must not pass for a repeat.
		if again[0].ID != leases[0].ID || again[0].Granted != dollars(t, "0.625") {
			t.Errorf("leases = %+v, want the same with 0.625 USD", again)
		}
		b.restart()
		b.proxy = b.open("proxy-1", "pod-1")
		if b.applied != 2 {
			t.Errorf("after a restart %d records are applied, want 2", b.applied)
		}
		b.report(releaseAll)
		b.wantSpend("", "total", spend(t, "0.0625", "0", "0"))
	})
	t.Run("a new session does not free what is out", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
		leases := b.draw("alice", "0.5")
		b.proxy = b.open("proxy-1", "pod-1")
		b.wantSpend("", "total", spend(t, "0", "0", "0.5"))
		b.report(b.settled("0.2", leases, "0.2"))
		b.wantSpend("", "total", spend(t, "0.2", "0", "0.3"))
	})
}

// wantUnknown expects every call with the credential to be refused.
func (b *books) wantUnknown(credential store.Credential) {
	b.t.Helper()
	ctx := b.t.Context()
	if _, err := b.Heartbeat(ctx, b.now(), credential, store.Beat{}); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Heartbeat: %v, want ErrUnknownSession", err)
	}
	draw := store.Draw{Sequence: 99, Identity: server, Demands: []store.Demand{b.demand("alice", "1")}}
	if _, err := b.Draw(ctx, b.now(), credential, draw); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Draw: %v, want ErrUnknownSession", err)
	}
	records := []store.Record{b.settled("1", nil, "0")}
	if _, err := b.Append(ctx, b.now(), credential, b.logged+1, records); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Append: %v, want ErrUnknownSession", err)
	}
	if settled := b.usage().Spend.Settled; !settled.IsZero() {
		b.t.Errorf("%s USD were booked by a call that was refused", settled)
	}
}

func runHeartbeats(t *testing.T, open Open) {
	t.Run("proxies are listed while they are heard", func(t *testing.T) { runProxies(t, open) })
	t.Run("what requests under way can cost is shown as held", func(t *testing.T) {
		b := newBooks(t, open, denies(t, "", "total", "9", budget.Total), warns(t, "alice", "own", "9", budget.Total))
		second := b.open("proxy-2", "pod-2")
		one := func(consumer, usd string) store.InFlight {
			return store.InFlight{Route: chat, Consumer: consumer, Amount: dollars(t, usd)}
		}
		b.draw("alice", "2")
		b.beat(store.Beat{InFlight: []store.InFlight{one("alice", "9")}})
		b.beat(store.Beat{InFlight: []store.InFlight{one("alice", "0.5"), one("bob", "0.25")}})
		second.beat(store.Beat{InFlight: []store.InFlight{one("alice", "0.125")}})
		want := func(all, alice, leased string) {
			t.Helper()
			b.wantSpend("", "total", store.Spend{Held: dollars(t, all), Leased: dollars(t, leased)})
			b.wantSpend("alice", "own", store.Spend{Held: dollars(t, alice)})
			usage := b.usage()
			if usage.Spend.Held != dollars(t, all) || usage.Consumers[0].Spend.Held != dollars(t, alice) {
				t.Errorf("usage = %+v, want %s USD held, %s by alice", usage, all, alice)
			}
		}
		want("0.875", "0.625", "2")
		b.advance(2 * time.Minute)
		second.beat(store.Beat{InFlight: []store.InFlight{one("alice", "0.125")}})
		want("0.125", "0.125", "2")
		second.beat(store.Beat{})
		want("0", "0", "2")
	})
}

func runProxies(t *testing.T, open Open) {
	b := newBooks(t, open)
	second := b.open("proxy-2", "pod-2")
	b.beat(store.Beat{ConfigHash: "one"})
	second.beat(store.Beat{ConfigHash: "two"})
	first := store.Proxy{ProxyID: "proxy-1", Instance: "pod-1", ConfigHash: "one", LastHeard: b.now()}
	both := []store.Proxy{first, {ProxyID: "proxy-2", Instance: "pod-2", ConfigHash: "two", LastHeard: b.now()}}
	if diff := cmp.Diff(both, b.usage().Proxies); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
	b.restart()
	if got := b.usage().Proxies; len(got) != 2 || got[0].ConfigHash != "one" {
		t.Errorf("after a restart the proxies are %+v", got)
	}
	b.advance(time.Hour)
	second.beat(store.Beat{ConfigHash: "three"})
	b.open("proxy-3", "pod-2").beat(store.Beat{ConfigHash: "four"})
	want := []store.Proxy{{ProxyID: "proxy-3", Instance: "pod-2", ConfigHash: "four", LastHeard: b.now()}}
	if diff := cmp.Diff(want, b.usage().Proxies); diff != "" {
		t.Errorf("proxies after an hour, with one restarted (-want +got):\n%s", diff)
	}
}

func runCompact(t *testing.T, open Open) {
	compact := func(b *books) {
		b.t.Helper()
		if err := b.Compact(t.Context(), b.now(), time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	b := newBooks(t, open, denies(t, "", "day", "9", budget.Day), denies(t, "alice", "own", "9", budget.Total))
	other := b.open("proxy-2", "pod-2")
	out, done := b.draw("alice", "0.5"), other.draw("bob", "0.25")
	b.report(b.returned(out[1], "0.5"))
	other.report(other.settled("0.125", done, "0.125"), other.returned(done[0], "0.125"))
	for range 3 {
		compact(b)
		if again := other.draw("bob", "0"); again[0].ID != done[0].ID {
			t.Errorf("a lease that was just used is forgotten: %+v", again)
		}
		b.wantSpend("", "day", spend(t, "0.125", "0", "0.5"))
		b.restart()
	}
	b.advance(48 * time.Hour)
	compact(b)
	fresh := other.draw("bob", "0.0625")
	if fresh[0].ID == done[0].ID || fresh[0].Granted != dollars(t, "0.0625") {
		t.Errorf("leases = %+v, want a new one", fresh)
	}
	b.put(denies(t, "", "day", "9", budget.Month), denies(t, "alice", "own", "9", budget.Total))
	b.wantSpend("", "day", spend(t, "0.125", "0", "0.5625"))
	b.report(b.settled("0.5", out, "0.5"))
	b.wantSpend("", "day", spend(t, "0.625", "0", "0.0625"))
	b.wantSpend("alice", "own", spend(t, "0.625", "0", "0"))
	other.report(other.settled("0.03125", done, "0.03125"))
	b.wantSpend("", "day", spend(t, "0.65625", "0", "0.0625"))
}
