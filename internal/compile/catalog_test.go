package compile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/catalog"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// mixtral is the id of the model that the built-in catalog has.
const mixtral = "mistralai/mixtral-8x22b-instruct"

// sparse is a route that says nothing of its model but the id that it has at OpenRouter, and has a budget that denies.
func sparse() *v1alpha1.ModelRoute {
	route := &v1alpha1.ModelRoute{}
	route.Namespace, route.Name = "default", "chat"
	route.Spec = v1alpha1.ModelRouteSpec{
		Model: v1alpha1.Model{Name: mixtral},
		Upstreams: []v1alpha1.Upstream{{
			Name: "openrouter", Provider: v1alpha1.ProviderOpenRouter, BaseURL: "https://openrouter.ai/api/v1/",
			APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "openrouter", Key: "apiKey"},
		}},
		Budgets: []v1alpha1.Budget{{
			Name: "monthly", Amount: "1", Window: v1alpha1.Window{Period: "Month"}, Enforcement: v1alpha1.EnforcementDeny,
		}},
	}
	return route
}

// listing is what an upstream lists of every model.
func listing(state compile.ListState, facts *catalog.Facts) compile.Lists {
	return func(compile.UpstreamModel) compile.Listed { return compile.Listed{State: state, Facts: facts} }
}

// atPrice are facts with prices in USD per million tokens.
func atPrice(t *testing.T, prompt, completion string) *catalog.Facts {
	t.Helper()
	pricing := &catalog.Pricing{}
	var err1, err2 error
	pricing.Prompt, err1 = money.ParsePricePerMillion(prompt)
	pricing.Completion, err2 = money.ParsePricePerMillion(completion)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &catalog.Facts{ContextLength: 32768, Pricing: pricing}
}

// served takes up a completion into the status, as the operator does.
func served(route *v1alpha1.ModelRoute, completed compile.Completed) *v1alpha1.ModelRoute {
	next := route.DeepCopy()
	next.Status.Upstreams, next.Status.Model = completed.Statuses(), completed.ModelStatus()
	return next
}

func TestThePriceInForce(t *testing.T) {
	old, dearer := v1alpha1.Pricing{Prompt: "2.00", Completion: "6.00"}, v1alpha1.Pricing{Prompt: "3.00", Completion: "9.00"}
	list := func(prompt, completion string) func(*testing.T) compile.Lists {
		return func(t *testing.T) compile.Lists { return listing(compile.ListRead, atPrice(t, prompt, completion)) }
	}
	without := func(state compile.ListState) func(*testing.T) compile.Lists {
		return func(*testing.T) compile.Lists { return listing(state, nil) }
	}
	adopted := func(edit func(*v1alpha1.UpstreamStatus)) func(*v1alpha1.ModelRoute) {
		return func(route *v1alpha1.ModelRoute) {
			status := v1alpha1.UpstreamStatus{
				Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Model: mixtral, Pricing: old,
				PricingSource: v1alpha1.PricingFromUpstream,
			}
			if edit != nil {
				edit(&status)
			}
			route.Status.Upstreams = []v1alpha1.UpstreamStatus{status}
		}
	}
	adopts := func(route *v1alpha1.ModelRoute) {
		adopted(nil)(route)
		route.Spec.Catalog.PriceChanges = v1alpha1.PriceChangesAdopt
	}
	unknown := func(route *v1alpha1.ModelRoute) { route.Spec.Upstreams[0].Model = "nobody/knows" }
	type outcome struct {
		Pricing v1alpha1.Pricing
		Source  v1alpha1.PricingSource
		Listed  v1alpha1.Pricing
		Pending []string
	}
	for name, test := range map[string]struct {
		edit  func(*v1alpha1.ModelRoute)
		lists func(*testing.T) compile.Lists
		want  outcome
	}{
		"is that of the upstream's list": {nil, list("3", "9"), outcome{Pricing: dearer, Source: "Upstream"}},
		"is the built-in one, where nobody reads lists": {
			nil, without(compile.ListNotRead), outcome{Pricing: old, Source: "BuiltIn"}},
		"is the built-in one, where the list cannot be read": {
			nil, without(compile.ListUnavailable), outcome{Pricing: old, Source: "BuiltIn"}},
		"is the built-in one, where the list does not have the model": {
			nil, without(compile.ListRead), outcome{Pricing: old, Source: "BuiltIn"}},
		"is waited for, where the list will be read": {
			nil, without(compile.ListPending), outcome{Pricing: old, Source: "BuiltIn", Pending: []string{"openrouter"}}},
		"is not there, where nobody knows one":          {unknown, without(compile.ListRead), outcome{}},
		"stays, when the list has another":              {adopted(nil), list("3", "9"), outcome{old, "Upstream", dearer, nil}},
		"stays, while the list is read after a restart": {adopted(nil), without(compile.ListPending), outcome{Pricing: old, Source: "Upstream"}},
		"stays, when the list has the model no more":    {adopted(nil), without(compile.ListRead), outcome{Pricing: old, Source: "Upstream"}},
		"changes with the list, if the route wants that": {
			adopts, list("3", "9"), outcome{Pricing: dearer, Source: "Upstream"}},
		"stays, if the route wants changes and there are none to be had": {
			adopts, without(compile.ListUnavailable), outcome{Pricing: old, Source: "Upstream"}},
		"is not that of another model": {
			adopted(func(status *v1alpha1.UpstreamStatus) { status.Model = "another" }), list("3", "9"),
			outcome{Pricing: dearer, Source: "Upstream"}},
		"is not that of another place": {
			adopted(func(status *v1alpha1.UpstreamStatus) { status.BaseURL = "https://elsewhere.example" }), list("3", "9"),
			outcome{Pricing: dearer, Source: "Upstream"}},
		"is not one that the route said once": {
			adopted(func(status *v1alpha1.UpstreamStatus) { status.PricingSource = "Route" }), list("3", "9"),
			outcome{Pricing: dearer, Source: "Upstream"}},
		"is not what somebody wrote into the status": {
			adopted(func(status *v1alpha1.UpstreamStatus) { status.Pricing.Prompt = "free" }), list("3", "9"),
			outcome{Pricing: dearer, Source: "Upstream"}},
		"is what the route says, whatever is listed": {
			func(route *v1alpha1.ModelRoute) {
				adopts(route)
				route.Spec.Upstreams[0].Pricing = v1alpha1.Pricing{Prompt: "2", Completion: "6"}
			}, list("3", "9"), outcome{v1alpha1.Pricing{Prompt: "2", Completion: "6"}, "Route", dearer, nil}},
		"is the same, however it is written": {
			func(route *v1alpha1.ModelRoute) {
				route.Spec.Upstreams[0].Pricing = v1alpha1.Pricing{Prompt: "2", Completion: "6.0"}
			}, list("2", "6"), outcome{Pricing: v1alpha1.Pricing{Prompt: "2", Completion: "6.0"}, Source: "Route"}},
	} {
		t.Run(name, func(t *testing.T) {
			route := sparse()
			if test.edit != nil {
				test.edit(route)
			}
			before := route.DeepCopy()
			completed := compile.Complete(route, test.lists(t))
			one := completed.Upstreams[0]
			listed, _ := one.ListedOtherwise()
			if diff := cmp.Diff(test.want, outcome{one.Pricing, one.Source, listed, completed.Pending}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, route); diff != "" {
				t.Errorf("the route itself was changed:\n%s", diff)
			}
			if len(test.want.Pending) > 0 {
				return
			}
			again := compile.Complete(served(route, completed), test.lists(t))
			if diff := cmp.Diff(completed.Route.Spec, again.Route.Spec); diff != "" {
				t.Errorf("with its own status a route is another (-first +second):\n%s", diff)
			}
		})
	}
}

func TestOfAPriceThatTheRouteSaysOnlyWhatItSaysIsCompared(t *testing.T) {
	facts := atPrice(t, "2", "6")
	cached, write := money.PriceFromPico(200_000), money.PriceFromPico(2_500_000)
	facts.Pricing.CachedPrompt, facts.Pricing.CacheWrite = &cached, &write
	for reason, test := range map[string]struct {
		says    v1alpha1.Pricing
		isOther bool
	}{
		"a cache that the route does not price is no news": {v1alpha1.Pricing{Prompt: "2", Completion: "6"}, false},
		"one that it prices rightly is none": {
			v1alpha1.Pricing{Prompt: "2", Completion: "6", CachedPrompt: "0.2", CacheWrite: "2.5"}, false},
		"one that it prices otherwise is":        {v1alpha1.Pricing{Prompt: "2", Completion: "6", CachedPrompt: "0.1"}, true},
		"a request that has no price there is":   {v1alpha1.Pricing{Prompt: "2", Completion: "6", Request: "0.01"}, true},
		"and so is a completion that is cheaper": {v1alpha1.Pricing{Prompt: "2", Completion: "7"}, true},
	} {
		route := sparse()
		route.Spec.Upstreams[0].Pricing = test.says
		one := compile.Complete(route, listing(compile.ListRead, facts)).Upstreams[0]
		if _, isOther := one.ListedOtherwise(); isOther != test.isOther {
			t.Errorf("%s: it is told is %v", reason, isOther)
		}
	}
}

func TestAllThatARouteLeavesOutIsTakenFromTheList(t *testing.T) {
	facts := atPrice(t, "3", "9")
	facts.MaxCompletionTokens, facts.SupportedParameters = 16384, []string{"temperature", "top_p"}
	facts.InputModalities, facts.OutputModalities = []string{"image", "text"}, []string{"image", "text"}
	completed := compile.Complete(sparse(), listing(compile.ListRead, facts))
	config, err := compile.Config(compile.Input{
		Route: completed.Route, SupportedParameters: completed.SupportedParameters, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := config.Routes[0]
	want := routeconfig.Model{
		Name: mixtral, ContextLength: 32768, MaxCompletionTokens: 16384, InputModalities: []string{"image", "text"},
		OutputModalities:    []string{"text"}, // Images cost otherwise than text: a route that wants them says so.
		SupportedParameters: []string{"temperature", "top_p"},
	}
	if diff := cmp.Diff(want, got.Model); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Unsupported != "" {
		t.Errorf("the route did not ask that others are refused, and they are: %s", got.Unsupported)
	}
	if pricing := got.Upstreams[0].Pricing; pricing.PromptPicoUSD != 3_000_000 || pricing.CompletionPicoUSD != 9_000_000 {
		t.Errorf("the price is %+v", pricing)
	}
	wantStatus := &v1alpha1.ModelStatus{
		ContextLength: 32768, MaxCompletionTokens: 16384, InputModalities: []v1alpha1.Modality{"image", "text"},
		OutputModalities: []v1alpha1.OutputModality{"text"}, SupportedParameters: []string{"temperature", "top_p"},
	}
	if diff := cmp.Diff(wantStatus, completed.ModelStatus()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestWhatARouteSaysOfItsModelWins(t *testing.T) {
	facts := atPrice(t, "3", "9")
	facts.MaxCompletionTokens, facts.SupportedParameters, facts.InputModalities = 16384, []string{"temperature"}, []string{"image"}
	route := sparse()
	route.Spec.Model = v1alpha1.Model{
		Name: mixtral, ContextLength: 8, MaxCompletionTokens: 4, InputModalities: []v1alpha1.Modality{"text"},
		OutputModalities: []v1alpha1.OutputModality{"text"}, SupportedParameters: []string{"seed"},
	}
	if diff := cmp.Diff(route.Spec.Model, compile.Complete(route, listing(compile.ListRead, facts)).Route.Spec.Model); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOfSeveralUpstreamsTheLongestContextCountsSinceItBoundsTheCostAtEach(t *testing.T) {
	route := sparse()
	second := route.Spec.Upstreams[0]
	second.Name, second.Provider, second.BaseURL = "own", v1alpha1.ProviderOpenAICompatible, "http://vllm/v1"
	route.Spec.Upstreams = append(route.Spec.Upstreams, second)
	completed := compile.Complete(route, func(at compile.UpstreamModel) compile.Listed {
		if at.BaseURL == "http://vllm/v1" {
			return compile.Listed{State: compile.ListRead, Facts: &catalog.Facts{ContextLength: 131072, MaxCompletionTokens: 9}}
		}
		return compile.Listed{State: compile.ListRead, Facts: &catalog.Facts{ContextLength: 65536, MaxCompletionTokens: 4096}}
	})
	if model := completed.Route.Spec.Model; model.ContextLength != 131072 || model.MaxCompletionTokens != 4096 {
		t.Errorf("the context is %d, the completion %d", model.ContextLength, model.MaxCompletionTokens)
	}
}

func TestWhatWasKnownBeforeLastsWhileAListCannotBeRead(t *testing.T) {
	facts := atPrice(t, "3", "9")
	facts.MaxCompletionTokens, facts.InputModalities = 4096, []string{"text"}
	route := sparse()
	route.Spec.Model.Name = "nobody/knows"
	first := compile.Complete(route, listing(compile.ListRead, facts))
	for _, state := range []compile.ListState{compile.ListPending, compile.ListUnavailable} {
		again := compile.Complete(served(route, first), listing(state, nil))
		if diff := cmp.Diff(first.Route.Spec, again.Route.Spec); diff != "" || len(again.Pending) > 0 {
			t.Errorf("waiting for %v (-before +after):\n%s", again.Pending, diff)
		}
	}
	moved := served(route, first)
	moved.Spec.Upstreams[0].BaseURL = "https://elsewhere.example/v1"
	again := compile.Complete(moved, listing(compile.ListPending, nil))
	if diff := cmp.Diff([]string{"openrouter"}, again.Pending); diff != "" || again.Route.Spec.Model.ContextLength != 0 {
		t.Errorf("of another place something is known: context %d (-want +got):\n%s", again.Route.Spec.Model.ContextLength, diff)
	}
}

func TestACompletionLimitThatTheRouteAsksForIsNotInvalidBecauseOfAList(t *testing.T) {
	facts := atPrice(t, "3", "9")
	facts.MaxCompletionTokens = 1024
	route := sparse()
	route.Spec.Parameters = &v1alpha1.Parameters{Limits: v1alpha1.ParameterLimits{MaxCompletionTokens: 4096}}
	completed := compile.Complete(route, listing(compile.ListRead, facts))
	if errs := compile.Validate(completed.Route); len(errs) > 0 || completed.Route.Spec.Model.MaxCompletionTokens != 4096 {
		t.Errorf("the completion is %d tokens: %v", completed.Route.Spec.Model.MaxCompletionTokens, errs)
	}
	route.Spec.Parameters.Limits.MaxCompletionTokens = 65536
	errs := compile.Validate(compile.Complete(route, listing(compile.ListRead, facts)).Route)
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "is more than the 32768 tokens that the model can produce") {
		t.Errorf("longer than the context it is: %v", errs)
	}
}

func TestUnsupportedParametersAreRefusedByTheListIfTheRouteAsksForThat(t *testing.T) {
	facts := atPrice(t, "3", "9")
	facts.SupportedParameters = []string{"temperature"}
	route := sparse()
	route.Spec.Parameters = &v1alpha1.Parameters{Unsupported: v1alpha1.UnsupportedDrop}
	completed := compile.Complete(route, listing(compile.ListRead, facts))
	config, err := compile.Config(compile.Input{Route: completed.Route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	got := config.Routes[0]
	if diff := cmp.Diff(facts.SupportedParameters, got.Model.SupportedParameters); diff != "" || got.Unsupported != routeconfig.DropUnsupported {
		t.Errorf("unsupported is %q (-want +got):\n%s", got.Unsupported, diff)
	}
}

func TestARouteWithoutAPriceIsServedOnlyWhereNoBudgetDenies(t *testing.T) {
	for name, deny := range map[string]func(*v1alpha1.ModelRoute, []v1alpha1.Budget){
		"the route's": func(route *v1alpha1.ModelRoute, budgets []v1alpha1.Budget) { route.Spec.Budgets = budgets },
		"a consumer's": func(route *v1alpha1.ModelRoute, budgets []v1alpha1.Budget) {
			route.Spec.Consumers = []v1alpha1.Consumer{{Name: "a", Budgets: budgets}}
		},
		"an upstream's": func(route *v1alpha1.ModelRoute, budgets []v1alpha1.Budget) { route.Spec.Upstreams[0].Budgets = budgets },
	} {
		t.Run(name, func(t *testing.T) {
			route := sparse()
			route.Spec.Model = v1alpha1.Model{Name: "nobody/knows", ContextLength: 8}
			budgets := route.Spec.Budgets
			route.Spec.Budgets = nil
			deny(route, budgets)
			errs := compile.Validate(compile.Complete(route, nil).Route)
			if len(errs) != 1 || errs[0].Field != "spec.upstreams[0].pricing" || !strings.Contains(errs[0].Detail, "nobody/knows at upstream openrouter") {
				t.Fatalf("with a budget that denies: %v", errs)
			}
			budgets[0].Enforcement = v1alpha1.EnforcementWarn
			completed := compile.Complete(route, nil)
			if errs := compile.Validate(completed.Route); len(errs) > 0 {
				t.Fatalf("with a budget that warns: %v", errs)
			}
			config, err := compile.Config(compile.Input{Route: completed.Route, Ledger: routeconfig.Ledger{URL: "https://ledger:8443"}})
			if err != nil {
				t.Fatal(err)
			}
			if upstream := config.Routes[0].Upstreams[0]; !upstream.Unpriced || len(upstream.Parameters) > 0 {
				t.Errorf("unpriced is %v, and requests have %v", upstream.Unpriced, upstream.Parameters)
			}
		})
	}
}

func TestARouteWhoseContextNobodyKnowsIsRefusedWithWhatToWrite(t *testing.T) {
	route := sparse()
	route.Spec.Model.Name, route.Spec.Budgets = "nobody/knows", nil
	errs := compile.Validate(compile.Complete(route, nil).Route)
	if len(errs) != 1 || errs[0].Field != "spec.model.contextLength" || !strings.Contains(errs[0].Detail, "write how many tokens") {
		t.Errorf("it is refused with %v", errs)
	}
}
