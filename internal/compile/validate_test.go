package compile_test

import (
	"strings"
	"testing"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

func TestInvalidRoutesAreRefusedWithTheFieldAndWhatToDo(t *testing.T) {
	monthly := v1alpha1.Budget{
		Name: "monthly", Amount: "1", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
	}
	cases := map[string]struct {
		reason string
		edit   func(*v1alpha1.ModelRouteSpec)
		want   []string
	}{
		"unknown time zone": {
			reason: "the API server does not know the names of time zones",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.Window.TimeZone = "Europe/Atlantis"
				spec.Budgets = []v1alpha1.Budget{budget}
			},
			want: []string{"spec.budgets[0].window", "Europe/Atlantis"},
		},
		"two consumers deliver to one Secret by default": {
			reason: "a default name can meet an explicit one, which CEL does not see",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{{Name: "a"}, {Name: "b", SecretName: "mixtral-8x22b-instruct-a"}}
			},
			want: []string{"spec.consumers[1].secretName", "also the Secret of consumer a"},
		},
		"a ServiceAccount of two consumers, named with and without its namespace": {
			reason: "its token would stand for both, and CEL does not know the route's namespace",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{
					{Name: "a", ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "crawler"}}},
					{Name: "b", ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "indexer"}, {Namespace: "default", Name: "crawler"}}},
				}
			},
			want: []string{"spec.consumers[1].serviceAccounts[1]", "default/crawler", "also that of consumer a"},
		},
		"a Secret and a rotation of a key that is not there": {
			reason: "what is in etcd may be older than the rules",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{{
					Name: "a", SecretName: "a", Rotation: v1alpha1.Rotation{IntervalDays: 1},
					ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "crawler"}},
				}}
			},
			want: []string{"spec.consumers[0].secretName: Forbidden", "spec.consumers[0].rotation: Forbidden"},
		},
		"a consumer's Secret is the upstream's": {
			reason: "it would overwrite the upstream's key",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{{Name: "a", SecretName: "openrouter"}}
			},
			want: []string{"spec.consumers[0].secretName", "upstream's API key"},
		},
		"an upstream has two keys": {
			reason: "an older schema may have let it in",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Upstreams[0].ProvisionedKey.ManagementKeySecretRef = v1alpha1.SecretKeyReference{Name: "management", Key: "key"}
			},
			want: []string{"spec.upstreams[0].provisionedKey", "take one of the two away"},
		},
		"an upstream has no key": {
			reason: "an older schema may have let it in",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Upstreams[0].APIKeySecretRef = v1alpha1.SecretKeyReference{}
			},
			want: []string{"spec.upstreams[0].apiKeySecretRef", "name the Secret"},
		},
		"a key is made elsewhere than at OpenRouter": {
			reason: "an older schema may have let it in",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Upstreams[0].Provider, spec.Upstreams[0].APIKeySecretRef = v1alpha1.ProviderOpenAI, v1alpha1.SecretKeyReference{}
				spec.Upstreams[0].ProvisionedKey.ManagementKeySecretRef = v1alpha1.SecretKeyReference{Name: "management", Key: "key"}
			},
			want: []string{"spec.upstreams[0].provisionedKey", "only OpenRouter"},
		},
		"a consumer's Secret is the endpoint's certificate": {
			reason: "it would overwrite the certificate",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{{Name: "a", SecretName: "endpoint"}}
				spec.Proxy = &v1alpha1.Proxy{ProxyPods: v1alpha1.ProxyPods{TLS: v1alpha1.TLS{SecretRef: v1alpha1.SecretReference{Name: "endpoint"}}}}
			},
			want: []string{"spec.consumers[0].secretName", "certificate of proxy.tls"},
		},
		"a consumer's Secret is the configuration's": {
			reason: "the proxies would read a key as their configuration",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Consumers = []v1alpha1.Consumer{{Name: "a", SecretName: "mixtral-8x22b-instruct.config"}}
			},
			want: []string{"spec.consumers[0].secretName", "proxies' configuration"},
		},
		"an amount that an older schema let in": {
			reason: "what is in etcd may be older than the schema",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.Amount = "5k"
				spec.Budgets = []v1alpha1.Budget{budget}
			},
			want: []string{"spec.budgets[0].amount", `such as "500.00"`},
		},
		"a reserve that is no upstream": {
			reason: "what is in etcd may be older than the rule",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.WhenExhausted = v1alpha1.WhenExhausted{Upstream: "elsewhere"}
				spec.Consumers = []v1alpha1.Consumer{{Name: "a", Budgets: []v1alpha1.Budget{budget}}}
			},
			want: []string{"spec.consumers[0].budgets[0].whenExhausted.upstream", "name one of spec.upstreams"},
		},
		"a budget that warns and has a reserve": {
			reason: "it refuses nothing",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.Enforcement = v1alpha1.EnforcementWarn
				budget.WhenExhausted = v1alpha1.WhenExhausted{Upstream: "cheap"}
				cheap := spec.Upstreams[0]
				cheap.Name = "cheap"
				spec.Upstreams, spec.Budgets = append(spec.Upstreams, cheap), []v1alpha1.Budget{budget}
			},
			want: []string{"spec.budgets[0].whenExhausted", "set enforcement to Deny"},
		},
		"reserves and nothing else": {
			reason: "nobody would serve the requests that no budget refuses",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.WhenExhausted = v1alpha1.WhenExhausted{Upstream: spec.Upstreams[0].Name}
				spec.Budgets = []v1alpha1.Budget{budget}
			},
			want: []string{"spec.upstreams", "add one that serves the other requests"},
		},
		"a reserve of an upstream's budget": {
			reason: "requests go to the next upstream anyway",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				cheap := spec.Upstreams[0]
				cheap.Name = "cheap"
				budget.WhenExhausted = v1alpha1.WhenExhausted{Upstream: "cheap"}
				spec.Upstreams = append(spec.Upstreams, cheap)
				spec.Upstreams[0].Budgets = []v1alpha1.Budget{budget}
			},
			want: []string{"spec.upstreams[0].budgets[0].whenExhausted", "by themselves"},
		},
		"an upstream's budget without an amount": {
			reason: "an upstream's budgets are budgets like others",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				budget := monthly
				budget.Amount = ""
				spec.Upstreams[0].Budgets = []v1alpha1.Budget{budget}
			},
			want: []string{"spec.upstreams[0].budgets[0].amount", `such as "500.00"`},
		},
		"a price that an older schema let in": {
			reason: "a model without a price would be free",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams[0].Pricing.Completion = "" },
			want:   []string{"spec.upstreams[0].pricing.completion", `such as "2.00"`},
		},
		"a price of the cache that is none": {
			reason: "what is read from the cache would be free",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams[0].Pricing.CachedPrompt = "half" },
			want:   []string{"spec.upstreams[0].pricing.cachedPrompt", `such as "2.00"`},
		},
		"a price of what the cache is given that is none": {
			reason: "it would be free",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams[0].Pricing.CacheWrite = "-1" },
			want:   []string{"spec.upstreams[0].pricing.cacheWrite", `such as "2.00"`},
		},
		"a price of requests that is none": {
			reason: "requests would be free",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams[0].Pricing.Request = "0.0000000001" },
			want:   []string{"spec.upstreams[0].pricing.request", `such as "0.005"`},
		},
		"no upstream": {
			reason: "nothing could be served",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams = nil },
			want:   []string{"spec.upstreams", "name the place that serves the model"},
		},
		"a rate limit that limits nothing": {
			reason: "it looks as if it did",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.RateLimits = []v1alpha1.RateLimit{{Name: "per-minute", PeriodSeconds: 60}}
			},
			want: []string{"spec.rateLimits[0]: Required value", "set requests, tokens, or both"},
		},
		"a rate limit over a week": {
			reason: "what is that long is a budget's business",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				weekly := v1alpha1.RateLimit{Name: "weekly", PeriodSeconds: 7 * 86400, Requests: new(int64(1))}
				spec.Consumers = []v1alpha1.Consumer{{Name: "a", RateLimits: []v1alpha1.RateLimit{weekly}}}
			},
			want: []string{"spec.consumers[0].rateLimits[0].periodSeconds", "between 1 and 86400 seconds"},
		},
		"rate limits beyond counting": {
			reason: "less than none and more than all is neither",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				limit := v1alpha1.RateLimit{Name: "a", PeriodSeconds: 60, Requests: new(int64(-1)), Tokens: new(int64(1_000_000_000_001))}
				spec.RateLimits = []v1alpha1.RateLimit{limit}
			},
			want: []string{"spec.rateLimits[0].requests", "spec.rateLimits[0].tokens", "leave it out for no limit"},
		},
		"two upstreams of one name": {
			reason: "nobody could tell them apart",
			edit:   func(spec *v1alpha1.ModelRouteSpec) { spec.Upstreams = append(spec.Upstreams, spec.Upstreams[0]) },
			want:   []string{"spec.upstreams[1].name: Duplicate value"},
		},
		"two rate limits of one name": {
			reason: "they would be one account",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				one := v1alpha1.RateLimit{Name: "per-minute", PeriodSeconds: 60, Requests: new(int64(1))}
				spec.RateLimits = []v1alpha1.RateLimit{one, one}
			},
			want: []string{"spec.rateLimits[1].name: Duplicate value"},
		},
		"several things at once": {
			reason: "one pass tells everything",
			edit: func(spec *v1alpha1.ModelRouteSpec) {
				spec.Model.ContextLength = 0
				spec.Budgets = []v1alpha1.Budget{monthly, monthly}
				spec.Consumers = []v1alpha1.Consumer{{Name: "a"}, {Name: "a"}}
			},
			want: []string{"spec.model.contextLength", "spec.budgets[1].name", "spec.consumers[1].name"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			tc.edit(&route.Spec)
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

func TestTheSamplesAreValid(t *testing.T) {
	for _, sample := range []string{
		"../../config/samples/mixtral-8x22b-instruct.yaml", "../../config/samples/rate-limits.yaml",
		"../../config/samples/when-exhausted.yaml",
		"../../test/crdcel/testdata/largest.yaml",
	} {
		if errs := compile.Validate(readRoute(t, sample)); len(errs) > 0 {
			t.Errorf("%s: %v", sample, errs.ToAggregate())
		}
	}
}
