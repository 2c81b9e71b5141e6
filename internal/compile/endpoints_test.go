package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestAnUpstreamHasTheEndpointsThatTheRouteSaysOrElseThoseOfItsProvider(t *testing.T) {
	const (
		chat, completions, embeddings = routeconfig.ChatCompletions, routeconfig.Completions, routeconfig.Embeddings
		messages, responses           = routeconfig.Messages, routeconfig.Responses
	)
	cases := map[string]struct {
		provider v1alpha1.Provider
		said     []v1alpha1.Endpoint
		produces []v1alpha1.OutputModality
		want     []routeconfig.Endpoint
	}{
		"OpenRouter":          {v1alpha1.ProviderOpenRouter, nil, nil, []routeconfig.Endpoint{chat, completions, messages, responses}},
		"OpenAI":              {v1alpha1.ProviderOpenAI, nil, nil, []routeconfig.Endpoint{chat, responses}},
		"a compatible server": {v1alpha1.ProviderOpenAICompatible, nil, nil, []routeconfig.Endpoint{chat, completions}},
		"Mistral":             {v1alpha1.ProviderMistral, nil, nil, []routeconfig.Endpoint{chat}},
		"a model of pictures": {v1alpha1.ProviderOpenAI, nil, []v1alpha1.OutputModality{"image"}, []routeconfig.Endpoint{chat, responses}},
		"a model of embeddings": {
			v1alpha1.ProviderOpenAI, nil, []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings}, []routeconfig.Endpoint{embeddings},
		},
		"the route says, in any order": {
			v1alpha1.ProviderOpenAI, []v1alpha1.Endpoint{"Embeddings", "Completions"}, nil, []routeconfig.Endpoint{completions, embeddings},
		},
		"the route says more than the model": {
			v1alpha1.ProviderOpenRouter, []v1alpha1.Endpoint{"ChatCompletions"}, []v1alpha1.OutputModality{v1alpha1.OutputEmbeddings},
			[]routeconfig.Endpoint{chat},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Model.OutputModalities = test.produces
			route.Spec.Upstreams[0].Provider, route.Spec.Upstreams[0].Endpoints = test.provider, test.said
			config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, config.Routes[0].Upstreams[0].Endpoints); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
