package openai

import (
	"errors"
	"fmt"

	"github.com/modelroute/modelroute/internal/money"
)

// KeyUsage reads what an API key was ever used for, in nano-USD, from OpenRouter's answer to GET /key: usage, and byok_usage, which is what
// providers charged to keys of the customer's own. An error means that the answer does not say, or nothing that can be believed.
func KeyUsage(body []byte) (money.Amount, error) {
	envelope := parseObjectValue(body)
	if envelope == nil {
		return money.Amount{}, fmt.Errorf("the key's account is no object: %.40s", body)
	}
	data := parseObjectValue(envelope.last("data"))
	if data == nil {
		return money.Amount{}, errors.New("the key's account has no data")
	}
	credits, creditsErr := usdNumber(data, "usage")
	byok, byokErr := usdNumber(data, "byok_usage")
	switch err := errors.Join(creditsErr, byokErr); {
	case err != nil:
		return money.Amount{}, fmt.Errorf("the key's account cannot be read: %w", err)
	case credits == nil:
		return money.Amount{}, errors.New("the key's account does not say what was used")
	case byok == nil:
		return *credits, nil
	}
	return credits.Add(*byok), nil
}
