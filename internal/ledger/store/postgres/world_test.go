package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// opened opens a store that is closed with the test.
func opened(t testing.TB, options Options) *Store {
	t.Helper()
	if options.Now == nil {
		options.Now = time.Now
	}
	s, err := Open(t.Context(), options)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

var chat = store.RouteKey{Namespace: "ai", Name: "chat"}

// put puts the route ai/chat with a budget for ever of so many nano-USD.
func put(t testing.TB, s *Store, nano int64) {
	t.Helper()
	err := s.PutRoute(t.Context(), store.Route{
		Namespace: chat.Namespace, Name: chat.Name, Server: "server", Consumers: []string{"alice"},
		Budgets: []store.Budget{{Name: "total", Limit: money.FromNano(nano), Period: budget.Total, Enforcement: budget.Deny}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// client is a proxy as it keeps on calling: it knows what it was granted and keeps its log.
type client struct {
	credential store.Credential
	route      store.RouteKey
	// team is in whose name it spends; empty for nobody's.
	team    string
	drawn   int64
	log     []store.Record
	applied int64
	// lease is its one lease, of which granted is what it has learnt of.
	lease   int64
	granted int64
	// spent is what its log says.
	spent int64
}

func begin(ctx context.Context, s *Store, proxyID string, routes ...store.RouteKey) (*client, error) {
	if len(routes) == 0 {
		routes = []store.RouteKey{chat}
	}
	token := sha256.Sum256([]byte(proxyID))
	session := store.NewSession{ProxyID: proxyID, Instance: proxyID, Routes: routes, Identity: "server", Token: token}
	opened, err := s.OpenSession(ctx, time.Now(), session)
	if err != nil {
		return nil, err
	}
	return &client{
		credential: store.Credential{ProxyID: proxyID, Epoch: opened.Epoch, Token: token}, applied: opened.Applied, route: routes[0],
	}, nil
}

func began(t testing.TB, s *Store, proxyID string, routes ...store.RouteKey) *client {
	t.Helper()
	c, err := begin(t.Context(), s, proxyID, routes...)
	if err != nil {
		t.Fatalf("OpenSession: %v", err)
	}
	return c
}

// draw asks for an amount more than it has, under the same sequence until there is an answer.
func (c *client) draw(ctx context.Context, s *Store, nano int64) (granted bool, err error) {
	demand := store.Demand{Route: c.route, Consumer: "alice", Amount: money.FromNano(nano)}
	answers, err := s.Draw(ctx, time.Now(), c.credential, store.Draw{Sequence: c.drawn + 1, After: int64(len(c.log)), Identity: "server", Demands: []store.Demand{demand}})
	if err != nil {
		return false, err
	}
	c.drawn++
	answer := answers[0]
	if answer.Err != nil {
		return false, answer.Err
	}
	for _, l := range answer.Leases {
		if c.lease != 0 && c.lease != l.ID {
			return false, fmt.Errorf("lease %d follows %d", l.ID, c.lease)
		}
		c.lease, c.granted = l.ID, l.Granted.Nano()
	}
	return answer.Denial == nil, nil
}

// spend writes to the log that it has spent an amount.
func (c *client) spend(nano int64) {
	c.spent += nano
	c.log = append(c.log, store.Record{Settlement: &store.Settlement{
		Route: c.route, Consumer: "alice", Team: c.team, OpenedAt: time.Now(), Amount: money.FromNano(nano),
		Charges: []store.Charge{{Lease: c.lease, Amount: money.FromNano(nano)}},
	}})
}

// ship sends what of the log was not acknowledged.
func (c *client) ship(ctx context.Context, s *Store) error {
	got, err := s.Append(ctx, time.Now(), c.credential, c.applied+1, c.log[c.applied:])
	if err != nil {
		return err
	}
	if got.Applied != int64(len(c.log)) {
		return fmt.Errorf("%d of %d records are applied", got.Applied, len(c.log))
	}
	c.applied = got.Applied
	return nil
}

// spendOf is what the books have of the budget.
func spendOf(t testing.TB, s *Store) store.Spend {
	t.Helper()
	usage, err := s.Usage(t.Context(), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range usage.Routes {
		if one.Route == chat {
			if one.Budgets[0].Spend.Settled != one.Spend.Settled {
				t.Errorf("the budget has %+v, the route %+v", one.Budgets[0].Spend, one.Spend)
			}
			return one.Budgets[0].Spend
		}
	}
	t.Fatal("the route is not there")
	return store.Spend{}
}
