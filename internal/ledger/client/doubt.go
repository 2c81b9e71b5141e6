package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// A hold that is settled as uncertain, and whose answer the upstream named, is a doubt until it is corrected or given up. The journal
// remembers the doubt, so that a process that is killed leaves it to the next:
//
//   - it begins with the settlement (kindRecord), behind the upstream's id (kindSent), or with a copy of both (kindDoubt);
//   - it ends with a correction (kindRecord, for the same hold) or with kindGivenUp.
//
// A correction is a numbered record, so that it is there whole or not at all, and the ledger applies it once. What ends a doubt is always
// behind all that the journal has of it, and goes with an older segment never before that. So a doubt that has ended is not found again.
const (
	// maxDoubts is for how many doubts the journal cares at a time. Others are corrected as well, if this process lives to do so.
	maxDoubts = 1000
	// maxGeneration is how long an upstream's id of an answer may be, in bytes; OpenRouter's have about thirty.
	maxGeneration = 256
)

// doubts are what may be corrected yet.
type doubts struct {
	// ending is held while a doubt ends, and while doubts are written anew: nothing of a doubt may be behind its end.
	ending sync.Mutex
	// open are those that the journal cares for, by hold, and inherited those that an earlier process left. The client's mutex guards both.
	open      map[uint64]*Hold
	inherited []*Hold
	// known is closed once the ledger has all that an earlier process left.
	known chan struct{}
}

func newDoubts() doubts { return doubts{open: map[uint64]*Hold{}, known: make(chan struct{})} }

// Doubt is an attempt of an earlier process whose settlement is uncertain and whose cost the upstream may know.
type Doubt struct {
	// Hold is the attempt's. Whoever has the doubt calls its Correct or its GiveUp in the end.
	*Hold

	Route    Route
	Consumer string
	// Upstream is the name of the upstream.
	Upstream string
	// Amount is what is booked, in nano-USD.
	Amount money.Amount
	// Generation is the upstream's id of the answer.
	Generation string
}

// PastDoubts returns the doubts that earlier processes left in the journal, once the ledger has their settlements; none if ctx ends first.
// Run must be running.
func (c *Client) PastDoubts(ctx context.Context) []Doubt {
	select {
	case <-ctx.Done():
		return nil
	case <-c.doubts.known:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make([]Doubt, 0, len(c.doubts.inherited))
	for _, h := range c.doubts.inherited {
		if !h.doubtful.IsZero() {
			key := h.demand.key()
			found = append(found, Doubt{
				Hold: h, Route: key.route, Consumer: key.consumer, Upstream: h.demand.Upstream,
				Amount: h.doubtful, Generation: h.generation,
			})
		}
	}
	return found
}

// noteGeneration remembers the upstream's id of the answer.
func (c *Client) noteGeneration(h *Hold, generation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.generation = generation
}

// beginDoubt notes what is booked as uncertain for a hold. From then on the journal keeps what the next process would have to know; the
// caller still holds the hold, so that there is no gap.
func (c *Client) beginDoubt(h *Hold, amount money.Amount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.doubtful = amount
	if h.generation != "" && !amount.IsZero() && len(c.doubts.open) < maxDoubts {
		h.doubtAt = h.at
		c.doubts.open[h.id] = h
	}
}

// endDoubt returns what is booked as uncertain for a hold and not corrected, and whether the journal has the doubt. Only the first call
// returns something.
func (c *Client) endDoubt(h *Hold) (booked money.Amount, kept bool) {
	c.doubts.ending.Lock()
	defer c.doubts.ending.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	booked = h.doubtful
	h.doubtful = money.Amount{}
	_, kept = c.doubts.open[h.id]
	delete(c.doubts.open, h.id)
	return booked, kept
}

// GiveUp says that nobody will find out what an attempt cost whose settlement is uncertain: it stays so, and the journal forgets the
// doubt. It does nothing if there is none.
func (h *Hold) GiveUp() {
	c := h.client
	if _, kept := c.endDoubt(h); !kept {
		return
	}
	entry := journal.Entry{Kind: kindGivenUp, Payload: binary.LittleEndian.AppendUint64(nil, h.id)}
	if _, err := c.journal.Append(entry); err != nil {
		c.logger.Warn("the next process will ask in vain what an attempt cost", slog.Any("error", err))
	}
}

// keepDoubts lowers a position to the lowest that a doubt needs. The caller holds the mutex.
func (c *Client) keepDoubts(needed journal.Position) journal.Position {
	for _, h := range c.doubts.open {
		if h.doubtAt.Before(needed) {
			needed = h.doubtAt
		}
	}
	return needed
}

// carryDoubts writes the doubts anew that would keep old segments of the journal from being deleted: a doubt lives for minutes, in which a
// busy proxy writes gigabytes. The caller holds the lock of shipping.
func (c *Client) carryDoubts() {
	c.doubts.ending.Lock()
	defer c.doubts.ending.Unlock()
	end := c.journal.End()
	old, entries := c.oldDoubts(end)
	// In this order: what was settled before it was looked for is written, or it waits for the disk.
	if len(old) == 0 || c.book.waits() {
		return
	}
	_, err := c.journal.Append(entries...)
	if err != nil {
		c.logger.Warn("what is uncertain stays so if this process is killed", slog.Any("error", err), slog.Int("attempts", len(old)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range old {
		// A disk that has no space for them needs that of the old segments.
		if h.doubtAt = end; err != nil {
			delete(c.doubts.open, h.id)
		}
	}
}

// oldDoubts are those that are neither in the last segment of the journal nor in the one before, and whose settlement is no longer about to
// be written; and what to write of them.
func (c *Client) oldDoubts(end journal.Position) (old []*Hold, entries []journal.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, h := range c.doubts.open {
		_, settling := c.holds[id]
		if !settling && (h.doubtAt == journal.Position{} || h.doubtAt.Segment+1 < end.Segment) {
			old = append(old, h)
			entries = append(entries, journal.Entry{Kind: kindDoubt, Payload: h.doubtPayload()})
		}
	}
	return old, entries
}

// moveDoubts has all doubts written into another journal. The caller holds the mutex.
func (c *Client) moveDoubts() {
	for _, h := range c.doubts.open {
		h.doubtAt = journal.Position{}
	}
}

// disown forgets the doubts of an earlier process whose log is not the ledger's: another process may have ended them. They stay uncertain.
// The caller holds the mutex.
func (c *Client) disown() {
	for _, h := range c.doubts.inherited {
		h.doubtful = money.Amount{}
		delete(c.doubts.open, h.id)
	}
	c.doubts.inherited = nil
}

// waits reports whether records wait for the disk.
func (b *book) waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.unwritten) > 0
}

// doubtPayload is a doubt in the journal: the length of the upstream's id of the answer, the id, and what is booked. The caller holds the
// client's mutex.
func (h *Hold) doubtPayload() []byte {
	encoded := binary.LittleEndian.AppendUint64(nil, h.id)
	encoded = binary.LittleEndian.AppendUint16(encoded, uint16(len(h.generation))) //nolint:gosec // It is at most maxGeneration.
	encoded = append(encoded, h.generation...)
	booked := &ledgerpb.Settlement{
		Route:         &ledgerpb.RouteRef{Namespace: h.demand.Namespace, Name: h.demand.Route},
		Consumer:      h.demand.Consumer,
		OpenedAt:      timestamppb.New(h.openedAt),
		AmountNanoUsd: h.doubtful.Nano(),
		Certainty:     ledgerpb.Settlement_CERTAINTY_UNCERTAIN,
		Model:         h.demand.Model,
		Upstream:      h.demand.Upstream,
		Team:          h.demand.Team,
	}
	encoded, err := proto.MarshalOptions{}.MarshalAppend(encoded, booked)
	if err != nil {
		panic(fmt.Sprintf("encoding a doubt: %v", err)) // Such a message can always be encoded.
	}
	return encoded
}

// readDoubt reads what doubtPayload wrote.
func readDoubt(encoded []byte) (generation string, booked *ledgerpb.Settlement, err error) {
	const head = holdBytes + 2
	if len(encoded) < head || len(encoded) < head+int(binary.LittleEndian.Uint16(encoded[holdBytes:])) {
		return "", nil, errors.New("a doubt in the journal is cut off")
	}
	end := head + int(binary.LittleEndian.Uint16(encoded[holdBytes:]))
	booked = &ledgerpb.Settlement{}
	if err := proto.Unmarshal(encoded[end:], booked); err != nil {
		return "", nil, fmt.Errorf("reading a doubt in the journal: %w", err)
	}
	return string(encoded[head:end]), booked, nil
}
