package controllers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	name := client.ObjectKeyFromObject(route)
	b := &Books{
		Usage:  &Usage{Ledger: &saying{usage: list(usageOf(1, 0, 0))}, Routes: routesReader(t, route), Clock: clock},
		Routes: routesReader(t, route), Secrets: secrets, Upstream: bills{sharedKey: 5}, Clock: clock,
	}
	b.look(t.Context())
	id := b.of(name).id
	if id == "" {
		t.Fatal("the route has no account")
	}
	secrets.name = "key"
	clock.Step(settlingTime)
	b.look(t.Context())
	if got := b.of(name); got.id != id || got.finding != nil {
		t.Errorf("the account is %q, %v; want %q", got.id, got.finding, id)
	}
	secrets.name = ""
	b.look(t.Context())
	if got := b.of(name); got.id != id || got.finding == nil || !got.finding.drift.IsZero() {
		t.Errorf("the account is %q, %v; want %q", got.id, got.finding, id)
	}
	// A Secret that is gone is another matter.
	b.Secrets = routesReader(t)
	b.look(t.Context())
	if got := b.of(name); got.id != "" || !got.looked {
		t.Errorf("the account is %q", got.id)
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

func TestAnotherRouteWithTheSameKeyIsAnotherComparison(t *testing.T) {
	routeWith := func(name, secret, baseURL string) *v1alpha1.ModelRoute {
		route := limitedRoute()
		route.Name = name
		route.Spec.Upstreams = []v1alpha1.Upstream{{
			Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter, BaseURL: baseURL,
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: secret, Key: "apiKey"},
		}}
		return route
	}
	const here, there = "https://openrouter.example/api/v1", "https://elsewhere.example/api/v1"
	one, two := routeWith("one", "a", here), routeWith("two", "b", here+"/")
	far, direct := routeWith("far", "a", there), routeWith("direct", "a", here)
	direct.Spec.Upstreams[0].Provider = v1alpha1.ProviderOpenAICompatible
	var secrets []client.Object
	for _, name := range []string{"a", "b"} {
		secret := &corev1.Secret{Data: map[string][]byte{"apiKey": []byte(sharedKey)}}
		secret.Namespace, secret.Name = one.Namespace, name
		secrets = append(secrets, secret)
	}
	clock := testclock.NewFakeClock(noon)
	b := &Books{
		Usage:   &Usage{Ledger: &saying{}, Routes: routesReader(t), Clock: clock},
		Secrets: routesReader(t, secrets...), Upstream: bills{}, Clock: clock,
	}
	id := func(route *v1alpha1.ModelRoute) string { return b.of(client.ObjectKeyFromObject(route)).id }
	b.Routes = routesReader(t, one, far, direct)
	b.look(t.Context())
	alone := id(one)
	if id(far) == alone || id(direct) != "" {
		t.Errorf("the accounts are %q here, %q elsewhere and %q of another provider", alone, id(far), id(direct))
	}
	b.Routes = routesReader(t, one, two, far, direct)
	b.look(t.Context())
	if id(one) != id(two) || id(one) == alone || id(one) == "" {
		t.Errorf("the accounts are %q and %q, and %q before", id(one), id(two), alone)
	}
}
