package portal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
)

func routeWith(provider v1alpha1.Provider, parameters *v1alpha1.Parameters) *v1alpha1.ModelRoute {
	return &v1alpha1.ModelRoute{Spec: v1alpha1.ModelRouteSpec{
		Upstreams: []v1alpha1.Upstream{{Name: "first", Provider: provider}}, Parameters: parameters,
	}}
}

func namesOf(parameters []Parameter) map[string]bool {
	names := map[string]bool{}
	for _, one := range parameters {
		names[one.Name] = true
	}
	return names
}

func TestParametersAreThoseThatTheModelSupportsAndTheCompletionLimits(t *testing.T) {
	got := namesOf(parameters(openai.Chat, routeWith(v1alpha1.ProviderOpenRouter, nil), []string{"temperature", "of-another-list"}))
	if diff := cmp.Diff(map[string]bool{"temperature": true, "max_tokens": true, "max_completion_tokens": true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhereItIsNotKnownWhatTheModelSupportsAllThatAModelMaySupportIsThere(t *testing.T) {
	got := namesOf(parameters(openai.Chat, routeWith(v1alpha1.ProviderOpenRouter, nil), nil))
	if !got["temperature"] || !got["top_k"] || got["user"] || got["models"] {
		t.Errorf("they are %v", got)
	}
	if got := namesOf(parameters(openai.Chat, routeWith(v1alpha1.ProviderOpenAI, nil), nil)); got["top_k"] {
		t.Error("OpenAI has no top_k")
	}
}

func TestWhatARouteSetsIsThereAsItIsWritten(t *testing.T) {
	route := routeWith(v1alpha1.ProviderOpenRouter, &v1alpha1.Parameters{
		Defaults:  &v1alpha1.ParameterValues{Temperature: &apiextensionsv1.JSON{Raw: []byte("0.70")}, Stop: []string{"<end>"}},
		Overrides: &v1alpha1.ParameterValues{Seed: new(int64(0))},
		Limits:    v1alpha1.ParameterLimits{MaxCompletionTokens: 4096},
	})
	got := map[string]Parameter{}
	for _, one := range parameters(openai.Chat, route, []string{"temperature"}) {
		one.Values, one.About = "", ""
		got[one.Name] = one
	}
	want := map[string]Parameter{
		"temperature":           {Name: "temperature", Default: "0.70"},
		"stop":                  {Name: "stop", Default: `["\u003cend\u003e"]`},
		"seed":                  {Name: "seed", Always: "0"},
		"max_tokens":            {Name: "max_tokens", Most: "4,096"},
		"max_completion_tokens": {Name: "max_completion_tokens", Most: "4,096"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRateLimitsAreSentences(t *testing.T) {
	got := rateLimits([]v1alpha1.RateLimit{
		{Name: "a", PeriodSeconds: 60, Requests: new(int64(600)), Tokens: new(int64(400000))},
		{Name: "b", PeriodSeconds: 3600, Requests: new(int64(0))},
		{Name: "c", PeriodSeconds: 1, Requests: new(int64(2))},
		{Name: "d", PeriodSeconds: 90, Requests: new(int64(2))},
	})
	want := []string{
		"600 requests every minute", "400,000 tokens every minute", "0 requests every 60 minutes", "2 requests every second",
		"2 requests every 90 seconds",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
