package store

import (
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Held is what the requests under way can cost at most, by route, consumer and upstream.
type Held map[RouteKey]map[string]map[string]money.Amount

// Add counts requests.
func (h Held) Add(one InFlight) {
	if h[one.Route] == nil {
		h[one.Route] = map[string]map[string]money.Amount{}
	}
	at := h[one.Route][one.Consumer]
	if at == nil {
		at = map[string]money.Amount{}
		h[one.Route][one.Consumer] = at
	}
	at[one.Upstream] = at[one.Upstream].Add(one.Amount)
}

// Of is what the requests of a consumer can cost, or with none of all consumers of the route, at the upstreams that are covered.
func (h Held) Of(route RouteKey, consumer string, covered budget.Coverage) (sum money.Amount) {
	consumers := h[route]
	if consumer != "" {
		return coveredSum(consumers[consumer], covered)
	}
	for _, at := range consumers {
		sum = sum.Add(coveredSum(at, covered))
	}
	return sum
}

func coveredSum(at map[string]money.Amount, covered budget.Coverage) (sum money.Amount) {
	for upstream, amount := range at {
		if covered.Covers(upstream) {
			sum = sum.Add(amount)
		}
	}
	return sum
}
