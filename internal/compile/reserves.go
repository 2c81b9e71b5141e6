package compile

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// reserves are the upstreams that serve what budgets refuse, sorted by budget.
func reserves(budgets []v1alpha1.Budget) []routeconfig.Reserve {
	var named []routeconfig.Reserve
	for _, budget := range budgets {
		if budget.WhenExhausted.Upstream != "" {
			named = append(named, routeconfig.Reserve{Budget: budget.Name, Upstream: budget.WhenExhausted.Upstream})
		}
	}
	slices.SortFunc(named, func(a, b routeconfig.Reserve) int { return cmp.Compare(a.Budget, b.Budget) })
	return named
}

// reservedUpstreams are the upstreams that any budget of the route or of its consumers names.
func reservedUpstreams(route *v1alpha1.ModelRoute) map[string]bool {
	named := reserves(route.Spec.Budgets)
	for _, consumer := range route.Spec.Consumers {
		named = append(named, reserves(consumer.Budgets)...)
	}
	reserved := make(map[string]bool, len(named))
	for _, one := range named {
		reserved[one.Upstream] = true
	}
	return reserved
}

// validateReserves checks that each budget's reserve is there, and that an upstream is left for the other requests.
func validateReserves(route *v1alpha1.ModelRoute, spec *field.Path) field.ErrorList {
	ordinary := map[string]bool{}
	for _, upstream := range route.Spec.Upstreams {
		ordinary[upstream.Name] = true
	}
	errs := validateReservesOf(route.Spec.Budgets, ordinary, spec.Child("budgets"))
	for i, consumer := range route.Spec.Consumers {
		errs = append(errs, validateReservesOf(consumer.Budgets, ordinary, spec.Child("consumers").Index(i).Child("budgets"))...)
	}
	for name := range reservedUpstreams(route) {
		delete(ordinary, name)
	}
	if len(ordinary) == 0 && len(route.Spec.Upstreams) > 0 {
		errs = append(errs, field.Invalid(spec.Child("upstreams"), len(route.Spec.Upstreams),
			"every upstream is named by a whenExhausted and serves only what a budget refuses: add one that serves the other requests"))
	}
	for i, upstream := range route.Spec.Upstreams {
		errs = append(errs, refuseReserves(upstream.Budgets, spec.Child("upstreams").Index(i).Child("budgets"))...)
	}
	return errs
}

func validateReservesOf(budgets []v1alpha1.Budget, upstreams map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, budget := range budgets {
		if budget.WhenExhausted.Upstream == "" {
			continue
		}
		path := path.Index(i).Child("whenExhausted")
		if !upstreams[budget.WhenExhausted.Upstream] {
			errs = append(errs, field.Invalid(path.Child("upstream"), budget.WhenExhausted.Upstream,
				"is none of the route's upstreams: name one of spec.upstreams"))
		}
		if budget.Enforcement != v1alpha1.EnforcementDeny {
			errs = append(errs, field.Forbidden(path, "a budget that only warns refuses nothing: set enforcement to Deny"))
		}
	}
	return errs
}

func refuseReserves(budgets []v1alpha1.Budget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, budget := range budgets {
		if budget.WhenExhausted.Upstream != "" {
			errs = append(errs, field.Forbidden(path.Index(i).Child("whenExhausted"),
				"requests go to the next upstream of the route by themselves when an upstream's budget is used up"))
		}
	}
	return errs
}
