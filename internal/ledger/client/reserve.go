package client

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// heldPatience is how long Reserve waits for others to give money back.
	heldPatience = 2 * time.Second
	// heldPause is the first pause between two tries; it doubles up to heldPauseMax.
	heldPause    = 20 * time.Millisecond
	heldPauseMax = 320 * time.Millisecond
	// lostPatience is for how long a reservation is sent again after its answer was lost, as while the ledger restarts. The sequence
	// makes it count once. All calls for one reservation together take callTimeout at most.
	lostPatience = 2 * time.Second
	// lostPause is the first pause between two such tries; it doubles.
	lostPause = 20 * time.Millisecond
	// sessionPatience is how long a reservation waits for a session to be opened.
	sessionPatience = 5 * time.Second
	// sessionTries is in how many sessions a reservation is tried.
	sessionTries = 2
)

// maxAmount is the most that one hold or settlement can be, in nano-USD: one more than any limit that a manifest can have, so that
// a demand too large to be computed is never granted under a budget that denies.
var maxAmount = money.FromNano(1_000_000_000 * money.NanoPerUSD)

// Reserve holds the demand's amount in every budget of its route and consumer, or in none. If the money is there but held by other
// requests, it waits up to two seconds for it. The error is a *DeniedError if a budget refuses, else one that wraps ErrUnavailable.
func (c *Client) Reserve(ctx context.Context, demand Demand) (*Hold, error) {
	if demand.Amount.IsNegative() {
		return nil, fmt.Errorf("%w: a hold of %s USD is negative", ErrUnavailable, demand.Amount)
	}
	if demand.Amount.Cmp(maxAmount) > 0 {
		demand.Amount = maxAmount
	}
	patience := time.After(heldPatience)
	for pause := heldPause; ; pause = min(2*pause, heldPauseMax) {
		hold, denied, err := c.reserve(ctx, demand)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case denied == nil:
			return hold, nil
		case denied.Reason != Held:
			return nil, denied
		}
		select {
		case <-ctx.Done():
			return nil, denied
		case <-patience:
			return nil, denied
		case <-time.After(pause):
		}
	}
}

// reserve asks once. A session that the ledger no longer knows held nothing, so it asks again in the next one.
func (c *Client) reserve(ctx context.Context, demand Demand) (*Hold, *DeniedError, error) {
	for tries := 1; ; tries++ {
		waiting, cancel := context.WithTimeout(ctx, sessionPatience)
		current, err := c.awaitSession(waiting)
		cancel()
		if err != nil {
			return nil, nil, err
		}
		hold, denied, err := c.reserveIn(ctx, current, demand)
		if connect.CodeOf(err) != connect.CodeNotFound || tries == sessionTries {
			return hold, denied, err
		}
	}
}

// reserveIn asks within one session, and again under the same number while answers are lost. When it ends without the hold, but a
// call may have arrived or may still arrive, the hold is given back in the background.
//
// Only what is lost is sent again: a ledger that is slow is waited for, since another call would make it slower. So the patience begins
// with the first loss, however long that took to show.
func (c *Client) reserveIn(ctx context.Context, current *session, demand Demand) (*Hold, *DeniedError, error) {
	hold := c.newHold(current, demand)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patience, end := context.WithCancel(ctx)
	defer end()
	anyLost := false
	for pause := lostPause; ; pause *= 2 {
		denied, err := c.send(ctx, current, hold)
		if err == nil && denied == nil {
			return hold, nil, nil
		}
		lost := err != nil && answerLost(err)
		if lost && !anyLost {
			anyLost = true
			defer time.AfterFunc(lostPatience, end).Stop()
		}
		if lost {
			waitFor(patience, nil, pause)
		}
		if !lost || patience.Err() != nil {
			c.giveUp(hold, anyLost)
			return nil, denied, err
		}
	}
}

// giveUp ends a hold that nobody uses. If an answer was lost, the ledger may have made it, or may yet, and is told that it is over.
func (c *Client) giveUp(hold *Hold, lost bool) {
	if lost {
		c.enqueue(hold, money.Amount{}, Exact)
		return
	}
	c.forget(hold)
}

// send makes one call.
func (c *Client) send(ctx context.Context, current *session, hold *Hold) (*DeniedError, error) {
	authorized, err := c.authorized(ctx)
	if err != nil {
		return nil, err
	}
	response, err := c.rpc.Reserve(authorized, &ledgerpb.ReserveRequest{
		Session:       current.pb,
		Sequence:      hold.sequence,
		Route:         hold.route(),
		Consumer:      hold.demand.Consumer,
		AmountNanoUsd: hold.demand.Amount.Nano(),
	})
	if err != nil {
		c.dropIfUnknown(current, err)
		return nil, fmt.Errorf("reserving %s USD: %w", hold.demand.Amount, err)
	}
	return deniedError(response.GetDenial()), nil
}

// answerLost reports whether the ledger may have held the money although the call failed. A refusal is an answer; everything else
// may hide a hold.
func answerLost(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeInvalidArgument, connect.CodeFailedPrecondition,
		connect.CodeNotFound, connect.CodeResourceExhausted:
		return false
	}
	return true
}

func deniedError(denial *ledgerpb.Denial) *DeniedError {
	if denial == nil {
		return nil
	}
	reason := Exhausted
	if denial.GetReason() == ledgerpb.Denial_REASON_HELD {
		reason = Held
	}
	return &DeniedError{
		Reason:    reason,
		Consumer:  denial.GetBudget().GetConsumer(),
		Budget:    denial.GetBudget().GetName(),
		Limit:     money.FromNano(denial.GetLimitNanoUsd()),
		Remaining: money.FromNano(denial.GetRemainingNanoUsd()),
		ResetsIn:  denial.GetResetsIn().AsDuration(),
	}
}
