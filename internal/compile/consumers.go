package compile

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// Consumer is somebody who may use a route: one of its spec's consumers, or a ModelKey that it admits. Inside they are the same.
type Consumer struct {
	// Name is that of the consumer, or NAMESPACE/NAME of the ModelKey: a name in a spec has no slash, so that they differ.
	Name, Team string
	// Budgets and RateLimits are those that the consumer has at this route. A ModelKey's are over all routes that it names: Key has them.
	Budgets    []v1alpha1.Budget
	RateLimits []v1alpha1.RateLimit
	// Key is nil for a consumer of the spec.
	Key *v1alpha1.ModelKey
	// ServiceAccounts are those whose tokens it has in the place of keys.
	ServiceAccounts []types.NamespacedName
	// Expires is when its keys or tokens are refused, in Unix seconds; 0 is never.
	Expires int64
}

// Consumers are all of a route's, in the order of its spec and then in that of the ModelKeys.
func Consumers(route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey) []Consumer {
	all := make([]Consumer, 0, len(route.Spec.Consumers)+len(modelKeys))
	for _, one := range route.Spec.Consumers {
		all = append(all, Consumer{
			Name: one.Name, Team: one.Team, Budgets: one.Budgets, RateLimits: one.RateLimits,
			ServiceAccounts: consumerAccounts(route, one),
		})
	}
	for _, one := range modelKeys {
		consumer := Consumer{
			Name: KeyConsumerName(one.Namespace, one.Name), Team: one.Spec.Team, Key: one, ServiceAccounts: KeyAccounts(one),
		}
		if at := one.Spec.ExpireTime; at != nil {
			consumer.Expires = at.Unix()
		}
		all = append(all, consumer)
	}
	return all
}

// KeyConsumerName is the name that a ModelKey has as a consumer: in configurations, in the ledger and in metrics.
func KeyConsumerName(namespace, name string) string { return namespace + "/" + name }

// denies reports whether the consumer's requests must have a bound, because of a budget or a rate limit of its own, of its ModelKey or of
// its team.
func (c Consumer) denies(teams Teams) bool {
	if team := teams[c.Team]; team != nil && denies(team.Spec.Budgets, nil) {
		return true
	}
	return denies(c.Budgets, c.RateLimits) || c.Key != nil && denies(c.Key.Spec.Budgets, c.Key.Spec.RateLimits)
}

// consumers are what the proxies are told of them, sorted by name.
func consumers(in Input) []routeconfig.Consumer {
	all := Consumers(in.Route, in.ModelKeys)
	compiled := make([]routeconfig.Consumer, 0, len(all))
	for _, consumer := range all {
		accepted := slices.Clone(in.Keys[consumer.Name])
		slices.SortFunc(accepted, func(a, b routeconfig.Key) int { return strings.Compare(a.ID, b.ID) })
		compiled = append(compiled, routeconfig.Consumer{
			Name: consumer.Name, Team: consumer.Team, Keys: accepted,
			ServiceAccounts: sortedAccounts(in.ServiceAccounts[consumer.Name]),
			Denies:          consumer.denies(in.Teams), Reserves: reserves(consumer.Budgets), Expires: consumer.Expires,
		})
	}
	slices.SortFunc(compiled, func(a, b routeconfig.Consumer) int { return strings.Compare(a.Name, b.Name) })
	return compiled
}
