package controllers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	sharedKey = "sk-or-v1-shared-by-routes"
	otherKey  = "sk-or-v1-of-somebody-else"
)

// billing is a world with an upstream that keeps books, and a manager that compares them.
type billing struct {
	*world
	fake     *testclock.FakeClock
	upstream *upstream.Server
	url      string
}

func newBilling(t *testing.T) *billing {
	t.Helper()
	b := &billing{fake: testclock.NewFakeClock(time.Now())}
	b.world = newWorldAt(t, b.fake)
	var keys []upstream.Key
	for _, secret := range []string{sharedKey, otherKey} {
		keys = append(keys, upstream.Key{Label: secret[len(secret)-4:], Secret: secret, LimitNano: upstream.NoLimit})
	}
	b.upstream = upstream.New(upstream.Options{Keys: keys})
	server := httptest.NewServer(b.upstream)
	t.Cleanup(server.Close)
	b.url = server.URL + "/api/v1"
	b.useKey(sharedKey)
	b.manage()
	return b
}

// manage starts a manager.
func (b *billing) manage() {
	b.t.Helper()
	b.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.Books = &Books{
			Usage: r.Usage, Routes: manager.GetClient(), Secrets: manager.GetAPIReader(),
			Upstream: NewOpenRouterBills(), Clock: b.fake, Interval: DefaultBooksInterval,
		}
		return nil
	})
}

// useKey has the routes use a key.
func (b *billing) useKey(key string) {
	b.t.Helper()
	change(b.world, upstreamSecret, &corev1.Secret{}, func(secret *corev1.Secret) { secret.Data[upstreamKey] = []byte(key) })
}

// routeCalled is a route to the upstream.
func (b *billing) routeCalled(name string) *v1alpha1.ModelRoute {
	route := b.route()
	route.Name, route.Spec.Upstreams[0].BaseURL = name, b.url
	return route
}

// served waits until a route is ready; the manager sees that when its clock goes on.
func (b *billing) served(name string) *v1alpha1.ModelRoute {
	b.t.Helper()
	route := &v1alpha1.ModelRoute{}
	b.eventually(name+" is ready", func() error {
		b.fake.Step(usageInterval)
		if b.get(name, route); !meta.IsStatusConditionTrue(route.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("the conditions are %v", route.Status.Conditions)
		}
		return nil
	})
	return route
}

// buy has the upstream answer once, with two cents or so, and returns what it billed in nano-USD.
func (b *billing) buy(key string) int64 {
	b.t.Helper()
	const body = `{"model":"mistralai/mixtral-8x22b-instruct","max_tokens":5000,
		"messages":[{"role":"user","content":"Tell me all. [[fault:answer=4000]]"}]}`
	before := b.upstream.Billed(upstream.Filter{}).TotalNanoUSD
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+"/chat/completions", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("status %d, %v: %s", response.StatusCode, err, answer)
	}
	return b.upstream.Billed(upstream.Filter{}).TotalNanoUSD - before
}

// lookAgain lets so much time go by that all books are looked at with what the ledger says now.
func (b *billing) lookAgain() {
	b.t.Helper()
	books, usage := b.reconciler.Books, b.reconciler.Usage
	b.fake.Step(usageInterval)
	b.eventually("the ledger is asked again", func() error {
		usage.mu.Lock()
		defer usage.mu.Unlock()
		if !usage.asked.Equal(b.fake.Now()) {
			return errors.New("it was not")
		}
		return nil
	})
	began := b.fake.Now()
	b.eventually("the upstream is asked again", func() error {
		b.fake.Step(time.Minute)
		books.mu.Lock()
		defer books.mu.Unlock()
		for _, one := range books.accounts {
			if !one.failing && one.asked.After(began) {
				return nil
			}
		}
		return errors.New("it was not")
	})
}

// untilCompared looks at the books until the status of a route shows of its upstream openrouter what check wants.
func (b *billing) untilCompared(name, what string, check func(v1alpha1.UpstreamStatus) bool) v1alpha1.UpstreamStatus {
	b.t.Helper()
	return b.untilComparedAt(name, "openrouter", what, check)
}

// untilComparedAt is untilCompared of another upstream.
func (b *billing) untilComparedAt(name, upstream, what string, check func(v1alpha1.UpstreamStatus) bool) v1alpha1.UpstreamStatus {
	b.t.Helper()
	var shown v1alpha1.UpstreamStatus
	b.eventually(what, func() error {
		b.lookAgain()
		route := &v1alpha1.ModelRoute{}
		b.get(name, route)
		at := slices.IndexFunc(route.Status.Upstreams, func(one v1alpha1.UpstreamStatus) bool { return one.Name == upstream })
		if at < 0 {
			return fmt.Errorf("the upstreams are %v", route.Status.Upstreams)
		}
		if shown = route.Status.Upstreams[at]; !check(shown) {
			return fmt.Errorf("the upstream is %+v", shown)
		}
		return nil
	})
	return shown
}

// agrees is true of books that agree on a sum since the comparison began.
func agrees(nano int64) func(v1alpha1.UpstreamStatus) bool {
	return func(shown v1alpha1.UpstreamStatus) bool {
		sum := money.FromNano(nano).String()
		return shown.Billed == sum && shown.Settled == sum && shown.Drift == "0.00" && shown.State == v1alpha1.BooksAgreeing
	}
}

// driftEvents are the events that tell of a drift.
func (b *billing) driftEvents() []string {
	var found []string
	for {
		select {
		case event := <-b.events:
			if strings.Contains(event, eventBooksDrift) {
				found = append(found, event)
			}
		default:
			return found
		}
	}
}

func TestTheBooksOfAnUpstreamAreComparedWithThoseOfAllRoutesThatUseItsKey(t *testing.T) {
	b := newBilling(t)
	b.buy(sharedKey) // What was billed before is no matter.
	b.create(b.routeCalled("chat"))
	b.create(b.routeCalled("code"))
	b.runPod("chat", "one")
	b.runPod("code", "two")
	chat, code := b.runProxy("chat", "one"), b.runProxy("code", "two")
	b.served("chat")
	b.served("code")
	begun := b.untilCompared("chat", "the books agree that nothing was spent", agrees(0))

	spentByChat, spentByCode := b.buy(sharedKey), b.buy(sharedKey)
	chat.spend(spentByChat)
	code.spend(spentByCode)
	b.buy(otherKey)
	b.untilCompared("chat", "the books agree on what both spent", agrees(spentByChat+spentByCode))
	b.untilCompared("code", "so they do for the other route", agrees(spentByChat+spentByCode))
	if events := b.driftEvents(); len(events) > 0 {
		t.Errorf("a drift was told of: %q", events)
	}

	// Somebody else uses the key.
	stolen := b.buy(sharedKey)
	drift := money.FromNano(stolen).String()
	drifts := func(shown v1alpha1.UpstreamStatus) bool {
		return shown.Drift == drift && shown.State == v1alpha1.BooksDrifting && shown.Since.Equal(begun.Since)
	}
	b.untilCompared("chat", "the upstream has billed more", drifts)
	b.untilCompared("code", "so it has for the other route", drifts)
	if events := b.driftEvents(); len(events) != 2 || !strings.Contains(events[0], "openrouter has billed more") {
		t.Errorf("the drift was told of by %q, want one event for each route", events)
	}
	b.showsDrift(stolen)

	// Another manager goes on with the comparison, and tells of nothing again.
	b.stopManager()
	missed := b.buy(sharedKey)
	chat.spend(missed)
	b.manage()
	sum := money.FromNano(spentByChat + spentByCode + missed).String()
	b.untilCompared("chat", "the next manager compares the same", func(shown v1alpha1.UpstreamStatus) bool {
		return drifts(shown) && shown.Settled == sum
	})
	if events := b.driftEvents(); len(events) > 0 {
		t.Errorf("the drift was told of again: %q", events)
	}

	// A key that changes is another comparison.
	b.useKey(otherKey)
	b.untilCompared("chat", "the comparison begins anew", func(shown v1alpha1.UpstreamStatus) bool {
		return agrees(0)(shown) && shown.Since.After(begun.Since.Time)
	})
	checkStatus(t, b.served("chat"))
}

// showsDrift checks the metrics of the manager: those of both routes, and no others.
func (b *billing) showsDrift(nano int64) {
	b.t.Helper()
	collector := newBooksCollector()
	collector.of.Store(b.reconciler.Books)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	families, err := registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	account := b.reconciler.Books.of(keyOfRoute(b.world, "chat")).upstreams["openrouter"].id[:8]
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["namespace"] != b.namespace || labels["upstream"] != "openrouter" || labels["account"] != account {
				b.t.Errorf("a series has the labels %v", labels)
			}
			if value := metric.GetGauge().GetValue(); strings.HasSuffix(family.GetName(), "_drift_usd") {
				got["drift of "+labels["route"]] = value
			} else if value < 0 || value > time.Hour.Seconds() {
				b.t.Errorf("the books are %f seconds old", value)
			}
		}
	}
	want := map[string]float64{"drift of chat": float64(nano) / usd, "drift of code": float64(nano) / usd}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("the drifts shown (-want +got):\n%s", diff)
	}
}

// withSpare gives a route a second upstream, spare, with the key that a Secret has.
func withSpare(route *v1alpha1.ModelRoute, secret string) *v1alpha1.ModelRoute {
	spare := route.Spec.Upstreams[0]
	spare.Name, spare.APIKeySecretRef.Name = "spare", secret
	route.Spec.Upstreams = append(route.Spec.Upstreams, spare)
	return route
}

func TestTheBooksOfEveryUpstreamOfARouteAreComparedByTheKeyThatItUses(t *testing.T) {
	b := newBilling(t)
	other := b.upstreamSecret(otherKey)
	other.Name = "other"
	b.create(other)
	b.create(withSpare(b.routeCalled("chat"), "other"))
	b.create(withSpare(b.routeCalled("code"), upstreamSecret)) // Both of its upstreams use one key.
	b.runPod("chat", "one")
	b.runPod("code", "two")
	chat, code := b.runProxy("chat", "one"), b.runProxy("code", "two")
	b.served("chat")
	b.served("code")
	begun := b.untilComparedAt("chat", "spare", "the books agree that nothing was spent", agrees(0))

	shared := b.buy(sharedKey) + b.buy(sharedKey)
	chat.spendAt("openrouter", shared/2)
	code.spendAt("openrouter", shared/4)
	code.spendAt("spare", shared-shared/2-shared/4)
	apart := b.buy(otherKey)
	chat.spendAt("spare", apart)
	b.untilCompared("chat", "the books agree on what was spent with the key that both routes use", agrees(shared))
	b.untilComparedAt("chat", "spare", "and on what was spent with the other one", agrees(apart))
	b.untilCompared("code", "so they do for the other route", agrees(shared))
	b.untilComparedAt("code", "spare", "and for its other upstream", agrees(shared))
	if events := b.driftEvents(); len(events) > 0 {
		t.Errorf("a drift was told of: %q", events)
	}

	// Somebody else uses one of the keys.
	stolen := b.buy(otherKey)
	drifts := func(shown v1alpha1.UpstreamStatus) bool {
		return shown.Drift == money.FromNano(stolen).String() && shown.State == v1alpha1.BooksDrifting && shown.Since.Equal(begun.Since)
	}
	b.untilComparedAt("chat", "spare", "the upstream has billed more to it", drifts)
	b.untilCompared("chat", "the books agree for the other key", agrees(shared))
	if events := b.driftEvents(); len(events) != 1 || !strings.Contains(events[0], "spare has billed more") {
		t.Errorf("the drift was told of by %q, want one event", events)
	}

	// Another manager goes on with the comparison.
	b.stopManager()
	b.manage()
	again := b.buy(otherKey)
	chat.spendAt("spare", again)
	sum := money.FromNano(apart + again).String()
	b.untilComparedAt("chat", "spare", "the next manager compares the same", func(shown v1alpha1.UpstreamStatus) bool {
		return drifts(shown) && shown.Settled == sum
	})

	// A route that ceases to use a key is no matter to another one.
	change(b.world, "code", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Spec.Upstreams = route.Spec.Upstreams[:1]
	})
	b.untilCompared("chat", "the comparison begins anew", func(shown v1alpha1.UpstreamStatus) bool {
		return agrees(0)(shown) && shown.Since.After(begun.Since.Time)
	})
	b.untilComparedAt("chat", "spare", "that of the other key goes on", drifts)
	b.untilCompared("code", "a route that has one upstream left is compared with all that it spends", agrees(0))
	checkStatus(t, b.served("chat"))
}

func TestAnUpstreamThatDoesNotSayWhatItBilledHoldsNothingUp(t *testing.T) {
	b := newBilling(t)
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/key" {
			asked <- struct{}{}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	route := b.routeCalled("chat")
	route.Spec.Upstreams[0].BaseURL = server.URL
	b.create(route)
	b.runPod("chat", "one")
	p := b.runProxy("chat", "one")
	b.served("chat")
	for range 2 {
		b.eventually("the upstream is asked", func() error {
			b.fake.Step(time.Minute)
			select {
			case <-asked:
				return nil
			default:
				return errors.New("it was not")
			}
		})
	}
	p.spend(usd / 10)
	b.eventually("the spend is shown", func() error {
		b.fake.Step(time.Minute)
		found := &v1alpha1.ModelRoute{}
		if b.get("chat", found); found.Status.Spend == nil || found.Status.Spend.Total != "0.10" ||
			slices.ContainsFunc(found.Status.Upstreams, isCompared) {
			return fmt.Errorf("the status is %+v", found.Status)
		}
		return nil
	})
}
