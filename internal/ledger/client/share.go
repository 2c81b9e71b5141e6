package client

import (
	"context"

	"github.com/modelroute/modelroute/internal/money"
)

// Share is what a request may fairly be held for that names no limit of its own: of each account that its consumer spends from, half of
// what this proxy would get if what is left were divided among all that serve the route, so that another request fits beside it; the
// least of these. The demand's amount does not count. The error is that of Reserve.
func (c *Client) Share(ctx context.Context, demand Demand) (money.Amount, error) {
	share, known := c.shareNow(demand.key())
	if known {
		return share, nil
	}
	// To ask for nothing is how to learn which accounts there are.
	demand.Amount = money.Amount{}
	taken, err := c.await(ctx, c.options.Now(), demand)
	if err != nil {
		return money.Amount{}, err
	}
	c.mu.Lock()
	returned := c.purse.end(c.options.Now(), demand.key(), taken, money.Amount{}, money.Amount{})
	c.mu.Unlock()
	c.giveBack(returned)
	share, _ = c.shareNow(demand.key())
	return share, nil
}

func (c *Client) shareNow(key spenderKey) (share money.Amount, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	payer := c.purse.spenders[key]
	if payer == nil {
		return money.Amount{}, false
	}
	share, now := maxAmount, c.options.Now()
	for _, s := range payer.slices {
		if !s.usable(now) {
			return money.Amount{}, false
		}
		left := s.free.Add(s.told.free)
		share = least(share, money.FromNano(max(left.Nano(), 0)/(2*s.told.sharers)))
	}
	return share, true
}
