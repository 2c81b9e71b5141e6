package controllers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

func TestWhatIsAskedOfAnUpstreamNeverTellsTheKey(t *testing.T) {
	for reason, handler := range map[string]http.HandlerFunc{
		"a refusal": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"a redirect":          func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"something else":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":{"usage":"much"}}`) },
		"more than is needed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) },
		"a broken connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(reason, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, err := NewOpenRouterBills().Billed(t.Context(), server.URL, sharedKey)
			if err == nil || strings.Contains(err.Error(), sharedKey) || !strings.Contains(err.Error(), "/key") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// bills is an upstream that has billed something by key.
type bills map[string]int64

func (b bills) Billed(_ context.Context, _, key string) (money.Amount, error) {
	return money.FromNano(b[key]), nil
}

// failingReader fails for the Secrets of one name.
type failingReader struct {
	client.Reader
	name string
}

func (f *failingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if key.Name == f.name {
		return errors.New("the API server is busy")
	}
	return f.Reader.Get(ctx, key, object, options...)
}

func TestASecretThatCannotBeReadForAWhileEndsNoComparison(t *testing.T) {
	route := limitedRoute()
	route.Spec.Upstreams = []v1alpha1.Upstream{{
		Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter, BaseURL: "https://openrouter.example/api/v1/",
		APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "key", Key: "apiKey"},
	}}
	secret := &corev1.Secret{Data: map[string][]byte{"apiKey": []byte(sharedKey + "\n")}}
	secret.Namespace, secret.Name = route.Namespace, "key"
	clock := testclock.NewFakeClock(noon)
	secrets := &failingReader{Reader: routesReader(t, secret)}
	b := &Books{
		Usage:  &Usage{Ledger: &saying{usage: list(usageOf(1, 0, 0))}, Routes: routesReader(t, route), Clock: clock},
		Routes: routesReader(t, route), Secrets: secrets, Upstream: bills{sharedKey: 5}, Clock: clock,
	}
	its := func() upstreamBooks { return b.of(client.ObjectKeyFromObject(route)).upstreams["openrouter"] }
	b.look(t.Context())
	id := its().id
	if id == "" {
		t.Fatal("the route has no account")
	}
	secrets.name = "key"
	clock.Step(settlingTime)
	b.look(t.Context())
	if got := its(); got.id != id || got.finding != nil {
		t.Errorf("the account is %q, %v; want %q", got.id, got.finding, id)
	}
	secrets.name = ""
	b.look(t.Context())
	if got := its(); got.id != id || got.finding == nil || !got.finding.drift.IsZero() {
		t.Errorf("the account is %q, %v; want %q", got.id, got.finding, id)
	}
	// A Secret that is gone is another matter.
	b.Secrets = routesReader(t)
	b.look(t.Context())
	if got := b.of(client.ObjectKeyFromObject(route)); len(got.upstreams) > 0 || !got.looked {
		t.Errorf("what is known is %+v", got)
	}
	// When it is back, what was spent meanwhile is unknown: the baseline in the status is of no use.
	b.Secrets = secrets
	route.Status.Upstreams = []v1alpha1.UpstreamStatus{booksStatus("openrouter", id, finding{from: baseline{since: noon}})}
	b.Routes = routesReader(t, route)
	b.look(t.Context())
	if kept := b.accounts[id]; kept == nil || kept.from != nil {
		t.Errorf("the comparison goes on: %+v", kept)
	}
}

// openRouter is an upstream with a key of one of the Secrets of keeping.
func openRouter(name, secret, baseURL string) v1alpha1.Upstream {
	return v1alpha1.Upstream{
		Name: name, Provider: v1alpha1.ProviderOpenRouter, BaseURL: baseURL,
		APIKeySecretRef: v1alpha1.SecretKeyReference{Name: secret, Key: "apiKey"},
	}
}

func routeTo(name string, upstreams ...v1alpha1.Upstream) *v1alpha1.ModelRoute {
	route := limitedRoute()
	route.Name, route.Spec.Upstreams = name, upstreams
	return route
}

// keeping compares books under a clock that stands still. The Secrets a and b have the same key, c has another one.
func keeping(t *testing.T, ledger *saying) *Books {
	t.Helper()
	var secrets []client.Object
	for name, key := range map[string]string{"a": sharedKey, "b": sharedKey, "c": otherKey} {
		secret := &corev1.Secret{Data: map[string][]byte{"apiKey": []byte(key)}}
		secret.Namespace, secret.Name = limitedRoute().Namespace, name
		secrets = append(secrets, secret)
	}
	clock := testclock.NewFakeClock(noon)
	return &Books{
		Usage:   &Usage{Ledger: ledger, Routes: routesReader(t), Clock: clock},
		Secrets: routesReader(t, secrets...), Upstream: bills{}, Clock: clock,
	}
}

// accountsOf looks at these routes and returns the ids of the accounts of these routes' upstreams, by the names of both.
func (b *Books) accountsOf(t *testing.T, routes ...*v1alpha1.ModelRoute) map[string]string {
	t.Helper()
	var objects []client.Object
	for _, route := range routes {
		objects = append(objects, route)
	}
	b.Routes = routesReader(t, objects...)
	b.look(t.Context())
	ids := map[string]string{}
	for _, route := range routes {
		for name, known := range b.of(client.ObjectKeyFromObject(route)).upstreams {
			ids[route.Name+"/"+name] = known.id
		}
	}
	return ids
}

const here, there = "https://openrouter.example/api/v1", "https://elsewhere.example/api/v1"

func TestAnotherRouteWithTheSameKeyIsAnotherComparison(t *testing.T) {
	b := keeping(t, &saying{})
	one, two := routeTo("one", openRouter("main", "a", here)), routeTo("two", openRouter("main", "b", here+"/"))
	far, direct := routeTo("far", openRouter("main", "a", there)), routeTo("direct", openRouter("main", "a", here))
	direct.Spec.Upstreams[0].Provider = v1alpha1.ProviderOpenAICompatible
	before := b.accountsOf(t, one, far, direct)
	if len(before) != 2 || before["far/main"] == before["one/main"] {
		t.Errorf("the accounts are %v, want one here, and another one elsewhere", before)
	}
	after := b.accountsOf(t, one, two, far, direct)
	if len(after) != 3 || after["one/main"] != after["two/main"] || after["one/main"] == before["one/main"] {
		t.Errorf("the accounts are %v, and were %v", after, before)
	}
	if after["far/main"] != before["far/main"] {
		t.Error("what is compared elsewhere begins anew")
	}
}

func TestTheUpstreamsOfARouteAreUsersOfTheirKeys(t *testing.T) {
	b := keeping(t, &saying{})
	first, second, other := openRouter("first", "a", here), openRouter("second", "b", here), openRouter("other", "c", here)
	own := openRouter("own", "a", here)
	own.Provider = v1alpha1.ProviderOpenAICompatible
	both := b.accountsOf(t, routeTo("chat", first, second, other, own))
	if len(both) != 3 || both["chat/first"] != both["chat/second"] || both["chat/first"] == both["chat/other"] {
		t.Errorf("the accounts are %v, want one for each key", both)
	}
	swapped := b.accountsOf(t, routeTo("chat", other, second, first))
	if swapped["chat/first"] != both["chat/first"] || swapped["chat/other"] != both["chat/other"] {
		t.Errorf("in another order the accounts are %v, and were %v", swapped, both)
	}
	fewer := b.accountsOf(t, routeTo("chat", first, other))
	if fewer["chat/first"] == both["chat/first"] || fewer["chat/other"] != both["chat/other"] {
		t.Errorf("without one of its users the accounts are %v, and were %v: the comparison of that key alone begins anew", fewer, both)
	}
	renamed := other
	renamed.Name = "another"
	if got := b.accountsOf(t, routeTo("chat", first, renamed)); got["chat/another"] == fewer["chat/other"] {
		t.Error("an upstream of another name is taken for the same user")
	}
}

func TestTheBaselinesOfRoutesWithOneUpstreamOutliveTheManagersVersion(t *testing.T) {
	got := keeping(t, &saying{}).accountsOf(t, routeTo("one", openRouter("main", "a", here)), routeTo("two", openRouter("main", "b", here)))
	const want = "9aa9a36f6a1756be3b0322fdcedcc343"
	if got["one/main"] != want || got["two/main"] != want {
		t.Errorf("the account is %v, and was %s in every version until now", got, want)
	}
}

func TestOfARouteWithSeveralUpstreamsCountsWhatWasSpentAtThoseThatUseTheKey(t *testing.T) {
	ledger := &saying{usage: list(usageOf(1000, 100, 0)), upstreams: spendByUpstream{
		"first":  {Name: "first", SettledNanoUsd: 1, UncertainNanoUsd: 10},
		"second": {Name: "second", SettledNanoUsd: 2, UncertainNanoUsd: 20},
		"other":  {Name: "other", SettledNanoUsd: 4, UncertainNanoUsd: 40},
		"gone":   {Name: "gone", SettledNanoUsd: 8, UncertainNanoUsd: 80},
	}}
	first, second := openRouter("first", "a", here), openRouter("second", "b", here)
	other, idle := openRouter("other", "c", here), openRouter("idle", "a", there)
	for reason, test := range map[string]struct {
		route   *v1alpha1.ModelRoute
		settled map[string]int64
		spent   map[string]int64
	}{
		"those of one key together": {
			routeTo("mixtral", first, second, other),
			map[string]int64{"first": 3, "second": 3, "other": 4}, map[string]int64{"first": 33, "second": 33, "other": 44},
		},
		"nothing where nothing was spent": {
			routeTo("mixtral", first, idle), map[string]int64{"first": 1, "idle": 0}, map[string]int64{"first": 11, "idle": 0},
		},
		"all if there is one": {
			routeTo("mixtral", first), map[string]int64{"first": 1000}, map[string]int64{"first": 1100},
		},
		"nothing of a route that the ledger does not know yet": {
			routeTo("new", first, other), map[string]int64{"first": 0, "other": 0}, map[string]int64{"first": 0, "other": 0},
		},
	} {
		t.Run(reason, func(t *testing.T) {
			b := keeping(t, ledger)
			settled, spent := map[string]int64{}, map[string]int64{}
			b.accountsOf(t, test.route)
			for name, known := range b.of(client.ObjectKeyFromObject(test.route)).upstreams {
				said := b.accounts[known.id].looks[0]
				settled[name], spent[name] = said.settled.Nano(), said.spent.Nano()
			}
			if diff := cmp.Diff(test.settled, settled) + cmp.Diff(test.spent, spent); diff != "" {
				t.Errorf("settled and spent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALedgerThatCannotTellTheSpendByUpstreamHoldsUpOnlyTheRoutesWithSeveral(t *testing.T) {
	ledger := &saying{usage: list(usageOf(1, 0, 0), gone(1))}
	b := keeping(t, ledger)
	one := routeTo("gone", openRouter("main", "c", here))
	several := routeTo("mixtral", openRouter("first", "a", here), openRouter("second", "b", here))
	ids := b.accountsOf(t, one, several)
	if kept := b.accounts[ids["gone/main"]]; kept.failing || len(kept.looks) != 1 {
		t.Errorf("of the route with one upstream is known %+v", kept)
	}
	if kept := b.accounts[ids["mixtral/first"]]; !kept.failing || len(kept.looks) > 0 {
		t.Errorf("of the route with several is known %+v", kept)
	}
	ledger.upstreams = spendByUpstream{}
	b.look(t.Context())
	if kept := b.accounts[ids["mixtral/first"]]; kept.failing || len(kept.looks) != 1 {
		t.Errorf("once the ledger tells, of the route with several is known %+v", kept)
	}
}
