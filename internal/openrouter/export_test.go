package openrouter

import "golang.org/x/time/rate"

// NewUnlimitedKeys asks as often as it can.
func NewUnlimitedKeys() *Keys {
	keys := NewKeys()
	keys.limiter = rate.NewLimiter(rate.Inf, 0)
	return keys
}
