package openai

import (
	"errors"
	"fmt"

	"github.com/modelroute/modelroute/internal/money"
)

// GenerationCost reads what a generation cost from OpenRouter's answer to GET /generation: total_cost, and what the provider charged on
// top of it where that was paid with a key of the customer's own. An error means that the answer does not say, or nothing that can be
// believed.
func GenerationCost(body []byte) (money.Amount, error) {
	envelope := parseObjectValue(body)
	if envelope == nil {
		return money.Amount{}, errors.New("the generation is no object")
	}
	data := parseObjectValue(envelope.last("data"))
	if data == nil {
		return money.Amount{}, errors.New("the generation has no data")
	}
	total, totalErr := usdNumber(data, "total_cost")
	byok, byokErr := flag(data, "is_byok")
	provider, providerErr := usdNumber(data, "upstream_inference_cost")
	switch err := errors.Join(totalErr, byokErr, providerErr); {
	case err != nil:
		return money.Amount{}, fmt.Errorf("the generation cannot be booked: %w", err)
	case total == nil || total.IsNegative() || provider != nil && provider.IsNegative():
		return money.Amount{}, errors.New("the generation does not say what it cost")
	case byok && provider == nil:
		return money.Amount{}, errors.New("the generation does not say what its provider charged")
	case byok:
		return total.Add(*provider), nil
	}
	return *total, nil
}
