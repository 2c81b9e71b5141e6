package portal

import (
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// consumers are those of the spec, and then those that only the status has: ModelKeys, where it shows them.
func consumers(route *v1alpha1.ModelRoute, now time.Time) []Consumer {
	shown := make([]Consumer, 0, len(route.Spec.Consumers))
	for _, spec := range route.Spec.Consumers {
		one := Consumer{
			Name: spec.Name, Team: spec.Team, RateLimits: rateLimits(spec.RateLimits),
			Budgets: budgets(spec.Budgets, nil, now),
		}
		if compile.HasKey(spec) {
			one.Secret = compile.SecretName(route, spec)
		}
		if i := statusOf(route, spec.Name); i >= 0 {
			one.fill(route.Status.Consumers[i], now)
			one.Budgets = budgets(spec.Budgets, route.Status.Consumers[i].Budgets, now)
		}
		shown = append(shown, one)
	}
	for _, status := range route.Status.Consumers {
		inSpec := slices.ContainsFunc(route.Spec.Consumers, func(spec v1alpha1.Consumer) bool { return spec.Name == status.Name })
		if !inSpec {
			one := Consumer{Name: status.Name}
			one.fill(status, now)
			shown = append(shown, one)
		}
	}
	return shown
}

// statusOf is the index of a consumer in the status, or less than 0.
func statusOf(route *v1alpha1.ModelRoute, name string) int {
	return slices.IndexFunc(route.Status.Consumers, func(status v1alpha1.ConsumerStatus) bool { return status.Name == name })
}

// fill adds what the status says of the consumer.
func (c *Consumer) fill(status v1alpha1.ConsumerStatus, now time.Time) {
	if status.SecretName != "" {
		c.Secret = status.SecretName
	}
	c.KeyID, c.ServiceAccounts, c.Spent = status.KeyID, status.ServiceAccounts, dollars(status.Spent)
	if status.LastUseTime != nil {
		c.LastUse = roughly(now.Sub(status.LastUseTime.Time)) + " ago"
	}
}

// sources say where a price is from.
var sources = map[v1alpha1.PricingSource]string{
	v1alpha1.PricingFromRoute:    "said by the route",
	v1alpha1.PricingFromUpstream: "from the upstream's list of models",
	v1alpha1.PricingBuiltIn:      "from the built-in catalog",
}

// upstreams are those of a route; served is the same, completed.
func upstreams(route, served *v1alpha1.ModelRoute, now time.Time) []Upstream {
	shown := make([]Upstream, 0, len(route.Spec.Upstreams))
	for i, spec := range route.Spec.Upstreams {
		at := compile.UpstreamModelOf(route, spec)
		one := Upstream{
			Name: spec.Name, Provider: string(spec.Provider), BaseURL: at.BaseURL, Model: at.ID,
			Price: price(served.Spec.Upstreams[i].Pricing), Reserve: isReserve(route, spec.Name), Tone: Neutral,
		}
		var status v1alpha1.UpstreamStatus
		if at := slices.IndexFunc(route.Status.Upstreams, func(s v1alpha1.UpstreamStatus) bool { return s.Name == spec.Name }); at >= 0 {
			status = route.Status.Upstreams[at]
		}
		one.Source = sources[status.PricingSource]
		one.Books, one.Tone = books(status)
		one.Compared = compared(status)
		one.Budgets = budgets(spec.Budgets, status.Budgets, now)
		shown = append(shown, one)
	}
	return shown
}

// books says whether what an upstream has billed is what was spent.
func books(status v1alpha1.UpstreamStatus) (string, Tone) {
	switch status.State {
	case v1alpha1.BooksAgreeing:
		return "Its books agree with ours", Good
	case v1alpha1.BooksDrifting:
		return "Its books and ours differ by " + dollars(status.Drift), Bad
	}
	return "", Neutral
}

// compared says what the books of an upstream and ours have since the comparison began. It is by the key, which other routes may have too.
func compared(status v1alpha1.UpstreamStatus) string {
	if status.Since == nil || status.Billed == "" || status.Settled == "" {
		return ""
	}
	return fmt.Sprintf("%s billed to its key and %s spent with it since %s", dollars(status.Billed), dollars(status.Settled),
		status.Since.UTC().Format(time.DateOnly))
}
