package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

const (
	// heldPatience is how long Reserve waits for money that others hold.
	heldPatience = 2 * time.Second
	// lostPatience is for how long a draw is tried again while the ledger is away, as while it restarts.
	lostPatience = 2 * time.Second
	// sessionPatience is how long a reservation waits for a session to be opened.
	sessionPatience = 5 * time.Second
)

// maxAmount is the most that one hold or settlement can be, in nano-USD: one more than any limit that a manifest can have, so that
// a demand too large to be computed is never granted under a budget that denies.
var maxAmount = money.FromNano(1_000_000_000 * money.NanoPerUSD)

// request is a reservation that waits for money to be drawn.
type request struct {
	demand Demand
	since  time.Time
	// lostSince is since when the ledger cannot be asked, heldSince since when it says that others hold the money; zero if not so.
	lostSince, heldSince time.Time
	denied               *DeniedError
	refused              error
	// asked is how often the ledger was asked for it.
	asked int
	// claimed is what was put aside for it while the ledger is asked.
	claimed []charge
	// outcome gets one value.
	outcome chan outcome
}

// outcome is what became of a request: slices that its amount was taken from, or an error.
type outcome struct {
	taken []*slice
	// team is in whose name it is spent.
	team string
	err  error
}

// Reserve holds the demand's amount in every budget of its route, consumer and upstream, and of the owners on which the consumer draws,
// that denies and covers the upstream, or in none. Ordinarily it takes it from what the proxy has drawn ahead of need, without a call. If
// the money is there but held by other requests, it waits up to two seconds for it. The error is a *DeniedError if a budget refuses, else
// one that wraps ErrUnavailable.
func (c *Client) Reserve(ctx context.Context, demand Demand) (*Hold, error) {
	if err := demand.check(); err != nil {
		return nil, err
	}
	demand.Amount, demand.Tokens = least(demand.Amount, maxAmount), min(demand.Tokens, maxAmount.Nano())
	now := c.options.Now()
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return nil, errClosing
	}
	var got outcome
	var enough bool
	got.taken, enough = c.purse.take(now, demand.key(), demand.need())
	got.team = c.purse.team(demand.key().payerKey, demand.Team)
	if enough && c.purse.low(now, demand.key()) {
		c.ahead[demand.key()] = struct{}{}
		wake(c.want)
	}
	c.mu.Unlock()
	if !enough {
		if got = c.await(ctx, now, demand); got.err != nil {
			return nil, got.err
		}
	}
	demand.Team = got.team
	return c.open(demand, got.taken)
}

// maxName is the longest name that the ledger knows, in bytes.
const maxName = 253

// check finds what the ledger would refuse, and with it everything that is asked for in the same call.
func (d Demand) check() error {
	if d.Amount.IsNegative() {
		return fmt.Errorf("%w: a hold of %s USD is negative", ErrUnavailable, d.Amount)
	}
	if d.Requests < 0 || d.Tokens < 0 {
		return fmt.Errorf("%w: a hold of %d requests and %d tokens is negative", ErrUnavailable, d.Requests, d.Tokens)
	}
	for _, name := range [...]string{d.Namespace, d.Route, d.Consumer} {
		if name == "" || len(name) > maxName {
			return fmt.Errorf("%w: a name has %d bytes, must have between 1 and %d", ErrUnavailable, len(name), maxName)
		}
	}
	return nil
}

// errClosing refuses requests that come while the proxy ends.
var errClosing = fmt.Errorf("%w: the proxy ends", ErrUnavailable)

// await waits for money to be drawn.
func (c *Client) await(ctx context.Context, now time.Time, demand Demand) outcome {
	r := &request{demand: demand, since: now, outcome: make(chan outcome, 1)}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return outcome{err: errClosing}
	}
	c.waiting = append(c.waiting, r)
	c.mu.Unlock()
	wake(c.want)
	if demand.Queued != nil {
		defer func() { *demand.Queued += c.options.Now().Sub(now) }()
	}
	select {
	case got := <-r.outcome:
		return got
	case <-ctx.Done():
	}
	return outcome{err: c.leave(r, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err()))}
}

// leave ends a request for which nobody waits any more; what it may have got goes back.
func (c *Client) leave(r *request, err error) error {
	c.mu.Lock()
	if at := slices.Index(c.waiting, r); at >= 0 {
		c.waiting = slices.Delete(c.waiting, at, at+1)
	}
	denied := r.denied
	c.mu.Unlock()
	select {
	case got := <-r.outcome:
		if got.err == nil {
			c.mu.Lock()
			returned := c.purse.end(c.options.Now(), r.demand.key(), got.taken, r.demand.need(), budget.Amounts{})
			c.mu.Unlock()
			c.giveBack(returned)
		}
	default:
	}
	if denied != nil {
		return denied
	}
	return err
}

// serveWaiting gives those who wait what is there now, in the order in which they came, and refuses those who waited long enough. The
// caller holds the mutex.
func (c *Client) serveWaiting(now time.Time, connected bool) {
	left := c.waiting[:0]
	for _, r := range c.waiting {
		taken, enough := c.purse.take(now, r.demand.key(), r.demand.need())
		err := r.verdict(now, connected)
		switch {
		case enough:
			r.outcome <- outcome{taken: taken, team: c.purse.team(r.demand.key().payerKey, r.demand.Team)}
		case c.closing:
			r.outcome <- outcome{err: errClosing}
		case err != nil:
			r.outcome <- outcome{err: err}
		default:
			left = append(left, r)
		}
	}
	clear(c.waiting[len(left):])
	c.waiting = left
}

// verdict says why a request waits no longer; nil if it does.
func (r *request) verdict(now time.Time, connected bool) error {
	switch {
	case r.refused != nil:
		return r.refused
	case r.denied != nil && (r.denied.Reason == Exhausted || now.Sub(r.heldSince) >= heldPatience):
		return r.denied
	case !r.lostSince.IsZero() && now.Sub(r.lostSince) >= lostPatience:
		return fmt.Errorf("%w: it does not answer", ErrUnavailable)
	case !connected && now.Sub(r.since) >= sessionPatience:
		return fmt.Errorf("%w: there is no session with it", ErrUnavailable)
	}
	return nil
}
