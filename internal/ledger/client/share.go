package client

import (
	"context"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// Share is what a request may fairly be held for.
type Share struct {
	// Amount is in nano-USD; Tokens are those of prompt and completion. What no account limits is more than any request can take.
	Amount money.Amount
	Tokens int64
}

// Share is what a request may fairly be held for that names no limit of its own: of each account that its consumer spends from at its
// upstream, half of what this proxy would get if what is left were divided among all that draw on it, so that another request fits
// beside it; the least of these. What the demand needs does not count. The error is that of Reserve.
func (c *Client) Share(ctx context.Context, demand Demand) (Share, error) {
	share, known := c.shareNow(demand.key())
	if known {
		return share, nil
	}
	// To ask for nothing is how to learn which accounts there are.
	demand.Amount, demand.Requests, demand.Tokens = money.Amount{}, 0, 0
	got := c.await(ctx, c.options.Now(), demand)
	if got.err != nil {
		return Share{}, got.err
	}
	c.mu.Lock()
	returned := c.purse.end(c.options.Now(), demand.key(), got.taken, budget.Amounts{}, budget.Amounts{})
	c.mu.Unlock()
	c.giveBack(returned)
	share, _ = c.shareNow(demand.key())
	return share, nil
}

func (c *Client) shareNow(key spenderKey) (share Share, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.purse.spender(key)
	if by == nil {
		return Share{}, false
	}
	shares := budget.Amounts{maxAmount, maxAmount, maxAmount}
	now := c.options.Now()
	for _, s := range by.slices {
		if !s.usable(now) {
			return Share{}, false
		}
		left := s.free.Add(s.told.free)
		shares[s.unit] = least(shares[s.unit], money.FromNano(max(left.Nano(), 0)/(2*s.told.sharers)))
	}
	return Share{Amount: shares[budget.USD], Tokens: shares[budget.Tokens].Nano()}, true
}
