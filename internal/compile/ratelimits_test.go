package compile_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func TestEachLimitThatIsSetIsAnAccountThatDenies(t *testing.T) {
	perMinute := func(requests, tokens *int64) v1alpha1.RateLimit {
		return v1alpha1.RateLimit{Name: "per-minute", PeriodSeconds: 60, Requests: requests, Tokens: tokens}
	}
	account := func(unit ledgerpb.Unit, limit int64) *ledgerpb.Budget {
		return &ledgerpb.Budget{
			Ref: &ledgerpb.BudgetRef{Consumer: "search", Name: "per-minute", Unit: unit}, Limit: limit,
			Period: ledgerpb.Period_PERIOD_SECONDS, PeriodSeconds: 60, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
		}
	}
	requests, tokens := ledgerpb.Unit_UNIT_REQUESTS, ledgerpb.Unit_UNIT_TOKENS
	for name, test := range map[string]struct {
		reason string
		limit  v1alpha1.RateLimit
		want   []*ledgerpb.Budget
	}{
		"both": {"they are counted apart", perMinute(new(int64(600)), new(int64(400_000))),
			[]*ledgerpb.Budget{account(requests, 600), account(tokens, 400_000)}},
		"requests alone": {"tokens are not limited", perMinute(new(int64(600)), nil), []*ledgerpb.Budget{account(requests, 600)}},
		"tokens alone": {"requests are not limited", perMinute(nil, new(int64(400_000))),
			[]*ledgerpb.Budget{account(tokens, 400_000)}},
		"no requests allowed": {"0 is a limit, and not the absence of one", perMinute(new(int64(0)), nil),
			[]*ledgerpb.Budget{account(requests, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Consumers = []v1alpha1.Consumer{{Name: "search", RateLimits: []v1alpha1.RateLimit{test.limit}}}
			request, err := compile.Budgets(route, nil, nil, "server", noon)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, request.GetBudgets(), protocmp.Transform()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

func TestTheLedgerIsToldTheSameInWhateverOrderTheListsAre(t *testing.T) {
	limits := func() []v1alpha1.RateLimit {
		return []v1alpha1.RateLimit{
			{Name: "hourly", PeriodSeconds: 3600, Requests: new(int64(1)), Tokens: new(int64(2))},
			{Name: "per-minute", PeriodSeconds: 60, Requests: new(int64(3)), Tokens: new(int64(4))},
		}
	}
	budgets := func() []v1alpha1.Budget {
		return []v1alpha1.Budget{
			{Name: "hourly", Amount: "5", Window: v1alpha1.Window{Period: "Hour"}, Enforcement: v1alpha1.EnforcementDeny},
			{Name: "monthly", Amount: "6", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny},
		}
	}
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	route.Spec.Budgets, route.Spec.RateLimits = budgets(), limits()
	route.Spec.Consumers = []v1alpha1.Consumer{
		{Name: "a", Budgets: budgets(), RateLimits: limits()}, {Name: "b", Budgets: budgets(), RateLimits: limits()},
	}
	want, err := compile.Budgets(route, nil, nil, "server", noon)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		shuffled := route.DeepCopy()
		shuffle(shuffled.Spec.Budgets)
		shuffle(shuffled.Spec.RateLimits)
		shuffle(shuffled.Spec.Consumers)
		for i := range shuffled.Spec.Consumers {
			shuffle(shuffled.Spec.Consumers[i].Budgets)
			shuffle(shuffled.Spec.Consumers[i].RateLimits)
		}
		got, err := compile.Budgets(shuffled, nil, nil, "server", noon)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Fatalf("another order tells the ledger something else (-want +got):\n%s", diff)
		}
	}
}

func TestRequestsMustHaveABoundWhen(t *testing.T) {
	budget := func(enforcement v1alpha1.Enforcement) []v1alpha1.Budget {
		return []v1alpha1.Budget{{Name: "b", Amount: "1", Window: v1alpha1.Window{Period: "Day"}, Enforcement: enforcement}}
	}
	for name, test := range map[string]struct {
		budgets []v1alpha1.Budget
		limits  []v1alpha1.RateLimit
		want    bool
	}{
		"ABudgetDenies":          {budget(v1alpha1.EnforcementDeny), nil, true},
		"ARateLimitCountsTokens": {nil, []v1alpha1.RateLimit{{Name: "a", Tokens: new(int64(1))}}, true},
		"OneOfSeveralRateLimitsDoes": {nil,
			[]v1alpha1.RateLimit{{Name: "a", Requests: new(int64(1))}, {Name: "b", Tokens: new(int64(0))}}, true},
		"NotWhenABudgetWarns":             {budget(v1alpha1.EnforcementWarn), nil, false},
		"NotWhenARateLimitCountsRequests": {nil, []v1alpha1.RateLimit{{Name: "a", Requests: new(int64(1))}}, false},
		"NotWhenNothingIsLimited":         {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
			route.Spec.Budgets, route.Spec.RateLimits = test.budgets, test.limits
			route.Spec.Consumers = []v1alpha1.Consumer{{Name: "one"}, {Name: "other", Budgets: test.budgets, RateLimits: test.limits}}
			config, err := compile.Config(compile.Input{Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
			if err != nil {
				t.Fatal(err)
			}
			got := config.Routes[0]
			if got.Denies != test.want || got.Consumers[1].Denies != test.want || got.Consumers[0].Denies {
				t.Errorf("the route says %t, the consumer %t, one without limits %t",
					got.Denies, got.Consumers[1].Denies, got.Consumers[0].Denies)
			}
		})
	}
}

// What runs without an API server has no schema: it must refuse what the API server refuses.
func TestValidateAgreesWithTheSchemaOnRateLimits(t *testing.T) {
	type ruleCase struct {
		Why     string          `json:"why"`
		Message string          `json:"message,omitempty"`
		Patch   json.RawMessage `json:"patch"`
	}
	var rule struct {
		Rule   string     `json:"rule"`
		Accept []ruleCase `json:"accept"`
		Reject []ruleCase `json:"reject"`
	}
	content, err := os.ReadFile("../../test/crdcel/testdata/rule-rate-limits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, &rule); err != nil {
		t.Fatal(err)
	}
	for _, accepted := range rule.Accept {
		if err := validatePatched(t, accepted.Patch); err != nil {
			t.Errorf("%s is refused: %v", accepted.Why, err)
		}
	}
	for _, rejected := range rule.Reject {
		err := validatePatched(t, rejected.Patch)
		isEmptyList := rejected.Why == "an empty list" // Go cannot tell it from no list, and both mean the same.
		if err == nil && !isEmptyList {
			t.Errorf("%s is accepted", rejected.Why)
		}
		if err != nil && !strings.Contains(err.Error(), "rateLimits") {
			t.Errorf("%s is refused without the field: %v", rejected.Why, err)
		}
	}
	if len(rule.Accept) < 5 || len(rule.Reject) < 10 {
		t.Errorf("only %d and %d cases were found", len(rule.Accept), len(rule.Reject))
	}
}

// validatePatched reads the base with a merge patch and validates it.
func validatePatched(t *testing.T, patch []byte) error {
	t.Helper()
	base, err := os.ReadFile("../../test/crdcel/testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := yaml.YAMLToJSONStrict(base)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := jsonpatch.MergePatch(encoded, patch)
	if err != nil {
		t.Fatal(err)
	}
	route := &v1alpha1.ModelRoute{}
	if err := json.Unmarshal(merged, route); err != nil {
		return err
	}
	return compile.Validate(route).ToAggregate()
}
