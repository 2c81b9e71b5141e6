package manifest

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cabundle"
	"github.com/modelroute/modelroute/internal/compile"
)

// resolve checks the routes for what the schema cannot check, and gives them the keys of their upstreams.
func (o *objects) resolve(ctx context.Context) []Route {
	routes := make([]Route, 0, len(o.routes))
	for _, one := range o.routes {
		completed := o.complete(ctx, one.route)
		o.addAll(one.place, compile.Validate(completed.Route))
		o.addAll(one.place, o.checkConsumers(one.route))
		keys, errs := o.upstreamKeys(one.route)
		o.addAll(one.place, errs)
		authorities, errs := o.upstreamAuthorities(one.route)
		o.addAll(one.place, errs)
		routes = append(routes, Route{
			ModelRoute: completed.Route, SupportedParameters: completed.SupportedParameters,
			UpstreamKeys: keys, UpstreamAuthorities: authorities,
		})
	}
	return routes
}

// complete adds to a route what it leaves out, and shows it in the status.
func (o *objects) complete(ctx context.Context, route *v1alpha1.ModelRoute) compile.Completed {
	complete := o.reader.Complete
	if complete == nil {
		complete = func(_ context.Context, route *v1alpha1.ModelRoute, _ Authorities) compile.Completed {
			return compile.Complete(route, nil)
		}
	}
	completed := complete(ctx, route, func(way compile.Way) string {
		bundle, _ := o.bundle(way.CABundle, way.Namespace) // What is wrong with it is said of the route.
		return bundle
	})
	completed.Route.Status = v1alpha1.ModelRouteStatus{Upstreams: completed.Statuses(), Model: completed.ModelStatus()}
	return completed
}

// checkConsumers makes sure that each consumer's Secret is its own.
func (o *objects) checkConsumers(route *v1alpha1.ModelRoute) field.ErrorList {
	errs := make(field.ErrorList, 0, len(route.Spec.Consumers))
	for i, consumer := range route.Spec.Consumers {
		path := field.NewPath("spec", "consumers").Index(i).Child("secretName")
		whose := fmt.Sprintf("consumer %s of route %s/%s", consumer.Name, route.Namespace, route.Name)
		errs = append(errs, o.checkDelivery(path, route.Namespace, compile.SecretName(route, consumer), whose)...)
	}
	return errs
}

// checkDelivery makes sure that a Secret that is made for somebody is nobody else's.
func (o *objects) checkDelivery(path *field.Path, namespace, name, whose string) field.ErrorList {
	var errs field.ErrorList
	id := namespace + "/" + name
	if other, taken := o.delivered[id]; taken {
		errs = append(errs, field.Invalid(path, name, "is also the Secret of "+other+": give one of them another secretName"))
	}
	o.delivered[id] = whose
	if at, declared := o.declared[kindSecret+" "+id]; declared {
		errs = append(errs, field.Invalid(path, name, fmt.Sprintf(
			"is made for %s, and is declared in %s, document %d, as well: choose another secretName", whose, at.file, at.document)))
	}
	return errs
}

func (o *objects) upstreamKeys(route *v1alpha1.ModelRoute) (map[string]string, field.ErrorList) {
	keys := map[string]string{}
	var errs field.ErrorList
	for i, upstream := range route.Spec.Upstreams {
		if compile.IsProvisioned(upstream) {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "upstreams").Index(i).Child("provisionedKey"),
				"keys are made only in a cluster: name one of your own in apiKeySecretRef"))
			continue
		}
		ref := upstream.APIKeySecretRef
		key, problem := o.lookUp(SecretKey{route.Namespace, ref.Name, ref.Key})
		if problem != "" {
			path := field.NewPath("spec", "upstreams").Index(i).Child("apiKeySecretRef")
			errs = append(errs, field.Invalid(path, ref.Name+"/"+ref.Key, problem))
		}
		keys[upstream.Name] = key
	}
	return keys, errs
}

// upstreamAuthorities finds the certificates of the authorities that upstreams have beside those of the system, by the upstreams' names.
func (o *objects) upstreamAuthorities(route *v1alpha1.ModelRoute) (map[string]string, field.ErrorList) {
	bundles := map[string]string{}
	var errs field.ErrorList
	for i, upstream := range route.Spec.Upstreams {
		ref, has := compile.CABundle(upstream)
		if !has {
			continue
		}
		path := field.NewPath("spec", "upstreams").Index(i).Child("caBundleRef")
		bundle, problem := o.bundle(ref, route.Namespace)
		if problem == "" {
			if _, err := cabundle.Parse([]byte(bundle)); err != nil {
				problem = err.Error()
			}
		}
		if problem != "" {
			errs = append(errs, field.Invalid(path, ref.Name+"/"+ref.Key, problem))
		}
		bundles[upstream.Name] = bundle
	}
	return bundles, errs
}

// bundle finds what a reference names, or says what is wrong.
func (o *objects) bundle(ref v1alpha1.CABundleReference, namespace string) (bundle, problem string) {
	key := SecretKey{namespace, ref.Name, ref.Key}
	if value, given := o.reader.given[key]; given && ref.Kind == v1alpha1.CABundleSecret {
		return value, ""
	}
	values := o.configMaps
	if ref.Kind == v1alpha1.CABundleSecret {
		values = o.secrets
	}
	if value, found := values[key]; found {
		return value, ""
	}
	return "", fmt.Sprintf("there is no %s %s/%s with %q in the files: add it, with the certificates of the upstream's authorities in PEM",
		ref.Kind, namespace, ref.Name, ref.Key)
}

// lookUp finds a value, or says what is wrong.
func (o *objects) lookUp(key SecretKey) (value, problem string) {
	value, given := o.reader.given[key]
	found := given
	if !given {
		value, found = o.secrets[key]
	}
	_, declared := o.declared[kindSecret+" "+key.Namespace+"/"+key.Name]
	value = strings.TrimSpace(value)
	switch {
	case found && value != "":
		return value, ""
	case found:
		return "", "the upstream's API key is empty"
	case declared:
		return "", fmt.Sprintf(
			"Secret %s/%s has nothing under %q: put the upstream's API key there, or give it with --secret %s=env:VARIABLE",
			key.Namespace, key.Name, key.Key, key)
	}
	return "", fmt.Sprintf("there is no Secret %s/%s in the files: add it, or give its value with --secret %s=env:VARIABLE",
		key.Namespace, key.Name, key)
}
