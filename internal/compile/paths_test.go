package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

func TestPathsAreThoseOfTheUpstreamsThatServeOrdinaryRequests(t *testing.T) {
	route := func(budgets []v1alpha1.Budget, model v1alpha1.Model, upstreams ...v1alpha1.Upstream) *v1alpha1.ModelRoute {
		return &v1alpha1.ModelRoute{Spec: v1alpha1.ModelRouteSpec{Model: model, Upstreams: upstreams, Budgets: budgets}}
	}
	openRouter := v1alpha1.Upstream{Name: "first", Provider: v1alpha1.ProviderOpenRouter}
	mistral := v1alpha1.Upstream{Name: "second", Provider: v1alpha1.ProviderMistral}
	tasks := v1alpha1.Upstream{Name: "third", Provider: v1alpha1.ProviderOpenAI, Endpoints: []v1alpha1.Endpoint{v1alpha1.EndpointResponses}}
	toOpenRouter := []v1alpha1.Budget{{Name: "monthly", WhenExhausted: v1alpha1.WhenExhausted{Upstream: "first"}}}
	embeds := v1alpha1.Model{OutputModalities: []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings}}
	cases := map[string]struct {
		route *v1alpha1.ModelRoute
		want  []string
	}{
		"what the provider has": {route(nil, v1alpha1.Model{}, openRouter),
			[]string{"/chat/completions", "/completions", "/responses", "/messages"}},
		"what any of them has":      {route(nil, v1alpha1.Model{}, mistral, tasks), []string{"/chat/completions", "/responses"}},
		"a reserve does not count":  {route(toOpenRouter, v1alpha1.Model{}, openRouter, mistral), []string{"/chat/completions"}},
		"a model of embeddings":     {route(nil, embeds, openRouter), []string{"/embeddings"}},
		"a route without upstreams": {route(nil, v1alpha1.Model{}), nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, compile.Paths(test.route)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
