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
	t.Run("epochs grow and the earlier session ends", func(t *testing.T) {
		b := newBooks(t, open)
		old := b.session
		b.session = b.open("proxy-1", "pod-1")
		if b.session.Epoch <= old.Epoch {
			t.Errorf("epoch %d follows %d", b.session.Epoch, old.Epoch)
		}
		b.wantUnknown(old)
	})
	t.Run("a session survives a restart", func(t *testing.T) {
		b := newBooks(t, open)
		old := b.session
		b.session = b.open("proxy-1", "pod-1")
		b.restart()
		b.hold("alice", "1")
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
	t.Run("proxies are listed while they are heard", func(t *testing.T) { runProxies(t, open) })
	t.Run("compacting forgets settled holds and no money", func(t *testing.T) { runCompact(t, open) })
	t.Run("a proxy that is long gone is closed, and opens anew when it comes back", func(t *testing.T) { runClosed(t, open) })
}

// wantUnknown expects every call with the credential to be refused.
func (b *books) wantUnknown(credential store.Credential) {
	b.t.Helper()
	ctx := b.t.Context()
	if err := b.Heartbeat(ctx, b.now(), credential, store.Beat{}); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Heartbeat: %v, want ErrUnknownSession", err)
	}
	if _, err := b.Reserve(ctx, b.now(), credential, b.demand("alice", "1")); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Reserve: %v, want ErrUnknownSession", err)
	}
	if _, err := b.Settle(ctx, b.now(), credential, []store.Settlement{b.settlement(1, "1")}); !errors.Is(err, store.ErrUnknownSession) {
		b.t.Errorf("Settle: %v, want ErrUnknownSession", err)
	}
}

func runProxies(t *testing.T, open Open) {
	b := newBooks(t, open)
	beat := func(session store.Credential, hash string) {
		if err := b.Heartbeat(t.Context(), b.now(), session, store.Beat{ConfigHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	second := b.open("proxy-2", "pod-2")
	beat(b.session, "one")
	beat(second, "two")
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
	beat(second, "three")
	restarted := b.open("proxy-3", "pod-2")
	beat(restarted, "four")
	want := []store.Proxy{{ProxyID: "proxy-3", Instance: "pod-2", ConfigHash: "four", LastHeard: b.now()}}
	if diff := cmp.Diff(want, b.usage().Proxies); diff != "" {
		t.Errorf("proxies after an hour, with one restarted (-want +got):\n%s", diff)
	}
}

func runCompact(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "9", budget.Total))
	old := b.session
	first := b.settlement(b.hold("alice", "0.5"), "0.5")
	b.settle(first)
	b.session = b.open("proxy-1", "pod-1")
	second, open2 := b.settlement(b.hold("alice", "0.25"), "0.25"), b.hold("alice", "1")
	b.settle(second)
	if err := b.Heartbeat(t.Context(), b.now(), b.session, store.Beat{SettledBelow: open2}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Compact(t.Context(), b.now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := b.settle(first, second); got.Repeated != 2 || got.Unmatched != 0 {
			t.Errorf("settled again = %+v, want 2 repeated", got)
		}
		again := b.demand("alice", "0.25")
		again.Sequence = second.Sequence
		if _, err := b.Reserve(t.Context(), b.now(), b.session, again); !errors.Is(err, store.ErrClosedHold) {
			t.Errorf("reserving a forgotten hold: %v, want ErrClosedHold", err)
		}
		b.wantSpend("", "total", spend(t, "0.75", "0", "1"))
		b.restart()
	}
	b.wantUnknown(old)
	b.settle(b.settlement(open2, "0.75"))
	b.wantSpend("", "total", spend(t, "1.5", "0", "0"))
}

func runClosed(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "9", budget.Total))
	done := b.settlement(b.hold("alice", "0.5"), "0.5")
	b.settle(done)
	lapsing := b.open("proxy-2", "pod-2")
	demand := b.demand("alice", "1")
	if _, err := b.Reserve(t.Context(), b.now(), lapsing, demand); err != nil {
		t.Fatal(err)
	}
	b.advance(48 * time.Hour)
	if _, err := b.ExpireSilent(t.Context(), b.now().Add(-30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := b.Compact(t.Context(), b.now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.wantUnknown(b.session)
	b.session = b.open("proxy-1", "pod-1")
	if got := b.settle(done); got.Repeated != 1 {
		t.Errorf("settled again after closing = %+v, want 1 repeated", got)
	}
	b.wantSpend("", "total", spend(t, "0.5", "1", "0"))
	late := store.Settlement{Epoch: lapsing.Epoch, Sequence: demand.Sequence, Amount: dollars(t, "0.75"), Route: chat, Consumer: "alice"}
	if _, err := b.Settle(t.Context(), b.now(), lapsing, []store.Settlement{late}); err != nil {
		t.Errorf("a session with an unsettled hold was closed: %v", err)
	}
	b.wantSpend("", "total", spend(t, "1.25", "0", "0"))
}
