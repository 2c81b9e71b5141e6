package compile_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func jsonText(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }

func TestBadParametersAreRefusedWithTheFieldAndWhatToDo(t *testing.T) {
	const unsupported = "is not in model.supportedParameters"
	cases := map[string]struct {
		reason     string
		parameters v1alpha1.Parameters
		edit       func(*v1alpha1.ModelRouteSpec)
		want       []string
	}{
		"a range that an older schema let in": {
			reason:     "every request would be refused",
			parameters: v1alpha1.Parameters{Overrides: &v1alpha1.ParameterValues{Temperature: jsonText("2.5")}},
			want:       []string{"spec.parameters.overrides.temperature", "a number from 0 to 2"},
		},
		"a value whose form the schema does not know": {
			reason:     "every request would be refused",
			parameters: v1alpha1.Parameters{Defaults: &v1alpha1.ParameterValues{ToolChoice: jsonText(`"sometimes"`)}},
			want:       []string{"spec.parameters.defaults.tool_choice", "upstream openrouter", "'none', 'auto'"},
		},
		"a parameter that the provider does not know": {
			reason:     "OpenAI refuses what it does not know",
			parameters: v1alpha1.Parameters{Defaults: &v1alpha1.ParameterValues{TopK: new(int32(40))}},
			edit:       func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams[0].Provider = v1alpha1.ProviderOpenAI },
			want:       []string{"spec.parameters.defaults.top_k", "not known to the upstream's provider"},
		},
		"a parameter that the model does not support": {
			reason:     "the route contradicts itself",
			parameters: v1alpha1.Parameters{Defaults: &v1alpha1.ParameterValues{TopK: new(int32(40))}},
			edit:       func(spec *v1alpha1.ModelRouteSpec) { spec.Model.SupportedParameters = []string{"temperature"} },
			want:       []string{"spec.parameters.defaults.top_k", unsupported},
		},
		"tools in defaults and in overrides": {
			reason: "CEL cannot see them",
			parameters: v1alpha1.Parameters{
				Defaults:  &v1alpha1.ParameterValues{Tools: []apiextensionsv1.JSON{*jsonText(`{"type":"function"}`)}},
				Overrides: &v1alpha1.ParameterValues{Tools: []apiextensionsv1.JSON{*jsonText(`{"type":"function"}`)}},
			},
			want: []string{"spec.parameters.overrides.tools", "is in defaults too"},
		},
		"limits that contradict each other": {
			reason: "what is in etcd may be older than the rules",
			parameters: v1alpha1.Parameters{
				Defaults:  &v1alpha1.ParameterValues{MaxCompletionTokens: 70_000},
				Overrides: &v1alpha1.ParameterValues{MaxCompletionTokens: 80_000},
				Limits:    v1alpha1.ParameterLimits{MaxCompletionTokens: 66_000},
			},
			want: []string{
				"spec.parameters.defaults.max_completion_tokens: Invalid value: 70000: is more than the 65536 tokens",
				"spec.parameters.overrides.max_completion_tokens: Invalid value: 80000: is more than the 65536 tokens",
				"spec.parameters.limits.max_completion_tokens: Invalid value: 66000: is more than the 65536 tokens",
				"is more than limits.max_completion_tokens", "nothing to lower", "is in defaults too",
			},
		},
		"a limit below nothing": {
			reason:     "what is in etcd may be older than the schema",
			parameters: v1alpha1.Parameters{Limits: v1alpha1.ParameterLimits{MaxCompletionTokens: -1}},
			want:       []string{"spec.parameters.limits.max_completion_tokens", "at least 1"},
		},
		"unsupported parameters of a model that supports all": {
			reason:     "it would do nothing",
			parameters: v1alpha1.Parameters{Unsupported: v1alpha1.UnsupportedDrop},
			want:       []string{"spec.parameters.unsupported", "list those that the model supports"},
		},
		"something else to do with unsupported parameters": {
			reason:     "a proxy would refuse the configuration",
			parameters: v1alpha1.Parameters{Unsupported: "Ignore"},
			edit:       func(spec *v1alpha1.ModelRouteSpec) { spec.Model.SupportedParameters = []string{"temperature"} },
			want:       []string{"spec.parameters.unsupported", `"Reject"`, `"Drop"`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Parameters = &tc.parameters
			if tc.edit != nil {
				tc.edit(&route.Spec)
			}
			errs := compile.Validate(route)
			if len(errs) == 0 {
				t.Fatalf("accepted, though %s", tc.reason)
			}
			text := errs.ToAggregate().Error()
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in: %s", want, text)
				}
			}
		})
	}
}

func TestARouteThatListsWhatItsModelSupportsRefusesTheRest(t *testing.T) {
	cases := map[string]struct {
		supported []string
		spec      *v1alpha1.Parameters
		want      routeconfig.Unsupported
	}{
		"no list":          {nil, nil, ""},
		"a list":           {[]string{"seed"}, nil, routeconfig.RejectUnsupported},
		"a list, and more": {[]string{"seed"}, &v1alpha1.Parameters{}, routeconfig.RejectUnsupported},
		"reject":           {[]string{"seed"}, &v1alpha1.Parameters{Unsupported: v1alpha1.UnsupportedReject}, routeconfig.RejectUnsupported},
		"drop":             {[]string{"seed"}, &v1alpha1.Parameters{Unsupported: v1alpha1.UnsupportedDrop}, routeconfig.DropUnsupported},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Model.SupportedParameters, route.Spec.Parameters = tc.supported, tc.spec
			config, err := compile.Config(compile.Input{Route: route})
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Routes[0].Unsupported; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheParametersOfTheAPIAreThoseThatTheProxiesLetARouteSet(t *testing.T) {
	fields := map[string]bool{}
	for field := range reflect.TypeFor[v1alpha1.ParameterValues]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = true
	}
	if diff := cmp.Diff(openai.Settable(), slices.Sorted(maps.Keys(fields))); diff != "" {
		t.Errorf("(-proxies +API):\n%s", diff)
	}
}

func TestANumberOfARouteKeepsItsText(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	values := `{"temperature":0.70,"top_p":1e-1,"seed":9007199254740993,"logit_bias":{"1":-1.50}}`
	route.Spec.Parameters = &v1alpha1.Parameters{Overrides: &v1alpha1.ParameterValues{}}
	if err := json.Unmarshal([]byte(values), route.Spec.Parameters.Overrides); err != nil {
		t.Fatal(err)
	}
	if encoded := string(encode(t, route)); !strings.Contains(encoded, `"overrides":[{"name":"logit_bias","value":{"1":-1.50}},`+
		`{"name":"seed","value":9007199254740993},{"name":"temperature","value":0.70},{"name":"top_p","value":1e-1}]`) {
		t.Errorf("the numbers changed: %s", encoded)
	}
}
