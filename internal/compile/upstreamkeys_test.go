package compile_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// fenced is a route with an upstream whose key is made, and a self-hosted one.
func fenced() *v1alpha1.ModelRoute {
	return &v1alpha1.ModelRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "chat", UID: types.UID("0f8fad5b-d9cb-469f-a165-70867728950e")},
		Spec: v1alpha1.ModelRouteSpec{Upstreams: []v1alpha1.Upstream{
			{Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter, ProvisionedKey: v1alpha1.ProvisionedKey{
				ManagementKeySecretRef: v1alpha1.SecretKeyReference{Name: "management", Key: "key"},
			}},
			{Name: "own", Provider: v1alpha1.ProviderOpenAICompatible, APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "own", Key: "key"}},
		}},
	}
}

func budgetOf(name string, amount v1alpha1.USD, period v1alpha1.Period) v1alpha1.Budget {
	return v1alpha1.Budget{Name: name, Amount: amount, Window: v1alpha1.Window{Period: period}, Enforcement: v1alpha1.EnforcementDeny}
}

func TestAKeyMaySpendALittleMoreThanTheTightestBudgetThatCountsWhatItSpends(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		reason string
		edit   func(*v1alpha1.ModelRouteSpec)
		want   string
	}{
		"no budget": {"nothing limits the route", func(*v1alpha1.ModelRouteSpec) {}, "none"},
		"a budget that denies": {"it is the fence's", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
		}, "110.00 USD monthly"},
		"a budget that warns": {"it denies nothing", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Budgets[0].Enforcement = v1alpha1.EnforcementWarn
		}, "none"},
		"a budget of the upstream": {"it is tighter", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Upstreams[0].Budgets = []v1alpha1.Budget{budgetOf("monthly", "50", "Month")}
		}, "55.00 USD monthly"},
		"a budget of another upstream": {"it does not count what is spent here", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Upstreams[1].Budgets = []v1alpha1.Budget{budgetOf("monthly", "50", "Month")}
		}, "none"},
		"a budget of a consumer": {"others may spend more", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Consumers = []v1alpha1.Consumer{{Name: "search", Budgets: []v1alpha1.Budget{budgetOf("monthly", "50", "Month")}}}
		}, "none"},
		"the upstream serves what the budget refuses": {"what is spent there does not count against it", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Budgets[0].WhenExhausted.Upstream = "openrouter"
		}, "none"},
		"another upstream serves what the budget refuses": {"what is spent here counts", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Budgets[0].WhenExhausted.Upstream = "own"
		}, "110.00 USD monthly"},
		"credits": {"those that have not expired count", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Budgets[0].Credits = []v1alpha1.Credit{
				{Name: "old", Amount: "1000", Reason: "r", ExpireTime: new(metav1.NewTime(now))},
				{Name: "new", Amount: "20", Reason: "r", ExpireTime: new(metav1.NewTime(now.Add(time.Second)))},
			}
		}, "132.00 USD monthly"},
		"more headroom": {"the route says so", func(spec *v1alpha1.ModelRouteSpec) {
			spec.Budgets = []v1alpha1.Budget{budgetOf("monthly", "100", "Month")}
			spec.Upstreams[0].ProvisionedKey.HeadroomPercent = 50
		}, "150.00 USD monthly"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := fenced()
			tc.edit(&route.Spec)
			limit, err := compile.UpstreamKeyLimit(route, route.Spec.Upstreams[0], now)
			if err != nil || limit.String() != tc.want {
				t.Errorf("%s: got %s, want %s (%v)", tc.reason, limit, tc.want, err)
			}
		})
	}
}

func TestTheNamesOfKeysAreThoseOfTheirRoute(t *testing.T) {
	route := fenced()
	name := compile.UpstreamKeyName(route, "openrouter")
	if name != "modelroute ai/chat openrouter 0f8fad5b-d9cb" {
		t.Errorf("the name is %q", name)
	}
	if !compile.IsUpstreamKeyName(route, name) || !compile.IsUpstreamKeyName(route, compile.UpstreamKeyName(route, "own")) {
		t.Error("a key of the route is not taken for one")
	}
	for _, edit := range []func(*v1alpha1.ModelRoute){
		func(r *v1alpha1.ModelRoute) { r.UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7" },
		func(r *v1alpha1.ModelRoute) { r.Name = "chat2" },
		func(r *v1alpha1.ModelRoute) { r.Namespace = "a" },
	} {
		other := fenced()
		edit(other)
		if compile.IsUpstreamKeyName(route, compile.UpstreamKeyName(other, "openrouter")) {
			t.Errorf("a key of %s/%s %s is taken for one of the route's", other.Namespace, other.Name, other.UID)
		}
	}
	for _, none := range []string{"", "modelroute ai/chat ", " 0f8fad5b-d9cb", strings.Replace(name, "openrouter ", "", 1)} {
		if compile.IsUpstreamKeyName(route, none) {
			t.Errorf("%q is taken for the name of a key", none)
		}
	}
}

func TestTheSecretOfAKeyIsNobodyElses(t *testing.T) {
	route := fenced()
	for _, upstream := range route.Spec.Upstreams {
		ref := compile.UpstreamKeySecret(route, upstream)
		want := map[string]v1alpha1.SecretKeyReference{
			"openrouter": {Name: "chat.upstream.openrouter", Key: "apiKey"}, "own": {Name: "own", Key: "key"},
		}[upstream.Name]
		if ref != want {
			t.Errorf("the key of %s is in %+v, want %+v", upstream.Name, ref, want)
		}
	}
	for secret, use := range map[string]string{
		"chat.upstream.openrouter": "API key", "chat.upstream.own": "API key", "own": "API key", "management": "management key",
	} {
		route := fenced()
		route.Spec.Consumers = []v1alpha1.Consumer{{Name: "search", SecretName: secret}}
		if errs := compile.Validate(route).ToAggregate(); errs == nil || !strings.Contains(errs.Error(), "is the Secret with the upstream's "+use) {
			t.Errorf("a consumer may have the Secret %s: %v", secret, errs)
		}
	}
}
