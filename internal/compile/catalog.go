package compile

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/catalog"
)

// UpstreamModel is a model at an upstream, by the id that it has there.
type UpstreamModel struct {
	Provider v1alpha1.Provider
	// BaseURL has no slash at its end.
	BaseURL, ID string
	Way
}

// Way is how an upstream is reached.
type Way struct {
	// ProxyURL is that of the spec.
	ProxyURL string
	// CABundle is what the upstream's caBundleRef names, in Namespace; both are empty if it has none.
	CABundle  v1alpha1.CABundleReference
	Namespace string
}

func wayOf(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream) Way {
	way := Way{ProxyURL: upstream.ProxyURL}
	if bundle, has := CABundle(upstream); has {
		way.CABundle, way.Namespace = bundle, route.Namespace
	}
	return way
}

// UpstreamModelOf is the route's model at one of its upstreams.
func UpstreamModelOf(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream) UpstreamModel {
	return UpstreamModel{
		Provider: upstream.Provider, BaseURL: strings.TrimRight(upstream.BaseURL, "/"), ID: cmp.Or(upstream.Model, ModelName(route)),
		Way: wayOf(route, upstream),
	}
}

// HasList reports whether the list of models of an upstream is of use: those of OpenAI and Mistral tell nothing, and want a key.
func (m UpstreamModel) HasList() bool {
	return m.Provider == v1alpha1.ProviderOpenRouter || m.Provider == v1alpha1.ProviderOpenAICompatible
}

// LeavesOut reports whether a route leaves out of an upstream, or of its model, what it cannot do without.
func LeavesOut(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream) bool {
	return isUnpriced(upstream) || route.Spec.Model.ContextLength == 0
}

// ListState is how it stands with an upstream's list of models.
type ListState int

const (
	// ListNotRead means that nobody reads it.
	ListNotRead ListState = iota
	// ListPending means that it will be read.
	ListPending
	// ListUnavailable means that it could not be read.
	ListUnavailable
	// ListRead means that it was read.
	ListRead
)

// Listed is what is known of a model by its upstream's list.
type Listed struct {
	State ListState
	// Facts is nil if the list was not read or does not have the model.
	Facts *catalog.Facts
}

// Lists tells what upstreams list; nil where nobody reads their lists.
type Lists func(UpstreamModel) Listed

// Completed is a route with what it leaves out.
type Completed struct {
	// Route is the route as it is served. Where no price is known, it has none.
	Route *v1alpha1.ModelRoute
	// SupportedParameters are what is known of the model where the route does not say. They are not in Route unless it says what becomes of
	// others: what an upstream lists has nothing refused that the route did not ask to be.
	SupportedParameters []string
	// Pending are the upstreams, by name, whose lists have to be read before the route can be served.
	Pending []string
	// Upstreams are in the order of the spec.
	Upstreams []CompletedUpstream
}

// CompletedUpstream is the price that is in force at an upstream, and where it is from; without a source there is none.
type CompletedUpstream struct {
	UpstreamModel
	Name    string
	Pricing v1alpha1.Pricing
	Source  v1alpha1.PricingSource
	Listed  Listed
}

// Complete adds to a route what it leaves out. What the route says wins; then what an upstream lists; then, where a list cannot be read,
// what was in force before, by the route's status; then the built-in catalog. Of prices, what was in force before wins over what is listed,
// unless the route has changes adopted.
func Complete(route *v1alpha1.ModelRoute, lists Lists) Completed {
	if lists == nil {
		lists = func(UpstreamModel) Listed { return Listed{} }
	}
	completed := Completed{Route: route.DeepCopy()}
	for i, upstream := range route.Spec.Upstreams {
		at := UpstreamModelOf(route, upstream)
		one := CompletedUpstream{UpstreamModel: at, Name: upstream.Name, Listed: lists(at)}
		one.Pricing, one.Source = pricingInForce(route, upstream, one)
		completed.Upstreams = append(completed.Upstreams, one)
		completed.Route.Spec.Upstreams[i].Pricing = one.Pricing
		// A built-in price is no reason not to wait: the list that comes may have another.
		isOpen := one.Source == "" || one.Source == v1alpha1.PricingBuiltIn && !wasAdopted(route, one)
		if isOpen && one.Listed.State == ListPending {
			completed.Pending = append(completed.Pending, upstream.Name)
		}
	}
	completed.completeModel(route)
	return completed
}

// pricingInForce decides what requests at an upstream cost.
func pricingInForce(
	route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream, at CompletedUpstream,
) (v1alpha1.Pricing, v1alpha1.PricingSource) {
	if upstream.Pricing != (v1alpha1.Pricing{}) {
		return upstream.Pricing, v1alpha1.PricingFromRoute
	}
	adopted, source := adoptedPricing(route, at)
	follows := route.Spec.Catalog.PriceChanges == v1alpha1.PriceChangesAdopt
	if source != "" && !follows {
		return adopted, source
	}
	if listed, isListed := listedPricing(at.Listed); isListed {
		return listed, v1alpha1.PricingFromUpstream
	}
	if source == v1alpha1.PricingFromUpstream {
		return adopted, source
	}
	if known, isKnown := catalog.BuiltIn(string(at.Provider), at.ID); isKnown && known.Pricing != nil {
		return writtenPricing(*known.Pricing), v1alpha1.PricingBuiltIn
	}
	return adopted, source
}

func wasAdopted(route *v1alpha1.ModelRoute, at CompletedUpstream) bool {
	_, source := adoptedPricing(route, at)
	return source != ""
}

// adoptedPricing is what the route's status says was adopted for the same model at the same place. A price that cannot be read was not: a
// status can be edited by anybody who may.
func adoptedPricing(route *v1alpha1.ModelRoute, at CompletedUpstream) (v1alpha1.Pricing, v1alpha1.PricingSource) {
	for _, status := range route.Status.Upstreams {
		isAdopted := status.PricingSource == v1alpha1.PricingFromUpstream || status.PricingSource == v1alpha1.PricingBuiltIn
		if !at.isOf(status) || !isAdopted {
			continue
		}
		if _, err := pricingOf(status.Pricing); err == nil {
			return status.Pricing, status.PricingSource
		}
	}
	return v1alpha1.Pricing{}, ""
}

func listedPricing(listed Listed) (v1alpha1.Pricing, bool) {
	if listed.Facts == nil || listed.Facts.Pricing == nil {
		return v1alpha1.Pricing{}, false
	}
	return writtenPricing(*listed.Facts.Pricing), true
}

// writtenPricing is how a route has prices.
func writtenPricing(known catalog.Pricing) v1alpha1.Pricing {
	written := v1alpha1.Pricing{
		Prompt:     v1alpha1.USDPerMillionTokens(known.Prompt.PerMillion()),
		Completion: v1alpha1.USDPerMillionTokens(known.Completion.PerMillion()),
	}
	if known.CachedPrompt != nil {
		written.CachedPrompt = v1alpha1.USDPerMillionTokens(known.CachedPrompt.PerMillion())
	}
	if known.CacheWrite != nil {
		written.CacheWrite = v1alpha1.USDPerMillionTokens(known.CacheWrite.PerMillion())
	}
	if known.Request.Nano() > 0 {
		written.Request = v1alpha1.USD(known.Request.String())
	}
	return written
}

// ListedOtherwise is what the upstream lists, if that is another price than the one in force; else nothing and false. Of a price that the
// route itself says only what it says is compared: without a price of its own, what is read from a cache costs what the rest of the prompt
// does, and what is written to one is not allowed.
func (u CompletedUpstream) ListedOtherwise() (v1alpha1.Pricing, bool) {
	listed, isListed := listedPricing(u.Listed)
	if !isListed || u.Source == "" {
		return v1alpha1.Pricing{}, false
	}
	compared := listed
	if u.Source == v1alpha1.PricingFromRoute {
		if u.Pricing.CachedPrompt == "" {
			compared.CachedPrompt = ""
		}
		if u.Pricing.CacheWrite == "" {
			compared.CacheWrite = ""
		}
	}
	if samePricing(compared, u.Pricing) {
		return v1alpha1.Pricing{}, false
	}
	return listed, true
}

// samePricing reports whether two prices are the same, however they are written.
func samePricing(a, b v1alpha1.Pricing) bool {
	first, err1 := pricingOf(a)
	second, err2 := pricingOf(b)
	return err1 == nil && err2 == nil && reflect.DeepEqual(first, second)
}

// isUnpriced reports whether no price is known of requests to an upstream.
func isUnpriced(upstream v1alpha1.Upstream) bool { return upstream.Pricing == (v1alpha1.Pricing{}) }

// IsUnpriced reports whether no price is known of requests to one of the upstreams of a route that was completed.
func IsUnpriced(route *v1alpha1.ModelRoute) bool {
	return slices.ContainsFunc(route.Spec.Upstreams, isUnpriced)
}

// DenyMoney reports whether any of the budgets denies, so that requests must have a price.
func DenyMoney(budgets []v1alpha1.Budget) bool { return denies(budgets, nil) }

// deniesMoney reports whether any budget of the route denies, so that requests must have a price.
func deniesMoney(route *v1alpha1.ModelRoute) bool {
	return DenyMoney(allBudgets(route))
}

// Statuses are what a route's status shows of its upstreams' prices, in the order of the spec.
func (c Completed) Statuses() []v1alpha1.UpstreamStatus {
	statuses := make([]v1alpha1.UpstreamStatus, 0, len(c.Upstreams))
	for _, one := range c.Upstreams {
		listed, _ := one.ListedOtherwise()
		if one.Listed.State == ListPending || one.Listed.State == ListUnavailable {
			listed = c.listedBefore(one)
		}
		statuses = append(statuses, v1alpha1.UpstreamStatus{
			Name: one.Name, BaseURL: one.BaseURL, Model: one.ID, Pricing: one.Pricing, PricingSource: one.Source, ListedPricing: listed,
		})
	}
	return statuses
}

// listedBefore is what the status shows to be listed at a price that is still in force.
func (c Completed) listedBefore(one CompletedUpstream) v1alpha1.Pricing {
	for _, status := range c.Route.Status.Upstreams {
		if one.isOf(status) && samePricing(status.Pricing, one.Pricing) {
			return status.ListedPricing
		}
	}
	return v1alpha1.Pricing{}
}

// isOf reports whether a status is that of the same model at the same place.
func (u CompletedUpstream) isOf(status v1alpha1.UpstreamStatus) bool {
	return status.Name == u.Name && status.BaseURL == u.BaseURL && status.Model == u.ID
}

// ModelStatus is what a route's status shows of its model.
func (c Completed) ModelStatus() *v1alpha1.ModelStatus {
	served := model(Input{Route: c.Route, SupportedParameters: c.SupportedParameters})
	return &v1alpha1.ModelStatus{
		ContextLength: served.ContextLength, MaxCompletionTokens: served.MaxCompletionTokens,
		InputModalities:     named[v1alpha1.Modality](served.InputModalities),
		OutputModalities:    named[v1alpha1.OutputModality](served.OutputModalities),
		SupportedParameters: served.SupportedParameters,
	}
}

func named[Name ~string](texts []string) []Name {
	if len(texts) == 0 {
		return nil
	}
	names := make([]Name, 0, len(texts))
	for _, text := range texts {
		names = append(names, Name(text))
	}
	return names
}
