package client

import (
	"strings"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// budgetName names a budget or rate limit among those that a route's requests are held in. At most one of owner, consumer and upstream is
// set; all are empty for one of the route itself.
type budgetName struct {
	owner                    budget.Owner
	consumer, upstream, name string
}

func nameOf(ref *ledgerpb.BudgetRef) budgetName {
	return budgetName{
		owner: budget.Owner(ref.GetOwner()), consumer: ref.GetConsumer(), upstream: ref.GetUpstream(), name: ref.GetName(),
	}
}

// String is route/NAME, consumer/NAME, upstream/NAME, team/NAME or key/NAME. The own name of the consumer, upstream, team or key is not in
// it: whoever reads it knows of which one it is.
func (n budgetName) String() string {
	switch {
	case n.owner != "":
		kind, _, _ := strings.Cut(string(n.owner), "/")
		return kind + "/" + n.name
	case n.consumer != "":
		return "consumer/" + n.name
	case n.upstream != "":
		return "upstream/" + n.name
	}
	return "route/" + n.name
}

// Balance is where a budget stands.
type Balance struct {
	// Budget is route/NAME, consumer/NAME, upstream/NAME, team/NAME or key/NAME.
	Budget string
	// Remaining is what could still be held, in nano-USD, as far as is known here without asking: what other proxies have drawn and not
	// used is not in it. It is never negative.
	Remaining money.Amount
}

// Tightest is the budget with the least remaining among those that the hold is held in; false if there is none.
func (h *Hold) Tightest() (Balance, bool) {
	c := h.client
	c.mu.Lock()
	defer c.mu.Unlock()
	var tightest *slice
	var remaining money.Amount
	for _, s := range h.slices {
		if s.unit != budget.USD {
			continue
		}
		if left := s.free.Add(s.told.free); tightest == nil || left.Cmp(remaining) < 0 {
			tightest, remaining = s, left
		}
	}
	if tightest == nil {
		return Balance{}, false
	}
	return Balance{Budget: tightest.budget.String(), Remaining: money.FromNano(max(remaining.Nano(), 0))}, true
}

// InFlight is what is held for requests under way.
type InFlight struct {
	// Holds counts the holds that are not settled; Amount is what they can cost together at most, in nano-USD.
	Holds  int
	Amount money.Amount
}

// InFlight is what is held now, for each route that has holds.
func (c *Client) InFlight() map[Route]InFlight {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := map[Route]InFlight{}
	for _, h := range c.holds {
		route := h.demand.key().route
		sum := held[route]
		held[route] = InFlight{Holds: sum.Holds + 1, Amount: sum.Amount.Add(h.demand.Amount)}
	}
	return held
}

// Waiting is how many reservations wait for the ledger.
func (c *Client) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}
