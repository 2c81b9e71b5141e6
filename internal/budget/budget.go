// Package budget says what a budget means: when its windows begin and end, whose account it is, and how close to its
// limit it stands. It is pure: it reads no clock and keeps no state.
package budget

import (
	"slices"

	"github.com/modelroute/modelroute/internal/money"
)

// Enforcement is what happens to a request that a budget has no money for.
type Enforcement string

const (
	// Deny refuses the request.
	Deny Enforcement = "Deny"
	// Warn serves it, and shows the state of the budget.
	Warn Enforcement = "Warn"
)

// Scope names an account: what is spent under it counts against its budgets. It is made of names and not of UIDs, so
// that deleting and applying a route again does not forget what was spent.
type Scope string

// RouteScope is the account of everything that a route spends: "route/NAMESPACE/NAME".
func RouteScope(namespace, name string) Scope {
	return Scope("route/" + namespace + "/" + name)
}

// ConsumerScope is the account of what one consumer of a route spends: "consumer/NAMESPACE/ROUTE/CONSUMER".
func ConsumerScope(namespace, route, consumer string) Scope {
	return Scope("consumer/" + namespace + "/" + route + "/" + consumer)
}

// UpstreamScope is the account of what a route spends at one of its upstreams: "upstream/NAMESPACE/ROUTE/UPSTREAM".
func UpstreamScope(namespace, route, upstream string) Scope {
	return Scope("upstream/" + namespace + "/" + route + "/" + upstream)
}

// Coverage says at which upstreams of a route what is spent counts against a budget. It depends on nothing but the upstream's name, so that
// what a budget had to pay for can be summed up from the history at any time. The zero value covers all upstreams.
type Coverage struct {
	// Upstream is the only upstream that counts, of which it is the budget; empty for a budget of a route or of a consumer.
	Upstream string
	// Except is the upstream that does not count, because it serves what the budget refuses; empty if there is none.
	Except string
}

// Covers reports whether what is spent at the upstream counts.
func (c Coverage) Covers(upstream string) bool {
	return (c.Upstream == "" || c.Upstream == upstream) && (c.Except == "" || c.Except != upstream)
}

// State is how close to its limit a budget stands.
type State string

const (
	// WithinBudget is the state below the lowest alert.
	WithinBudget State = "WithinBudget"
	// Warning is the state from the lowest alert up to the limit.
	Warning State = "Warning"
	// Exhausted is the state once the whole limit is spent. A limit of nothing is exhausted from the start.
	Exhausted State = "Exhausted"
)

// defaultAlertPercent is the alert of a budget that names none.
const defaultAlertPercent = 80

// StateOf returns the state of a budget of which spent is gone. The alerts are percentages of the limit, in any order.
func StateOf(spent, limit money.Amount, alertPercents []int32) State {
	alert := int32(defaultAlertPercent)
	if len(alertPercents) > 0 {
		alert = slices.Min(alertPercents)
	}
	switch used := spent.PercentOf(limit); {
	case used >= 100:
		return Exhausted
	case used >= alert:
		return Warning
	}
	return WithinBudget
}
