package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// settleBatch is how many settlements go in one call; the ledger accepts as many.
	settleBatch = 500
	// settlePause is the first pause after a failed call; it doubles up to settlePauseMax.
	settlePause    = 50 * time.Millisecond
	settlePauseMax = 5 * time.Second
)

// Hold is money that is held for one attempt. It must be settled, even if nothing was spent.
type Hold struct {
	client   *Client
	demand   Demand
	epoch    int64
	sequence uint64
	// debt is set by the first settlement; guarded by the client's mutex.
	debt *debt
}

// debt is a settlement that the ledger has not acknowledged yet.
type debt struct {
	pb *ledgerpb.Settlement
	// done is closed when the ledger has acknowledged it.
	done chan struct{}
}

// Amount is what is held, in nano-USD.
func (h *Hold) Amount() money.Amount { return h.demand.Amount }

func (h *Hold) route() *ledgerpb.RouteRef {
	return &ledgerpb.RouteRef{Namespace: h.demand.Namespace, Name: h.demand.Route}
}

// Settle books what the attempt cost and gives the rest of the hold back. The amount may exceed the hold. It counts once: the first
// call decides, a later one waits for the same acknowledgement. An error means that the ledger has not acknowledged it within ctx;
// it is then sent again in the background until it does.
func (h *Hold) Settle(ctx context.Context, amount money.Amount, certainty Certainty) error {
	if amount.IsNegative() || amount.Cmp(maxAmount) > 0 {
		h.client.logger.Error("a settlement is out of range and is cut to it", slog.String("amount", amount.String()))
		amount = money.FromNano(min(max(amount.Nano(), 0), maxAmount.Nano()))
	}
	owed := h.client.enqueue(h, amount, certainty)
	select {
	case <-owed.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: settling %s USD goes on in the background: %w", ErrUnavailable, amount, ctx.Err())
	}
}

// Close sends what is owed, until all of it is acknowledged or ctx ends. Holds that were never settled stay held, and count as
// spent once the proxy is silent.
func (c *Client) Close(ctx context.Context) error {
	c.settleLoop(ctx, func() bool { return c.owed() == 0 })
	if owed := c.owed(); owed > 0 {
		return fmt.Errorf("%w: %d settlements were not acknowledged; their holds count as spent", ErrUnavailable, owed)
	}
	return nil
}

func (c *Client) newHold(current *session, demand Demand) *Hold {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	c.unsettled[c.next] = struct{}{}
	return &Hold{client: c, demand: demand, epoch: current.pb.GetEpoch(), sequence: c.next}
}

// forget ends a hold that the ledger has surely not made.
func (c *Client) forget(hold *Hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsettled, hold.sequence)
}

// enqueue makes the settlement a debt, unless the hold has one already, and returns the debt.
func (c *Client) enqueue(hold *Hold, amount money.Amount, certainty Certainty) *debt {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hold.debt != nil {
		return hold.debt
	}
	hold.debt = &debt{done: make(chan struct{}), pb: &ledgerpb.Settlement{
		Epoch:         hold.epoch,
		Sequence:      hold.sequence,
		AmountNanoUsd: amount.Nano(),
		Certainty:     certaintyProto(certainty),
		Route:         hold.route(),
		Consumer:      hold.demand.Consumer,
	}}
	c.debts = append(c.debts, hold.debt)
	select {
	case c.owe <- struct{}{}:
	default:
	}
	return hold.debt
}

// certaintyProto takes everything that is not Exact as uncertain: a cost that nobody vouches for.
func certaintyProto(certainty Certainty) ledgerpb.Settlement_Certainty {
	if certainty == Exact {
		return ledgerpb.Settlement_CERTAINTY_EXACT
	}
	return ledgerpb.Settlement_CERTAINTY_UNCERTAIN
}

func (c *Client) owed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.debts)
}

// settledBelow is the lowest sequence whose settlement may still be sent.
func (c *Client) settledBelow() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	lowest := c.next + 1
	for sequence := range c.unsettled {
		lowest = min(lowest, sequence)
	}
	return lowest
}

// settleUntil sends debts as they come, until ctx ends.
func (c *Client) settleUntil(ctx context.Context) {
	c.settleLoop(ctx, func() bool { return false })
}

// settleLoop sends debts until done or until ctx ends, and backs off while the ledger does not take them.
func (c *Client) settleLoop(ctx context.Context, done func() bool) {
	for pause := settlePause; ctx.Err() == nil && !done(); {
		sent, err := c.settleSome(ctx)
		switch {
		case err != nil:
			c.logger.Warn("settling", slog.Any("error", err), slog.Int("owed", c.owed()))
			waitFor(ctx, nil, pause)
			pause = min(2*pause, settlePauseMax)
		case sent == 0 && !done():
			waitFor(ctx, c.owe, settlePauseMax)
		default:
			pause = settlePause
		}
	}
}

// waitFor returns when ctx ends, when wake fires or when the pause is over.
func waitFor(ctx context.Context, wake <-chan struct{}, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// settleSome sends one batch of debts and returns how many the ledger acknowledged.
func (c *Client) settleSome(ctx context.Context) (int, error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	batch := c.batch()
	if len(batch) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	current, err := c.awaitSession(ctx)
	if err != nil {
		return 0, err
	}
	request := &ledgerpb.SettleRequest{Session: current.pb}
	for _, owed := range batch {
		request.Settlements = append(request.Settlements, owed.pb)
	}
	if _, err := c.rpc.Settle(ctx, request); err != nil {
		c.dropIfUnknown(current, err)
		return 0, fmt.Errorf("sending %d settlements: %w", len(batch), err)
	}
	c.acknowledge(batch)
	return len(batch), nil
}

func (c *Client) batch() []*debt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.debts[:min(len(c.debts), settleBatch)])
}

// acknowledge takes the batch, which is the oldest debts, off the list.
func (c *Client) acknowledge(batch []*debt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.debts = slices.Delete(c.debts, 0, len(batch))
	for _, paid := range batch {
		delete(c.unsettled, paid.pb.GetSequence())
		close(paid.done)
	}
}
