package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// Run settles what an earlier process left, keeps a session with the ledger open, says that the proxy lives, draws money and reports what
// was spent, until ctx ends. Without it no money can be held. It is called once.
func (c *Client) Run(ctx context.Context) {
	if !c.takeUpPast(ctx) {
		return
	}
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { c.shipUntil(ctx, gatherTime, func() bool { return false }) })
	loops.Go(func() { c.drawUntil(ctx) })
	loops.Go(func() { c.settlePast(ctx) })
	for ctx.Err() == nil {
		pause := retryPause
		if c.renewIdentity() {
			pause = c.beat(ctx)
		}
		waitFor(ctx, c.wake, pause)
	}
}

// takeUpPast reads what an earlier process left in the journal, and tries until it has. It reports false if ctx ended first.
func (c *Client) takeUpPast(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := c.replay(ctx)
		if err == nil {
			return true
		}
		c.logger.Error("taking up what is in the journal", slog.Any("error", err))
		waitFor(ctx, nil, retryPause)
	}
	return false
}

// replay takes up what the journal has. After a crash it is all there, so that what was held is settled and everything else can be given
// back. After a reboot or with damage its end may be missing: then what is there is reported under the old identity, nothing is given
// back, and another journal is begun.
func (c *Client) replay(ctx context.Context) error {
	found := c.options.Replay
	if found.Torn != nil {
		c.logger.Warn("the end of the journal was cut short and is dropped; nothing relied on it", slog.String("file", found.Torn.File),
			slog.Int64("offset", found.Torn.Offset), slog.Int64("bytes", found.Torn.Bytes))
	}
	switch {
	case found.Fresh:
		c.mu.Lock()
		c.settledPast = true
		c.mu.Unlock()
		return nil
	case found.SameBoot && found.Damage == nil:
		return c.resume(found)
	}
	return c.abandon(ctx, found)
}

// openHold is a hold of an earlier process that has no settlement, or one that may be corrected.
type openHold struct {
	payload []byte
	at      journal.Position
	// generation is the upstream's id of the answer, empty if there is none. booked is what is booked as uncertain, nil before that.
	generation string
	booked     *ledgerpb.Settlement
}

// resume settles what an earlier process of this boot held: it may have been sent and billed, so all of it, as uncertain. It can be called
// again after it failed, and by another process after this one was killed in it: each settlement names the hold that it settles.
func (c *Client) resume(found *journal.Replay) error {
	if c.resumed {
		return nil
	}
	open := map[uint64]openHold{}
	for record, err := range found.Records() {
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		if err := c.recall(record, open); err != nil {
			return err
		}
	}
	worst := make(map[uint64]*ledgerpb.Settlement, len(open))
	for id, hold := range open {
		if hold.booked != nil {
			continue
		}
		worst[id] = &ledgerpb.Settlement{}
		if err := readPayload(hold.payload, worst[id]); err != nil {
			return err
		}
		hold.booked = worst[id]
		open[id] = hold
	}
	if len(worst) > 0 {
		c.logger.Warn("requests were under way when the last process ended; what they can have cost counts as spent",
			slog.Int("requests", len(worst)))
	}
	c.resumed = true
	c.inherit(open)
	c.book.resume(found.First, found.Next)
	for id, one := range worst {
		// What the disk does not take now is written again.
		_ = c.book.add(id, open[id].at, &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: one}})
	}
	_ = c.book.add(0, c.journal.End(), releaseAll())
	return nil
}

// resume makes the book go on with a log of which the journal has the records from first to before next.
func (b *book) resume(first, next uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledged, b.inherited = first-1, next-1
}

// recall takes up one record of the journal.
func (c *Client) recall(record journal.Record, open map[uint64]openHold) error {
	id, err := holdOf(record.Payload)
	if err != nil {
		return err
	}
	c.lastHold = max(c.lastHold, id)
	if record.Kind == kindHold {
		open[id] = openHold{payload: slices.Clone(record.Payload), at: record.Position}
		return nil
	}
	return recallDoubt(id, record, open)
}

// settlePast waits until the ledger has what an earlier process left, and lets money be drawn then.
func (c *Client) settlePast(ctx context.Context) {
	for last := uint64(0); ; {
		acknowledged, unwritten, changed := c.book.progress()
		if last == 0 && unwritten == 0 {
			last = c.book.last()
		}
		c.mu.Lock()
		c.settledPast = c.settledPast || unwritten == 0 && acknowledged >= last
		settled := c.settledPast
		c.mu.Unlock()
		if settled {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
	close(c.doubts.known)
	wake(c.want)
}

// progress returns the last acknowledged number, how many records wait for the disk, and what is closed when one of these changes.
func (b *book) progress() (acknowledged uint64, unwritten int, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledged, len(b.unwritten), b.changed
}

// abandon reports what is left of a journal whose end may be missing, and begins another one.
func (c *Client) abandon(ctx context.Context, found *journal.Replay) error {
	reason := "the machine was rebooted"
	if found.Damage != nil {
		reason = found.Damage.Error()
	}
	c.logger.Warn("the journal's end may be missing: what it has is reported, and what was out with the old identity counts as uncertain",
		slog.String("proxy", found.ProxyID), slog.String("reason", reason))
	if !c.reported {
		if err := c.reportRemains(ctx, found); err != nil {
			return err
		}
		c.reported = true
	}
	replace := c.journal.Retire
	if found.Damage != nil {
		replace = c.setAside
	}
	if err := c.book.begin(replace, c.remains); err != nil {
		return err
	}
	c.rewrite()
	c.mu.Lock()
	c.settledPast = true
	c.mu.Unlock()
	return nil
}

// reportRemains sends the numbered records of an old identity.
func (c *Client) reportRemains(ctx context.Context, found *journal.Replay) error {
	if found.First == found.Next {
		return nil
	}
	opened, err := c.openRemains(ctx, found.ProxyID)
	if err != nil {
		return err
	}
	next := uint64(max(opened.GetApplied(), 0)) + 1
	if next < found.First {
		c.logger.Error("the ledger lacks records that are not in the journal any more; those that are go to it under another identity",
			slog.String("proxy", found.ProxyID), slog.Uint64("applied", next-1), slog.Uint64("first", found.First))
	}
	if next < found.First {
		c.remains, err = recordsFrom(found, next)
		return err
	}
	records, err := recordsFrom(found, next)
	for err == nil && len(records) > 0 {
		var count int
		count, err = c.sendRemains(ctx, opened.GetSession(), next, records)
		records, next = records[count:], next+uint64(count) //nolint:gosec // It is a count.
	}
	return err
}

// recordsFrom reads the numbered records from a number on, up to where the journal is damaged.
func recordsFrom(found *journal.Replay, first uint64) ([]*ledgerpb.Record, error) {
	var records []*ledgerpb.Record
	for record, err := range found.Records() {
		if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the journal: %w", err)
		}
		if record.Kind != kindRecord || record.Number < first {
			continue
		}
		read := &ledgerpb.Record{}
		if err := readPayload(record.Payload, read); err != nil {
			return nil, err
		}
		records = append(records, read)
	}
	return records, nil
}

// openRemains opens a session for an old identity.
func (c *Client) openRemains(ctx context.Context, proxyID string) (*ledgerpb.OpenSessionResponse, error) {
	for ctx.Err() == nil {
		if routes := c.options.Routes(); len(routes) > 0 {
			return c.callOpen(ctx, proxyID, routes)
		}
		waitFor(ctx, c.wake, idlePause)
	}
	return nil, ctx.Err()
}

// sendRemains sends the first of the records and returns how many.
func (c *Client) sendRemains(ctx context.Context, in *ledgerpb.Session, first uint64, records []*ledgerpb.Record) (int, error) {
	count, bytes := 0, 0
	for count < min(len(records), shipBatch) && bytes < shipBytes {
		bytes += proto.Size(records[count])
		count++
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Append(ctx, &ledgerpb.AppendRequest{
		Session: in, First: int64(first), Records: records[:count], //nolint:gosec // Records are counted one by one.
	})
	if err != nil {
		return 0, fmt.Errorf("sending %d records: %w", count, err)
	}
	return count, nil
}
