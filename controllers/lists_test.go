package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/catalog"
	"github.com/modelroute/modelroute/internal/catalog/listing"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const mixtral = "mistralai/mixtral-8x22b-instruct"

// selling is a world with an upstream whose prices change, and a manager that reads its list.
type selling struct {
	*world
	// shop answers; nil while the upstream is down.
	shop atomic.Pointer[upstream.Server]
	// asked counts the questions for the list.
	asked atomic.Int64
	url   string
}

func newSelling(t *testing.T) *selling {
	t.Helper()
	s := &selling{world: newWorldAt(t, testRealClock)}
	s.sell(2000, 6000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop := s.shop.Load()
		if shop == nil {
			http.Error(w, "closed", http.StatusServiceUnavailable)
			return
		}
		shop.ServeHTTP(w, r)
		if strings.HasSuffix(r.URL.Path, "/models") {
			s.asked.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/api/v1"
	s.manage()
	return s
}

// sell has the upstream list prices, in nano-USD per token.
func (s *selling) sell(prompt, completion int64) {
	models := upstream.DefaultModels()
	models[0].Price = upstream.Price{Prompt: prompt, Completion: completion}
	s.shop.Store(upstream.New(upstream.Options{Models: models}))
}

// manage starts a manager that asks often.
func (s *selling) manage() {
	s.t.Helper()
	s.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.Lists = &Lists{
			Routes: manager.GetClient(), Bundles: manager.GetAPIReader(), Upstream: listing.NewReader("test"),
			Clock: testRealClock, Interval: 100 * time.Millisecond,
		}
		return nil
	})
}

// sparse is a route that leaves out all that is known of its model.
func (s *selling) sparse() *v1alpha1.ModelRoute {
	route := s.route()
	route.Spec.Model = v1alpha1.Model{Name: mixtral}
	route.Spec.Upstreams[0].BaseURL, route.Spec.Upstreams[0].Pricing = s.url, v1alpha1.Pricing{}
	route.Spec.Proxy.Replicas = ptr.To[int32](0)
	return route
}

// configured is what the proxies of the route chat are told.
func (s *selling) configured() routeconfig.Route {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.get("chat"+compile.ConfigSecretSuffix, secret)
	for _, encoded := range secret.Data {
		config, err := routeconfig.Decode(encoded)
		if err != nil {
			s.t.Fatal(err)
		}
		return config.Routes[0]
	}
	s.t.Fatal("the Secret is empty")
	return routeconfig.Route{}
}

// priced waits until the route is served at these prices, in USD per million tokens.
func (s *selling) priced(source v1alpha1.PricingSource, prompt, completion string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the price is %s and %s", prompt, completion), func() error {
		route := &v1alpha1.ModelRoute{}
		s.get("chat", route)
		if len(route.Status.Upstreams) != 1 {
			return fmt.Errorf("the upstreams are %v", route.Status.Upstreams)
		}
		shown := route.Status.Upstreams[0]
		want := v1alpha1.Pricing{Prompt: v1alpha1.USDPerMillionTokens(prompt), Completion: v1alpha1.USDPerMillionTokens(completion)}
		if shown.Pricing != want || shown.PricingSource != source {
			return fmt.Errorf("it is %v from %s", shown.Pricing, shown.PricingSource)
		}
		ceiling := string(s.configured().Upstreams[0].Parameters[0].Value)
		if !strings.Contains(ceiling, fmt.Sprintf(`"prompt":%q,"completion":%q`, prompt, completion)) {
			return fmt.Errorf("requests are sent with %s", ceiling)
		}
		return nil
	})
}

func TestARouteThatLeavesOutAllThatItsUpstreamListsIsServed(t *testing.T) {
	s := newSelling(t)
	s.create(s.sparse())
	route := s.untilReady("chat")
	s.priced(v1alpha1.PricingFromUpstream, "2.00", "6.00")
	if !meta.IsStatusConditionTrue(route.Status.Conditions, v1alpha1.ConditionPricesCurrent) {
		t.Errorf("the conditions are %v", route.Status.Conditions)
	}
	served := s.configured().Model
	if served.ContextLength != 65536 || len(served.SupportedParameters) != 12 {
		t.Errorf("the model is %+v", served)
	}
	want := &v1alpha1.ModelStatus{
		ContextLength: 65536, InputModalities: []v1alpha1.Modality{"text"}, OutputModalities: []v1alpha1.OutputModality{"text"},
		SupportedParameters: served.SupportedParameters,
	}
	if diff := cmp.Diff(want, route.Status.Model); diff != "" {
		t.Errorf("the status (-want +got):\n%s", diff)
	}
}

func TestAPriceThatChangedIsHeldUntilTheRouteAdoptsChanges(t *testing.T) {
	s := newSelling(t)
	s.create(s.sparse())
	s.untilReady("chat")
	s.sell(3000, 9000)
	route := s.until("chat", v1alpha1.ConditionPricesCurrent, metav1.ConditionFalse, v1alpha1.ReasonPriceChanged)
	message := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionPricesCurrent).Message
	want := "Upstream openrouter lists mistralai/mixtral-8x22b-instruct at prompt 3.00, completion 9.00 USD per million tokens; " +
		"in force is prompt 2.00, completion 6.00 USD per million tokens. " +
		"Write what is right in spec.upstreams[].pricing, or set spec.catalog.priceChanges to Adopt."
	if message != want {
		t.Errorf("it says %q", message)
	}
	if !meta.IsStatusConditionTrue(route.Status.Conditions, v1alpha1.ConditionReady) {
		t.Error("a price that is held makes the route unready")
	}
	listed := route.Status.Upstreams[0].ListedPricing
	if diff := cmp.Diff(v1alpha1.Pricing{Prompt: "3.00", Completion: "9.00"}, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	s.priced(v1alpha1.PricingFromUpstream, "2.00", "6.00")
	s.eventually("an event tells of it", func() error {
		for {
			select {
			case event := <-s.events:
				if strings.Contains(event, eventPriceChanged) {
					return nil
				}
			default:
				return errors.New("none does")
			}
		}
	})

	change(s.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Spec.Catalog.PriceChanges = v1alpha1.PriceChangesAdopt
	})
	s.until("chat", v1alpha1.ConditionPricesCurrent, metav1.ConditionTrue, v1alpha1.ReasonPricesCurrent)
	s.priced(v1alpha1.PricingFromUpstream, "3.00", "9.00")
	s.sell(1000, 3000)
	s.priced(v1alpha1.PricingFromUpstream, "1.00", "3.00")
}

func TestAPriceThatTheRouteSaysIsComparedAndNeverChanged(t *testing.T) {
	s := newSelling(t)
	route := s.sparse()
	route.Spec.Upstreams[0].Pricing = v1alpha1.Pricing{Prompt: "2.50", Completion: "7.50"}
	route.Spec.Catalog.PriceChanges = v1alpha1.PriceChangesAdopt
	s.create(route)
	route = s.until("chat", v1alpha1.ConditionPricesCurrent, metav1.ConditionFalse, v1alpha1.ReasonPriceChanged)
	message := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionPricesCurrent).Message
	if !strings.HasSuffix(message, "If the listed price is right, write it in spec.upstreams[].pricing.") {
		t.Errorf("it says %q", message)
	}
	s.priced(v1alpha1.PricingFromRoute, "2.50", "7.50")
}

func TestWhatWasAdoptedSurvivesAManagerAndAnUpstreamThatIsDown(t *testing.T) {
	s := newSelling(t)
	route := s.sparse()
	route.Spec.Model.Name, route.Spec.Upstreams[0].Model = "embeddings", "openai/text-embedding-3-small" // It is not built in.
	s.create(route)
	s.untilReady("chat")
	s.priced(v1alpha1.PricingFromUpstream, "0.02", "0.00")
	before := s.configured()
	before.Consumers = nil // A key that no proxy has acknowledged is made anew.
	s.stopManager()
	s.shop.Store(nil)
	s.manage()
	route = s.until("chat", v1alpha1.ConditionPricesCurrent, metav1.ConditionUnknown, v1alpha1.ReasonListUnavailable)
	s.priced(v1alpha1.PricingFromUpstream, "0.02", "0.00")
	after := s.configured()
	after.Consumers = nil
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the proxies are told something else (-before +after):\n%s", diff)
	}
	if !meta.IsStatusConditionTrue(route.Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("the conditions are %v", route.Status.Conditions)
	}
}

func TestARestartOfTheManagerWritesNothingAboutPrices(t *testing.T) {
	s := newSelling(t)
	route := s.sparse()
	route.Spec.Consumers = nil
	s.create(route)
	s.untilReady("chat")
	s.sell(3000, 9000)
	s.until("chat", v1alpha1.ConditionPricesCurrent, metav1.ConditionFalse, v1alpha1.ReasonPriceChanged)
	before := &v1alpha1.ModelRoute{}
	s.eventually("the spend is shown", func() error {
		if s.get("chat", before); before.Status.Spend == nil {
			return errors.New("it is not")
		}
		return nil
	})
	s.stopManager()
	asked := s.asked.Load()
	s.manage()
	s.eventually("the upstream is asked twice more", func() error {
		if s.asked.Load() < asked+2 {
			return errors.New("it was not")
		}
		return nil
	})
	s.reconcile()
	after := &v1alpha1.ModelRoute{}
	if s.get("chat", after); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the route was written (-before +after):\n%s", cmp.Diff(before.Status, after.Status))
	}
}

func TestWhereNobodyKnowsAPriceABudgetThatDeniesIsRefused(t *testing.T) {
	s := newSelling(t)
	route := s.sparse()
	route.Spec.Upstreams[0].Model, route.Spec.Model.ContextLength = "nobody/knows", 4096
	s.create(route)
	route = s.until("chat", v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)
	message := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionAccepted).Message
	if !strings.Contains(message, "spec.upstreams[0].pricing: Required value: a budget denies, and no price is known of nobody/knows") {
		t.Errorf("it says %q", message)
	}
	change(s.world, "chat", &v1alpha1.ModelRoute{}, func(route *v1alpha1.ModelRoute) {
		route.Spec.Budgets[0].Enforcement, route.Spec.Consumers[0].Budgets = v1alpha1.EnforcementWarn, nil
	})
	route = s.untilReady("chat")
	if !s.configured().Upstreams[0].Unpriced || route.Status.Upstreams[0].PricingSource != "" {
		t.Errorf("a price came from %q", route.Status.Upstreams[0].PricingSource)
	}
	unknown := meta.FindStatusCondition(route.Status.Conditions, v1alpha1.ConditionPricesCurrent)
	if unknown == nil || unknown.Message != "Upstream openrouter lists no price of nobody/knows." {
		t.Errorf("of the price it is said: %+v", unknown)
	}
}

// slowReader answers when it is told to.
type slowReader struct {
	answer chan map[string]catalog.Facts
	mu     sync.Mutex
	asked  []string
}

func (s *slowReader) Models(ctx context.Context, of listing.Upstream) (map[string]catalog.Facts, error) {
	s.mu.Lock()
	s.asked = append(s.asked, of.BaseURL)
	s.mu.Unlock()
	select {
	case models := <-s.answer:
		if models == nil {
			return nil, errors.New("out of order")
		}
		return models, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestARouteWaitsForAListThatItNeedsAndNoOtherDoes(t *testing.T) {
	w := newWorldAt(t, testRealClock)
	reader := &slowReader{answer: make(chan map[string]catalog.Facts)}
	w.startManagerWith(func(manager ctrl.Manager, r *ModelRouteReconciler) error {
		r.Lists = &Lists{Routes: manager.GetClient(), Upstream: reader, Clock: testRealClock, Interval: time.Hour}
		return nil
	})
	s := &selling{world: w, url: "http://slow.example/v1"}
	s.create(s.sparse())
	complete := s.sparse()
	complete.Name, complete.Spec.Model.ContextLength = "complete", 65536
	complete.Spec.Upstreams[0].Pricing = v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"}
	s.create(complete)
	route := s.until("chat", v1alpha1.ConditionAccepted, metav1.ConditionUnknown, v1alpha1.ReasonListPending)
	if len(route.Status.Upstreams) > 0 || route.Status.Model != nil {
		t.Errorf("something is in force before it is known: %+v", route.Status)
	}
	s.untilReady("complete")
	reader.answer <- nil
	s.untilReady("chat")
	s.priced(v1alpha1.PricingBuiltIn, "2.00", "6.00")
	if diff := cmp.Diff([]string{"http://slow.example/v1"}, reader.asked); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

func TestAnUpstreamIsAskedOnceForAllItsRoutesAndOnlyIfItsListIsOfUse(t *testing.T) {
	route := func(name string, provider v1alpha1.Provider, baseURL string, pricing v1alpha1.Pricing) client.Object {
		route := limitedRoute().DeepCopy()
		route.Name, route.Spec.Model.ContextLength = name, 8
		route.Spec.Upstreams = []v1alpha1.Upstream{{Name: "u", Provider: provider, BaseURL: baseURL, Pricing: pricing}}
		return route
	}
	price := v1alpha1.Pricing{Prompt: "1", Completion: "1"}
	routes := routesReader(t,
		route("a", v1alpha1.ProviderOpenRouter, "https://openrouter.example/api/v1", price),
		route("b", v1alpha1.ProviderOpenRouter, "https://openrouter.example/api/v1/", v1alpha1.Pricing{}),
		route("c", v1alpha1.ProviderOpenAICompatible, "http://vllm.example/v1", v1alpha1.Pricing{}),
		route("d", v1alpha1.ProviderOpenAICompatible, "http://complete.example/v1", price),
		route("e", v1alpha1.ProviderOpenAI, "https://openai.example/v1", v1alpha1.Pricing{}),
		route("f", v1alpha1.ProviderMistral, "https://mistral.example/v1", v1alpha1.Pricing{}),
	)
	reader := &slowReader{answer: make(chan map[string]catalog.Facts, 10)}
	clock := testclock.NewFakeClock(noon)
	lists := &Lists{Routes: routes, Upstream: reader, Clock: clock, Interval: time.Hour}
	var woken []string
	wake := func(name types.NamespacedName, _ time.Duration) { woken = append(woken, name.Name) }
	reader.answer <- nil                                        // vLLM does not answer,
	reader.answer <- map[string]catalog.Facts{"b": {}, "x": {}} // OpenRouter does.
	if next := lists.look(t.Context(), wake); next > 6*time.Minute {
		t.Errorf("what failed is tried again in %s", next)
	}
	if diff := cmp.Diff([]string{"http://vllm.example/v1", "https://openrouter.example/api/v1"}, reader.asked); diff != "" {
		t.Errorf("the questions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"c", "a", "b"}, woken); diff != "" {
		t.Errorf("the routes that are looked at (-want +got):\n%s", diff)
	}
	woken = nil
	clock.Step(2 * time.Hour)
	reader.answer <- map[string]catalog.Facts{"b": {ContextLength: 8}} // of OpenRouter, which answered last time
	reader.answer <- nil
	lists.look(t.Context(), wake)
	if diff := cmp.Diff([]string{"b"}, woken); diff != "" {
		t.Errorf("after a change (-want +got):\n%s", diff)
	}
}
