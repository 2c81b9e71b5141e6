package proxy

import (
	"net/http"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
)

// tellRates tells the client where it stands with the tightest rate limit of each unit.
func (h *holding) tellRates(header http.Header) {
	for _, rate := range h.hold.Rates() {
		h.record.dialect.SetRateLimit(header, openai.RateLimit{
			Unit: rate.Unit.String(), Limit: rate.Limit, Remaining: rate.Remaining, ResetsIn: rate.ResetsIn,
		}, h.server.now())
	}
}

// rateLimited says to a client that a rate limit refuses its request. What others only hold may come back before the window ends.
func (s *server) rateLimited(denied *client.DeniedError, admitted *admission, dialect openai.Dialect) *openai.Error {
	needed := int64(1)
	if denied.Unit == budget.Tokens {
		needed = admitted.mostTokens()
	}
	limit := openai.RateLimit{
		Name: denied.Budget, Owner: denied.Owner.Words(), Unit: denied.Unit.String(), Limit: denied.Limit.Nano(),
		Remaining: denied.Remaining.Nano(),
		ResetsIn:  denied.ResetsIn,
	}
	after := denied.ResetsIn
	if denied.Reason == client.Held {
		limit.Remaining = 0
		after = retryAfter(denied.ResetsIn)
	}
	refusal := openai.RateLimitExceeded(limit, needed, after)
	dialect.SetRateLimit(refusal.Header, limit, s.now())
	return refusal
}
