package proxy

import (
	"log/slog"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

// holding is the money that is held for one attempt at an upstream. The first settlement counts, and there always is one: abandon is
// deferred where the attempt begins.
type holding struct {
	server *server
	hold   *client.Hold
	record *record
	// sent is true once the upstream may have got the request.
	sent    bool
	settled bool
	// certainty and cost are those of the settlement.
	certainty client.Certainty
	cost      money.Amount
}

// exactly books what the attempt cost by what was used.
func (h *holding) exactly(cost money.Amount, source client.Source, usage *pricing.Usage) {
	h.settle(client.Cost{Amount: cost, Certainty: client.Exact, Source: source, Tokens: usage.Tokens(), Used: usedOf(usage)})
}

func usedOf(usage *pricing.Usage) client.Used {
	return client.Used{
		Prompt: usage.PromptTokens, Cached: usage.CachedTokens, CacheWrite: usage.CacheWriteTokens,
		Completion: usage.CompletionTokens, Reasoning: usage.ReasoningTokens,
	}
}

// release gives the hold back: the attempt cost nothing.
func (h *holding) release() { h.settle(client.Cost{Certainty: client.Exact}) }

// uncertainly books the hold for an attempt that was sent and whose cost is not known.
func (h *holding) uncertainly() { h.atLeast(money.Amount{}, &pricing.Usage{}) }

// atLeast is uncertainly for an attempt of which it is known what it cost and used at the least.
func (h *holding) atLeast(known money.Amount, usage *pricing.Usage) {
	cost := h.hold.Worst()
	if known.Cmp(cost.Amount) > 0 {
		cost.Amount = known
	}
	cost.Tokens, cost.Used = max(cost.Tokens, usage.Tokens()), usedOf(usage)
	h.settle(cost)
}

// produced books what was produced before the upstream was told to stop, as uncertain: the cost of usage, which is a bound, and no more
// than is held.
func (h *holding) produced(cost money.Amount, usage *pricing.Usage) {
	booked := h.hold.Worst()
	if cost.Cmp(booked.Amount) < 0 {
		booked.Amount = cost
	}
	booked.Tokens, booked.Used = min(booked.Tokens, usage.Tokens()), usedOf(usage)
	h.settle(booked)
}

// abandon settles what nothing else has settled, which takes a panic.
func (h *holding) abandon() {
	switch {
	case h.settled:
	case h.sent:
		h.uncertainly()
	default:
		h.release()
	}
}

func (h *holding) settle(cost client.Cost) {
	if h.settled {
		return
	}
	h.settled = true
	h.certainty, h.cost = cost.Certainty, cost.Amount
	h.record.spent(cost.Amount, cost.Certainty)
	h.record.atUpstream(h.server.metrics).settled(cost)
	if err := h.hold.Settle(cost); err != nil {
		h.server.logger.LogAttrs(h.server.lifetime, slog.LevelError, "A settlement is not in the journal yet", slog.Any("error", err))
	}
}
