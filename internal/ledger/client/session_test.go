package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

func TestASessionThatEndedIsOpenedAnew(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := start(t, l, journal.Options{})
	hold := reserve(t, c.Client, 600)
	began := time.Now()
	l.OpenSession(&ledgerpb.OpenSessionRequest{
		ProxyId: c.journal.ProxyID(), Routes: []*ledgerpb.RouteRef{{Namespace: "ai", Name: "chat"}},
	})
	settle(t, hold, 400, client.Exact)
	wantSpend(t, l, [3]int64{400, 0, 0})
	spend(t, c.Client, 600)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 1000})
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestABadTokenDoesNotEndTheSession(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	var token atomic.Pointer[string]
	good, bad := ledgertest.Key, "revoked"
	token.Store(&good)
	c := start(t, l, journal.Options{}, func(o *client.Options) {
		o.Token = func(context.Context) (string, error) { return *token.Load(), nil }
	})
	hold := reserve(t, c.Client, 600)
	token.Store(&bad)
	wantUnavailable(t, c.Client, 300)
	settle(t, hold, 600, client.Exact)
	wantSpend(t, l, [3]int64{600, 0, 0})
	token.Store(&good)
	spend(t, c.Client, 400)
}

// silenced starts a ledger that takes a proxy for silent soon, and a proxy with a hold of 300 whose wire is cut.
func silenced(t *testing.T) (*ledgertest.Ledger, *proxy, *wire, *client.Hold) {
	t.Helper()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond, Silence: time.Second})
	put(l, 1000)
	w := &wire{}
	c := start(t, l, journal.Options{}, w.through)
	hold := reserve(t, c.Client, 300)
	w.breaks(func(string) (bool, bool) { return true, true })
	eventually(t, func() string {
		if got := booksOf(l); got.Leased == 0 && got.Stranded >= 300 {
			return ""
		}
		return "the proxy's silence is not noticed"
	})
	return l, c, w, hold
}

func TestWhatIsOutWithASilentProxyIsUncertainUntilItReturns(t *testing.T) {
	t.Parallel()
	l, c, w, hold := silenced(t)
	other := l.NewClient("other", route)
	wantDenied(t, other, 700, client.Exhausted)
	w.heal()
	settle(t, hold, 200, client.Exact)
	spend(t, c.Client, 50)
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 250})
	spend(t, other, 750)
}

func TestAReleasedProxyGoesOnUnderAnotherIdentity(t *testing.T) {
	t.Parallel()
	l, c, w, hold := silenced(t)
	before := c.journal.ProxyID()
	eventually(t, func() string {
		if err := l.ReleaseProxy(before); err != nil {
			return err.Error()
		}
		return ""
	})
	wantBooks(t, l, books{})
	w.heal()
	// Nothing is drawn for the old identity, and what it drew is not its own any more: the request waits for the new one, which waits
	// for what is under way.
	wantUnavailable(t, c.Client, 900)
	settle(t, hold, 250, client.Exact)
	spend(t, c.Client, 700)
	if after := c.journal.ProxyID(); after == before {
		t.Error("it has the same identity")
	}
	closeClient(t, c.Client)
	wantBooks(t, l, books{Settled: 950})
}
