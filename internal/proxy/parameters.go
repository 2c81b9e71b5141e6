package proxy

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// rulesOf are the rules for the parameters of a route's requests, for each of its upstreams.
func rulesOf(route *routeconfig.Route) (map[*routeconfig.Upstream]*openai.Rules, error) {
	policy := openai.Policy{
		DropUnsupported:     route.Unsupported == routeconfig.DropUnsupported,
		Defaults:            settingsOf(route.Defaults),
		Overrides:           settingsOf(route.Overrides),
		MaxCompletionTokens: route.MaxCompletionTokens,
	}
	if route.Unsupported != "" {
		policy.Supported = route.Model.SupportedParameters
	}
	rules := make(map[*routeconfig.Upstream]*openai.Rules, len(route.Upstreams))
	for i := range route.Upstreams {
		upstream := &route.Upstreams[i]
		policy.Provider = providerOf(upstream.Provider)
		prepared, err := openai.NewRules(policy)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", upstream.Name, err)
		}
		rules[upstream] = prepared
	}
	return rules, nil
}

func providerOf(provider routeconfig.Provider) openai.Provider {
	return openai.ProviderOf(string(provider))
}

func settingsOf(parameters []routeconfig.Parameter) []openai.Setting {
	settings := make([]openai.Setting, 0, len(parameters))
	for _, parameter := range parameters {
		settings = append(settings, openai.Setting{Name: parameter.Name, Value: parameter.Value})
	}
	return settings
}

// refuseAnywhere refuses what no upstream of the route may get: a body that is too large, what the client must not set, and what has no
// bound where a budget must hold.
func refuseAnywhere(request *openai.Request, granted *grant, size int) *openai.Error {
	if limit := mostBytes(granted.route); int64(size) > limit {
		return openai.TooLarge(limit)
	}
	if refusal := refuseForbidden(request, granted); refusal != nil {
		return refusal
	}
	if granted.denies() && request.UnboundedInput != "" {
		return openai.InvalidRequest(request.UnboundedInput,
			"%s is not text, so its tokens have no bound, and this key has a budget or a limit on tokens that must hold.",
			request.UnboundedInput)
	}
	return nil
}

// refuseForbidden refuses what the client must not set.
func refuseForbidden(request *openai.Request, granted *grant) *openai.Error {
	name, forbidden := openai.ForbiddenField(request, pricesCacheWrites(granted.route), granted.route.Model.OutputModalities...)
	if !forbidden {
		return nil
	}
	return openai.InvalidRequest(name,
		"%s is not the client's to set here: it could change the model or the price, which belong to the route.", name)
}

// pricesCacheWrites reports whether whichever upstream serves a request, what it writes to a cache has a price of its own.
func pricesCacheWrites(route *routeconfig.Route) bool {
	for i := range route.Upstreams {
		if route.Upstreams[i].Pricing.CacheWritePicoUSD == nil {
			return false
		}
	}
	return true
}

// holdToRules holds a request to the route's rules at the upstream that it goes to, and refuses one that cannot fit the model's context.
func holdToRules(request *openai.Request, granted *grant, upstream *routeconfig.Upstream) *openai.Error {
	if refusal := request.Apply(granted.rules[upstream]); refusal != nil {
		return refusal
	}
	provider := providerOf(upstream.Provider)
	if granted.limits() {
		request.LimitByDefault(provider)
	}
	return request.CheckContext(granted.route.Model.ContextLength, mostCompletion(granted.route), provider)
}

// mostCompletion is how many tokens one choice can have, by the model or the route, whichever is less; 0 if neither says.
func mostCompletion(route *routeconfig.Route) int64 {
	if route.MaxCompletionTokens == 0 || route.Model.MaxCompletionTokens == 0 {
		return cmp.Or(route.MaxCompletionTokens, route.Model.MaxCompletionTokens)
	}
	return min(route.MaxCompletionTokens, route.Model.MaxCompletionTokens)
}

// variantOf returns the name of a model that the caller may use if the name that it sent is that with one of OpenRouter's suffixes, such as
// :online.
func (p *principal) variantOf(model string) (name, suffix string, found bool) {
	at := strings.LastIndexByte(model, ':')
	if at <= 0 {
		return "", "", false
	}
	_, found = p.models[model[:at]]
	return model[:at], model[at:], found
}
