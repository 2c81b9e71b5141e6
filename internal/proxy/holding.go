package proxy

import (
	"log/slog"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
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
}

// exactly books what the attempt cost.
func (h *holding) exactly(cost money.Amount) { h.settle(cost, client.Exact) }

// release gives the hold back: the attempt cost nothing.
func (h *holding) release() { h.settle(money.Amount{}, client.Exact) }

// uncertainly books the hold for an attempt that was sent and whose cost is not known, or what is known of its cost if that is more.
func (h *holding) uncertainly(known money.Amount) {
	amount := h.hold.Amount()
	if known.Cmp(amount) > 0 {
		amount = known
	}
	h.settle(amount, client.Uncertain)
}

// abandon settles what nothing else has settled, which takes a panic.
func (h *holding) abandon() {
	switch {
	case h.settled:
	case h.sent:
		h.uncertainly(money.Amount{})
	default:
		h.release()
	}
}

func (h *holding) settle(amount money.Amount, certainty client.Certainty) {
	if h.settled {
		return
	}
	h.settled = true
	h.record.cost, h.record.certainty = amount, certainty
	h.server.metrics.settled(h.record.grant, amount, certainty)
	if err := h.hold.Settle(amount, certainty); err != nil {
		h.server.logger.LogAttrs(h.server.lifetime, slog.LevelError, "A settlement is not in the journal yet", slog.Any("error", err))
	}
}
