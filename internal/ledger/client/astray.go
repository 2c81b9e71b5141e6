package client

import (
	"errors"
	"fmt"
	"log/slog"
	"sort"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// leave gives the log up and remembers what of it the ledger cannot have: the next log begins with that. applied is how far the ledger
// has this one.
func (b *book) leave(applied uint64) error {
	first := applied + 1
	b.mu.Lock()
	done := b.astray
	if last := b.last(); applied > last {
		// The numbers up to those of the process before were given out once. Whether the ledger has what this one wrote is known from its
		// answers.
		first = max(b.acknowledged, b.inherited) + 1
	}
	b.mu.Unlock()
	if done {
		return nil
	}
	b.turning.Lock()
	defer b.turning.Unlock()
	kept, err := b.remains(first)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.astray, b.carried = true, kept
	return nil
}

// remains are the records from a number on that the journal still has.
func (b *book) remains(first uint64) ([]*ledgerpb.Record, error) {
	last := b.last()
	if last < first {
		return nil, nil
	}
	gone := sort.Search(int(last-first+1), func(i int) bool { return b.has(first + uint64(i)) }) //nolint:gosec // A journal's numbers fit.
	first += uint64(gone)                                                                        //nolint:gosec // As above.
	var kept []*ledgerpb.Record
	for first <= last {
		records, err := b.read(first)
		if err != nil {
			return nil, err
		}
		kept, first = append(kept, records...), first+uint64(len(records))
	}
	return kept, nil
}

// settlementsOf picks what has a meaning under another identity: what was spent. Returns are of leases that are not that one's.
func settlementsOf(records []*ledgerpb.Record) []*ledgerpb.Record {
	var kept []*ledgerpb.Record
	for _, record := range records {
		if record.GetSettlement() != nil {
			kept = append(kept, record)
		}
	}
	return kept
}

// begin gives the journal another identity. Its log begins with the settlements among the records, and with those that were carried here
// or wait for the disk.
func (b *book) begin(replace func() error, records []*ledgerpb.Record) error {
	b.turning.Lock()
	defer b.turning.Unlock()
	if err := replace(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.recent)
	b.acknowledged, b.inherited = 0, 0
	records = append(records, b.carried...)
	for _, one := range b.unwritten {
		records = append(records, one.record)
	}
	b.unwritten = nil
	for _, record := range settlementsOf(records) {
		b.unwritten = append(b.unwritten, unwritten{record: record, needed: b.journal.End()})
	}
	b.astray, b.carried = false, nil
	b.signal()
	return nil
}

// released notes that an operator gave this proxy up, so that the ledger gives it no money any more, and what it drew is not its own.
// The caller holds the mutex.
func (c *Client) released() {
	if c.renew {
		return
	}
	c.logger.Error("this proxy was given up by an operator; it goes on under another identity once nothing is under way")
	c.beginRenewal()
}

// beginRenewal stops the spending under this identity. The caller holds the mutex.
func (c *Client) beginRenewal() {
	c.renew = true
	c.purse.abandon(c.options.Now())
	wake(c.wake)
}

// astray gives this identity up if the error says that its log cannot be continued; applied is how far the ledger has it.
func (c *Client) astray(err error, applied uint64) error {
	if !errors.Is(err, errAstray) {
		return err
	}
	c.logger.Error("this proxy goes on under another identity; what was out with it counts as uncertain", slog.Any("error", err),
		slog.String("proxy", c.journal.ProxyID()))
	if problem := c.book.leave(applied); problem != nil {
		return errors.Join(err, problem)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disown()
	if !c.renew {
		c.beginRenewal()
	}
	return err
}

// renewIdentity begins another journal if this identity gets no money any more and nothing is under way, once all that was done under it
// is reported, as far as it can be. It reports whether there is an identity to go on with.
func (c *Client) renewIdentity() bool {
	c.mu.Lock()
	due := c.renew && c.purse.idle()
	waiting := c.renew && c.book.isAstray()
	c.mu.Unlock()
	if !due {
		return !waiting
	}
	c.shipping.Lock()
	defer c.shipping.Unlock()
	if !c.book.isAstray() && c.book.owed() > 0 {
		return true
	}
	if err := c.replaceJournal(); err != nil {
		c.logger.Error("beginning another journal", slog.Any("error", err))
		return false
	}
	c.mu.Lock()
	c.renew, c.settledPast = false, true
	c.mu.Unlock()
	c.book.tell() // Whoever waits for the past to be settled may have looked between the new journal and this.
	c.rewrite()
	return true
}

// replaceJournal begins another journal. From before that on no money is held until the ledger knows the new identity.
func (c *Client) replaceJournal() error {
	c.mu.Lock()
	c.purse, c.session = newPurse(), nil
	c.moveDoubts()
	c.mu.Unlock()
	replace := c.journal.Retire
	if c.book.isAstray() {
		replace = c.setAside
	}
	return c.book.begin(replace, nil)
}

// setAside keeps the journal for people and begins another.
func (c *Client) setAside() error {
	folder, err := c.journal.SetAside()
	if err != nil {
		return err
	}
	c.logger.Warn("the journal was set aside", slog.String("folder", folder))
	return nil
}

// rewrite writes what the disk did not take before. The caller holds the lock of shipping, or is the only one that could.
func (c *Client) rewrite() {
	if err := c.book.writeAgain(); err != nil {
		c.logger.Warn("records wait for the disk", slog.Any("error", fmt.Errorf("writing again: %w", err)))
	}
}

func (b *book) isAstray() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.astray
}
