package client

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

const (
	// shipPause is the first pause after a failed call; it doubles up to shipPauseMax.
	shipPause    = 50 * time.Millisecond
	shipPauseMax = time.Second
	// gatherTime is how long records gather, so that a proxy sends many with one call: a call costs proxy and ledger as much as some
	// requests do, and until it is made only the spend that is shown is behind. Money that goes back does not wait.
	gatherTime = 50 * time.Millisecond
)

// shipUntil sends records to the ledger as they come, until ctx ends or until done; it backs off while the ledger does not take them.
// Between two calls it lets records gather for so long.
func (c *Client) shipUntil(ctx context.Context, gather time.Duration, done func() bool) {
	for pause := shipPause; ctx.Err() == nil && !done(); {
		shipped, err := c.ship(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				c.logger.Warn("reporting to the ledger", slog.Any("error", err), slog.Int("owed", c.book.owed()))
			}
			waitFor(ctx, nil, pause)
			pause = min(2*pause, shipPauseMax)
		case shipped == 0 && !done():
			waitFor(ctx, c.owe, time.Second)
			waitFor(ctx, c.hurry, gather)
		default:
			pause = shipPause
			if c.book.owed() < shipBatch {
				waitFor(ctx, c.hurry, gather)
			}
		}
	}
}

// ship sends one batch and returns how many records the ledger acknowledged.
func (c *Client) ship(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.book.owed() == 0 || c.book.isAstray() {
		return 0, nil
	}
	// Whoever waits for a session must not keep the lock from who opens it.
	if _, err := c.awaitSession(ctx); err != nil {
		return 0, err
	}
	c.shipping.Lock()
	defer c.shipping.Unlock()
	// What is written goes to the ledger also while the disk takes no more: then it can be deleted here.
	c.rewrite()
	first, records, err := c.book.batch()
	if err != nil {
		return 0, err
	}
	// In this order: a session that ended after the batch was taken refuses it, and one of another identity is not there before.
	current := c.currentSession()
	if len(records) == 0 || current == nil {
		return 0, nil
	}
	response, err := c.rpc.Append(ctx, &ledgerpb.AppendRequest{
		Session: current.pb, First: int64(first), Records: records, //nolint:gosec // Records are counted one by one.
	})
	if err != nil {
		c.dropIfUnknown(current, err)
		return 0, fmt.Errorf("sending %d records: %w", len(records), err)
	}
	applied := uint64(max(response.GetApplied(), 0))
	if err := c.book.startAt(applied); err != nil {
		return 0, c.astray(err, applied)
	}
	if applied < first {
		return 0, nil
	}
	c.trim(applied)
	return len(records), nil
}

// trim lets the journal delete what neither the ledger nor an open hold or doubt needs any more.
func (c *Client) trim(acknowledged uint64) {
	c.carryDoubts()
	needed := c.journal.End()
	c.mu.Lock()
	needed = c.keepDoubts(needed)
	for _, h := range c.holds {
		if h.at.Before(needed) {
			needed = h.at
		}
	}
	c.mu.Unlock()
	// In this order: a hold whose settlement waits for the disk is among the one or the other.
	if err := c.journal.Trim(acknowledged, c.book.needed(needed)); err != nil {
		c.logger.Warn("deleting what is done with from the journal", slog.Any("error", err))
	}
}

// Close gives back what is not held and sends what is owed, until the ledger has all of it or ctx ends. No money can be held any more.
// What requests still hold then stays out, and counts as uncertain once the proxy is silent. Run must be running.
func (c *Client) Close(ctx context.Context) error {
	c.stopDrawing(ctx)
	c.mu.Lock()
	idle := len(c.holds) == 0 && c.purse.idle() && c.settledPast && !c.renew
	c.releasedAll = c.releasedAll || idle
	returned := c.purse.abandon(c.options.Now())
	c.mu.Unlock()
	if idle {
		if err := c.book.add(0, c.journal.End(), releaseAll()); err != nil {
			c.logger.Warn("giving everything back to the ledger", slog.Any("error", err))
		}
	} else {
		c.giveBack(returned)
	}
	c.shipUntil(ctx, 0, func() bool { return c.book.owed() == 0 })
	if owed := c.book.owed(); owed > 0 {
		return fmt.Errorf("%w: %d records are not acknowledged; they stay in the journal", ErrUnavailable, owed)
	}
	return nil
}

// stopDrawing ends the drawing of money, and waits for the draw that is under way.
func (c *Client) stopDrawing(ctx context.Context) {
	c.stopServing()
	select {
	case c.drawing <- struct{}{}:
		<-c.drawing
	case <-ctx.Done():
	}
}

func releaseAll() *ledgerpb.Record {
	return &ledgerpb.Record{Kind: &ledgerpb.Record_ReleaseAll{ReleaseAll: true}}
}
