package compile

import (
	"slices"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// Paths are those below the base URL at which clients find the model of a route that was completed, in the order of the API's operations.
// What only an upstream has that serves what budgets refuse is not among them.
func Paths(route *v1alpha1.ModelRoute) []string {
	reserved, has := reservedUpstreams(route), map[routeconfig.Endpoint]bool{}
	for _, upstream := range route.Spec.Upstreams {
		if reserved[upstream.Name] {
			continue
		}
		for _, endpoint := range endpoints(route.Spec.Model, upstream) {
			has[endpoint] = true
		}
	}
	var paths []string
	for _, operation := range openai.Operations() {
		if has[routeconfig.Endpoint(operation.Endpoint)] {
			paths = append(paths, operation.Path)
		}
	}
	return paths
}

// endpoints are what an upstream serves the model at, sorted: what the route says, or what the provider is known to have.
func endpoints(model v1alpha1.Model, upstream v1alpha1.Upstream) []routeconfig.Endpoint {
	has := upstream.Endpoints
	switch {
	case len(has) > 0:
	case slices.Contains(model.OutputModalities, v1alpha1.OutputEmbeddings):
		has = []v1alpha1.Endpoint{v1alpha1.EndpointEmbeddings}
	default:
		has = endpointsOf(upstream.Provider)
	}
	compiled := make([]routeconfig.Endpoint, 0, len(has))
	for _, endpoint := range has {
		compiled = append(compiled, routeconfig.Endpoint(endpoint))
	}
	slices.Sort(compiled)
	return compiled
}

// endpointsOf are those that a provider has for models of text. Every one of them has chat.
func endpointsOf(provider v1alpha1.Provider) []v1alpha1.Endpoint {
	has := []v1alpha1.Endpoint{v1alpha1.EndpointChatCompletions}
	switch provider {
	case v1alpha1.ProviderOpenRouter:
		return append(has, v1alpha1.EndpointCompletions, v1alpha1.EndpointResponses, v1alpha1.EndpointMessages)
	case v1alpha1.ProviderOpenAI:
		return append(has, v1alpha1.EndpointResponses)
	case v1alpha1.ProviderOpenAICompatible:
		return append(has, v1alpha1.EndpointCompletions)
	case v1alpha1.ProviderMistral:
	}
	return has
}
