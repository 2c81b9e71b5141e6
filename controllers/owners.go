package controllers

import "github.com/modelroute/modelroute/api/v1alpha1"

// owner is who has budgets: the route if all are empty, one of its upstreams, one of its consumers, or a team.
type owner struct{ consumer, upstream, team string }

// owned are the budgets of an owner: what the spec says of them, and the figures.
type owned struct {
	owner
	specs    []v1alpha1.Budget
	statuses []v1alpha1.BudgetStatus
}

// owners are all owners of budgets in the order of the spec: the route, its upstreams, its consumers.
func owners(spec v1alpha1.ModelRouteSpec, of figures) []owned {
	all := make([]owned, 0, 1+len(spec.Upstreams)+len(spec.Consumers))
	all = append(all, owned{specs: spec.Budgets, statuses: of.Budgets})
	for _, upstream := range spec.Upstreams {
		all = append(all, owned{owner: owner{upstream: upstream.Name}, specs: upstream.Budgets, statuses: of.Upstreams[upstream.Name]})
	}
	for _, consumer := range spec.Consumers {
		all = append(all, owned{
			owner: owner{consumer: consumer.Name}, specs: consumer.Budgets, statuses: of.Consumers[consumer.Name].Budgets,
		})
	}
	return all
}
