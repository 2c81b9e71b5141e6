package compile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

func modelKey(change func(*v1alpha1.ModelKey)) *v1alpha1.ModelKey {
	key := &v1alpha1.ModelKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: "search", Name: "crawler"},
		Spec:       v1alpha1.ModelKeySpec{RouteRefs: []v1alpha1.RouteReference{{Namespace: "ai-platform", Name: "chat"}}},
	}
	if change != nil {
		change(key)
	}
	return key
}

func TestAModelKeyIsAConsumerLikeAnyOther(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	route.Spec.Consumers = []v1alpha1.Consumer{{Name: "search"}}
	key := modelKey(func(key *v1alpha1.ModelKey) {
		key.Spec.Team = "search"
		key.Spec.ExpireTime = new(metav1.NewTime(time.Unix(2_000_000_000, 0)))
		key.Spec.Budgets = []v1alpha1.Budget{
			{Name: "all", Amount: "1.00", Window: v1alpha1.Window{Period: "Total"}, Enforcement: v1alpha1.EnforcementDeny},
		}
	})
	accepted := routeconfig.Key{ID: "k_1", SHA256: strings.Repeat("ab", 32)}
	config, err := compile.Config(compile.Input{
		Route: route, ModelKeys: []*v1alpha1.ModelKey{key}, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"},
		Keys: map[string][]routeconfig.Key{"search/crawler": {accepted}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []routeconfig.Consumer{
		{Name: "search"},
		{Name: "search/crawler", Team: "search", Keys: []routeconfig.Key{accepted}, Denies: true, Expires: 2_000_000_000},
	}
	if diff := cmp.Diff(want, config.Routes[0].Consumers); diff != "" {
		t.Errorf("consumers (-want +got):\n%s", diff)
	}
	encoded, err := routeconfig.Encode(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := routeconfig.Decode(encoded); err != nil {
		t.Errorf("a proxy refuses it: %v", err)
	}
	request, err := compile.Budgets(route, []*v1alpha1.ModelKey{key}, nil, "server", noon)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"search", "search/crawler"}, request.GetConsumers()); diff != "" {
		t.Errorf("the ledger's consumers (-want +got):\n%s", diff)
	}
	// Its budgets are over all routes that it names.
	if budgets := request.GetBudgets(); len(budgets) > 0 {
		t.Errorf("the budgets at the route are %v", budgets)
	}
	draws := []*ledgerpb.Member{{Consumer: "search/crawler", Owner: "key/search/crawler"}}
	if diff := cmp.Diff(draws, request.GetMembers(), protocmp.Transform()); diff != "" {
		t.Errorf("who draws on what (-want +got):\n%s", diff)
	}
	shared, err := compile.Shared(route, []*v1alpha1.ModelKey{key}, nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(shared) != 1 || shared[0].GetOwner() != "key/search/crawler" || shared[0].GetBudgets()[0].GetLimit() != 1_000_000_000 {
		t.Errorf("the shared budgets are %v", shared)
	}
	if next := compile.NextExpiry(route, []*v1alpha1.ModelKey{key}, nil, noon); next.Unix() != 2_000_000_000 {
		t.Errorf("the route is next looked at because of time at %s", next)
	}
}

func TestWhatIsWrongWithAModelKeyIsSaid(t *testing.T) {
	budget := v1alpha1.Budget{Name: "all", Amount: "1", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny}
	cases := map[string]struct {
		change func(*v1alpha1.ModelKey)
		want   string
	}{
		"Nothing": {},
		"A time zone that is not known": {func(key *v1alpha1.ModelKey) {
			key.Spec.Budgets = []v1alpha1.Budget{budget}
			key.Spec.Budgets[0].Window.TimeZone = "Europe/Atlantis"
		}, "spec.budgets[0].window"},
		"A budget that sends requests elsewhere": {func(key *v1alpha1.ModelKey) {
			key.Spec.Budgets = []v1alpha1.Budget{budget}
			key.Spec.Budgets[0].WhenExhausted.Upstream = "cheap"
		}, "spec.budgets[0].whenExhausted: Forbidden"},
		"A route that is named with and without its namespace": {func(key *v1alpha1.ModelKey) {
			key.Spec.RouteRefs = []v1alpha1.RouteReference{{Name: "chat"}, {Namespace: "search", Name: "chat"}}
		}, "names a route twice"},
		"A Secret of a key that is not there": {func(key *v1alpha1.ModelKey) {
			key.Spec.ServiceAccounts, key.Spec.SecretName = []v1alpha1.LocalServiceAccountReference{{Name: "crawler"}}, "crawler"
		}, "spec.secretName: Forbidden"},
		"No route": {func(key *v1alpha1.ModelKey) { key.Spec.RouteRefs = nil }, "spec.routeRefs: Required"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			errs := compile.ValidateKey(modelKey(test.change))
			if test.want == "" && len(errs) > 0 || test.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), test.want)) {
				t.Errorf("found %v, want %q", errs, test.want)
			}
		})
	}
}

func TestARouteHasRoomForSoManyModelKeysTheOldestFirst(t *testing.T) {
	limits := make([]v1alpha1.RateLimit, 8)
	cases := map[string]struct{ keys, limits, accounts, admitted int }{
		"As many ServiceAccounts as that, too":      {keys: 800, accounts: 2, admitted: 750},
		"As many as a configuration holds":          {keys: 1600, admitted: 1500},
		"As many accounts as the ledger takes":      {keys: 1200, limits: 8, admitted: 1000},
		"All of them, where there is room for that": {keys: 1000, limits: 1, admitted: 1000},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			candidates := make([]*v1alpha1.ModelKey, test.keys)
			for i := range candidates {
				age := time.Duration(i) * time.Second
				candidates[i] = modelKey(func(key *v1alpha1.ModelKey) {
					key.Name = fmt.Sprintf("key-%04d", i)
					key.CreationTimestamp = metav1.NewTime(noon.Add(-age))
					key.Spec.RateLimits = limits[:test.limits]
					key.Spec.ServiceAccounts = make([]v1alpha1.LocalServiceAccountReference, test.accounts)
				})
			}
			admitted, refused := compile.AsManyAsFit(candidates)
			if len(admitted) != test.admitted || len(admitted)+len(refused) != test.keys {
				t.Fatalf("%d are admitted and %d refused", len(admitted), len(refused))
			}
			if oldest := fmt.Sprintf("key-%04d", test.keys-1); admitted[0].Name != oldest {
				t.Errorf("the first is %s, and the oldest %s", admitted[0].Name, oldest)
			}
		})
	}
}

func TestWhenAKeyIsReplaced(t *testing.T) {
	cases := map[string]struct {
		rotation   v1alpha1.Rotation
		annotation string
		want       keys.Policy
	}{
		"Only when asked, and then with a day of overlap": {v1alpha1.Rotation{}, "", keys.Policy{Overlap: 24 * time.Hour}},
		"Every month": {
			v1alpha1.Rotation{IntervalDays: 30}, "", keys.Policy{Interval: 720 * time.Hour, Overlap: 24 * time.Hour},
		},
		"Without an overlap": {v1alpha1.Rotation{OverlapHours: new(int32(0))}, "", keys.Policy{}},
		"When asked":         {v1alpha1.Rotation{}, "2026-11-26", keys.Policy{Overlap: 24 * time.Hour, Request: keys.Request("2026-11-26")}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			owner := modelKey(func(key *v1alpha1.ModelKey) {
				key.Annotations = map[string]string{v1alpha1.AnnotationRotate: test.annotation}
			})
			if diff := cmp.Diff(test.want, compile.KeyPolicy(test.rotation, owner)); diff != "" {
				t.Errorf("the policy (-want +got):\n%s", diff)
			}
		})
	}
}
