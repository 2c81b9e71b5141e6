package controllers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// pendingListError says that lists of models have to be read before the route can be served.
type pendingListError struct {
	// upstreams are those whose lists they are, by name.
	upstreams []string
}

// Error says what is waited for.
func (e *pendingListError) Error() string {
	return fmt.Sprintf("The list of models of upstream %s is read first, since the route leaves out what it may have.",
		strings.Join(e.upstreams, " and of upstream "))
}

// pricesCurrent is the verdict on the prices in force; false if no upstream's list is read. While lists are still to be read, as they are
// after the start of a manager, it is what it was.
func pricesCurrent(s *scope) (verdict, bool) {
	before := meta.FindStatusCondition(s.route.Status.Conditions, v1alpha1.ConditionPricesCurrent)
	was := func() (verdict, bool) {
		if before == nil {
			return verdict{}, false
		}
		return verdict{before.Status, before.Reason, before.Message}, true
	}
	if s.completed == nil {
		return was()
	}
	var changed, missing []string
	read := false
	for _, one := range s.completed.Upstreams {
		switch one.Listed.State {
		case compile.ListPending:
			return was()
		case compile.ListNotRead:
			continue
		case compile.ListRead, compile.ListUnavailable:
		}
		read = true
		if listed, isOther := one.ListedOtherwise(); isOther {
			changed = append(changed, describePriceChange(one, listed))
		} else if problem := missingPrice(one); problem != "" {
			missing = append(missing, problem)
		}
	}
	switch {
	case !read:
		return verdict{}, false
	case len(changed) > 0:
		return no(v1alpha1.ReasonPriceChanged, strings.Join(changed, " ")), true
	case len(missing) > 0:
		return unknown(v1alpha1.ReasonListUnavailable, strings.Join(missing, " ")), true
	}
	return yes(v1alpha1.ReasonPricesCurrent, "The prices in force are those that the upstreams list."), true
}

// missingPrice says why there is no listed price to compare with; empty if there is one.
func missingPrice(one compile.CompletedUpstream) string {
	switch {
	case one.Listed.State == compile.ListUnavailable:
		return fmt.Sprintf("The list of models of upstream %s cannot be read; the manager's log says why.", one.Name)
	case one.Listed.Facts == nil || one.Listed.Facts.Pricing == nil:
		return fmt.Sprintf("Upstream %s lists no price of %s.", one.Name, one.ID)
	}
	return ""
}

func describePriceChange(one compile.CompletedUpstream, listed v1alpha1.Pricing) string {
	remedy := "Write what is right in spec.upstreams[].pricing, or set spec.catalog.priceChanges to Adopt."
	if one.Source == v1alpha1.PricingFromRoute {
		remedy = "If the listed price is right, write it in spec.upstreams[].pricing."
	}
	return fmt.Sprintf("Upstream %s lists %s at %s; in force is %s. %s",
		one.Name, one.ID, describePricing(listed), describePricing(one.Pricing), remedy)
}

// describePricing names each price as the API does.
func describePricing(pricing v1alpha1.Pricing) string {
	text := fmt.Sprintf("prompt %s, completion %s", pricing.Prompt, pricing.Completion)
	if pricing.CachedPrompt != "" {
		text += fmt.Sprintf(", cachedPrompt %s", pricing.CachedPrompt)
	}
	if pricing.CacheWrite != "" {
		text += fmt.Sprintf(", cacheWrite %s", pricing.CacheWrite)
	}
	text += " USD per million tokens"
	if pricing.Request != "" {
		text += fmt.Sprintf(" and %s USD per request", pricing.Request)
	}
	return text
}

// pricesShown are what the status shows of the upstreams' prices, by the upstreams' names. Where the pass did not find them out, or has to
// wait for them, it is what was shown before: what was adopted must not be lost.
func pricesShown(s *scope) map[string]v1alpha1.UpstreamStatus {
	statuses := s.route.Status.Upstreams
	if s.isCompleted() {
		statuses = s.completed.Statuses()
	}
	shown := make(map[string]v1alpha1.UpstreamStatus, len(statuses))
	for _, one := range statuses {
		shown[one.Name] = onlyPrices(one)
	}
	return shown
}

// modelShown is what the status shows of the model.
func modelShown(s *scope) *v1alpha1.ModelStatus {
	if s.isCompleted() {
		return s.completed.ModelStatus()
	}
	return s.route.Status.Model
}

// onlyPrices is what a status shows of an upstream's price, and of nothing else.
func onlyPrices(one v1alpha1.UpstreamStatus) v1alpha1.UpstreamStatus {
	return v1alpha1.UpstreamStatus{
		Name: one.Name, BaseURL: one.BaseURL, Model: one.Model,
		Pricing: one.Pricing, PricingSource: one.PricingSource, ListedPricing: one.ListedPricing,
	}
}

// withPrices puts the price of one status beside what else another shows of the same upstream.
func withPrices(status, prices v1alpha1.UpstreamStatus) v1alpha1.UpstreamStatus {
	status.BaseURL, status.Model = prices.BaseURL, prices.Model
	status.Pricing, status.PricingSource, status.ListedPricing = prices.Pricing, prices.PricingSource, prices.ListedPricing
	return status
}
