package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// keyOfAccounts is a ModelKey of namespace search for pods of these ServiceAccounts.
func keyOfAccounts(name string, accounts ...string) *v1alpha1.ModelKey {
	return modelKey(func(key *v1alpha1.ModelKey) {
		key.Name = name
		for _, account := range accounts {
			key.Spec.ServiceAccounts = append(key.Spec.ServiceAccounts, v1alpha1.LocalServiceAccountReference{Name: account})
		}
	})
}

func TestAServiceAccountStandsForOneConsumerTheSpecsBeforeModelKeysAndTheOlderOfThese(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	route.Spec.Consumers = []v1alpha1.Consumer{
		{Name: "keyed"},
		{Name: "own", ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "crawler"}, {Namespace: "search", Name: "indexer"}}},
	}
	modelKeys := []*v1alpha1.ModelKey{keyOfAccounts("older", "indexer", "ranker"), keyOfAccounts("younger", "ranker", "crawler")}
	in := func(namespace, name string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	want := compile.AccountClaims{
		Granted: map[string][]types.NamespacedName{
			"own":            {in(route.Namespace, "crawler"), in("search", "indexer")},
			"search/older":   {in("search", "ranker")},
			"search/younger": {in("search", "crawler")},
		},
		Taken: map[string][]types.NamespacedName{
			"search/older":   {in("search", "indexer")},
			"search/younger": {in("search", "ranker")},
		},
	}
	if diff := cmp.Diff(want, compile.ClaimAccounts(route, modelKeys)); diff != "" {
		t.Errorf("the accounts (-want +got):\n%s", diff)
	}
}

func TestAConfigurationHasTheIssuerWhereAnAccountIsAcceptedAndNowhereElse(t *testing.T) {
	route := readRoute(t, "../../test/crdcel/testdata/base.yaml")
	route.Spec.Consumers = []v1alpha1.Consumer{{Name: "own", ServiceAccounts: []v1alpha1.ServiceAccountReference{{Name: "crawler"}}}}
	issuer := &routeconfig.Issuer{URL: "https://kubernetes.default.svc", Audience: v1alpha1.TokenAudience}
	account := func(name string) routeconfig.ServiceAccount {
		return routeconfig.ServiceAccount{Namespace: route.Namespace, Name: name, UID: "uid of " + name}
	}
	cases := map[string]struct {
		accounts []routeconfig.ServiceAccount
		want     *routeconfig.Issuer
	}{
		"an account that is there":        {[]routeconfig.ServiceAccount{account("crawler")}, issuer},
		"none, since it does not exist":   {nil, nil},
		"two, in whatever order they are": {[]routeconfig.ServiceAccount{account("indexer"), account("crawler")}, issuer},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			config, err := compile.Config(compile.Input{
				Route: route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}, Issuer: issuer,
				ServiceAccounts: map[string][]routeconfig.ServiceAccount{"own": test.accounts},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, config.Issuer); diff != "" {
				t.Errorf("the issuer (-want +got):\n%s", diff)
			}
			got := config.Routes[0].Consumers[0].ServiceAccounts
			if len(got) != len(test.accounts) || len(got) > 0 && got[0] != account("crawler") {
				t.Errorf("the accounts are %v", got)
			}
			encoded, err := routeconfig.Encode(config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := routeconfig.Decode(encoded); err != nil {
				t.Errorf("a proxy refuses it: %v", err)
			}
		})
	}
}
