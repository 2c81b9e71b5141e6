package compile

import (
	"fmt"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// pricingOf reads the prices of an upstream. The errors begin with the name of the field.
func pricingOf(spec v1alpha1.Pricing) (compiled routeconfig.Pricing, err error) {
	if compiled.PromptPicoUSD, err = picoPerToken("prompt", spec.Prompt); err != nil {
		return compiled, err
	}
	if compiled.CompletionPicoUSD, err = picoPerToken("completion", spec.Completion); err != nil {
		return compiled, err
	}
	if compiled.CachedPromptPicoUSD, err = optionalPico("cachedPrompt", spec.CachedPrompt); err != nil {
		return compiled, err
	}
	if compiled.CacheWritePicoUSD, err = optionalPico("cacheWrite", spec.CacheWrite); err != nil {
		return compiled, err
	}
	if spec.Request == "" {
		return compiled, nil
	}
	request, err := money.ParseUSD(string(spec.Request))
	if err != nil {
		return compiled, fmt.Errorf("request: %w", err)
	}
	compiled.RequestNanoUSD = request.Nano()
	return compiled, nil
}

func picoPerToken(name string, text v1alpha1.USDPerMillionTokens) (int64, error) {
	price, err := money.ParsePricePerMillion(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return price.Pico(), nil
}

func optionalPico(name string, text v1alpha1.USDPerMillionTokens) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	pico, err := picoPerToken(name, text)
	return &pico, err
}

// upstreamParameters are what every request to an upstream has. OpenRouter may send a request to providers at other prices than the one
// that it shows; it refuses those that ask for more than max_price, in USD per million tokens and, of request, in USD, and so never bills
// more than was reserved for. Where no price is known, nothing is reserved.
func upstreamParameters(upstream v1alpha1.Upstream, pricing routeconfig.Pricing) []routeconfig.Parameter {
	if upstream.Provider != v1alpha1.ProviderOpenRouter || isUnpriced(upstream) {
		return nil
	}
	value := fmt.Appendf(nil, `{"max_price":{"prompt":%q,"completion":%q,"request":%q}}`,
		perMillion(pricing.PromptPicoUSD), perMillion(pricing.CompletionPicoUSD), money.FromNano(pricing.RequestNanoUSD))
	return []routeconfig.Parameter{{Name: "provider", Value: value}}
}

func perMillion(pico int64) string { return money.PriceFromPico(pico).PerMillion() }
