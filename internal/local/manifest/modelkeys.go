package manifest

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// resolveKeys checks the ModelKeys for what the schema cannot check, and gives them to the routes that they name.
func (o *objects) resolveKeys(routes []Route) {
	for _, one := range o.modelKeys {
		o.addAll(one.place, compile.ValidateKey(one.key))
		secretName := field.NewPath("spec", "secretName")
		whose := fmt.Sprintf("ModelKey %s/%s", one.key.Namespace, one.key.Name)
		o.addAll(one.place, o.checkDelivery(secretName, one.key.Namespace, compile.KeySecretName(one.key), whose))
		o.addAll(one.place, claim(one.key, routes))
	}
}

// unpriced says that a budget denies what has no price.
const unpriced = "a budget %s denies, and at one of the upstreams of ModelRoute %s no price is known: " +
	"write it in its spec.upstreams[].pricing"

// claim gives a ModelKey to the routes that it names, or says which of them it cannot have.
func claim(key *v1alpha1.ModelKey, routes []Route) field.ErrorList {
	var errs field.ErrorList
	models := map[string]string{}
	for i, ref := range compile.RouteRefs(key) {
		path, name := field.NewPath("spec", "routeRefs").Index(i), ref.Namespace+"/"+ref.Name
		at := slices.IndexFunc(routes, func(one Route) bool { return one.Namespace == ref.Namespace && one.Name == ref.Name })
		if at < 0 {
			errs = append(errs, field.Invalid(path, name, "there is no such ModelRoute in the files: add it, or take it from the list"))
			continue
		}
		route := &routes[at]
		if !allows(route.ModelRoute, key.Namespace) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf(
				"ModelRoute %s does not allow ModelKeys of namespace %s: have its spec.keys.allowedNamespaces include it",
				name, key.Namespace)))
			continue
		}
		if compile.DenyMoney(key.Spec.Budgets) && compile.IsUnpriced(route.ModelRoute) {
			errs = append(errs, field.Forbidden(path, fmt.Sprintf(unpriced, "of the ModelKey", name)))
		}
		for _, model := range append([]string{compile.ModelName(route.ModelRoute)}, route.Spec.Model.Aliases...) {
			if other, taken := models[model]; taken {
				errs = append(errs, field.Invalid(path, name, fmt.Sprintf(
					"has a model %q, as ModelRoute %s has, and here all routes share one listener: make a ModelKey for each",
					model, other)))
			}
			models[model] = name
		}
		route.ModelKeys = append(route.ModelKeys, key)
	}
	return errs
}

// allows is compile.Allows where namespaces have no labels: a selector lets every namespace in.
func allows(route *v1alpha1.ModelRoute, namespace string) bool {
	return route.Spec.Keys.AllowedNamespaces.From == v1alpha1.NamespacesSelector || compile.Allows(route, namespace, nil)
}
