package client

import (
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// Hold is money that is held for one attempt. It must be settled, even if nothing was spent.
type Hold struct {
	client *Client
	demand Demand
	slices []*slice
	// id names the hold in the journal; at is not behind where it is there.
	id       uint64
	at       journal.Position
	openedAt time.Time
	// booking is what the journal has of it, and what is booked in the end.
	booking *booking
	// settled and doubtful are guarded by the client's mutex: whether it is settled, and what is booked as uncertain and not corrected.
	settled  bool
	doubtful money.Amount
	// generation is the upstream's id of the answer, empty if there is none; doubtAt is not behind where the journal has the doubt that is
	// made of it. The client's mutex guards both.
	generation string
	doubtAt    journal.Position
}

// Worst is what is booked if nothing else becomes known of the attempt: all that is held, as uncertain.
func (h *Hold) Worst() Cost {
	return Cost{Amount: h.demand.Amount, Certainty: Uncertain, Tokens: h.demand.Tokens}
}

// booking is what is booked for a hold. Its messages are made at once, since there is one for every attempt.
type booking struct {
	record     ledgerpb.Record
	kind       ledgerpb.Record_Settlement
	settlement ledgerpb.Settlement
	route      ledgerpb.RouteRef
	openedAt   timestamppb.Timestamp
	used       ledgerpb.TokenUsage
	// charges are so many as most have; who has more budgets gets others.
	charges [usualCharges]ledgerpb.Charge
	refs    [usualCharges]*ledgerpb.Charge
}

const usualCharges = 4

// newBooking makes what is booked for the hold if nothing else becomes known of it: all of it, as uncertain.
func (h *Hold) newBooking() *booking {
	b := &booking{}
	b.route.Namespace, b.route.Name = h.demand.Namespace, h.demand.Route
	b.openedAt.Seconds, b.openedAt.Nanos = h.openedAt.Unix(), int32(h.openedAt.Nanosecond()) //nolint:gosec // It is below 1e9.
	b.settlement.Route, b.settlement.Consumer, b.settlement.OpenedAt = &b.route, h.demand.Consumer, &b.openedAt
	b.settlement.Model, b.settlement.Upstream, b.settlement.Team = h.demand.Model, h.demand.Upstream, h.demand.Team
	b.settlement.Used = &b.used
	b.settlement.Charges = b.refs[:0]
	for i, s := range h.slices {
		one := &ledgerpb.Charge{}
		if i < usualCharges {
			one = &b.charges[i]
		}
		one.Lease = s.lease
		b.settlement.Charges = append(b.settlement.Charges, one)
	}
	b.kind.Settlement = &b.settlement
	b.record.Kind = &b.kind
	h.cost(b, h.Worst())
	return b
}

// cost sets what the attempt cost, and with it what is taken of each slice: no more than was held there.
func (h *Hold) cost(b *booking, cost Cost) {
	b.settlement.AmountNanoUsd, b.settlement.Certainty = cost.Amount.Nano(), certaintyProto(cost.Certainty)
	b.settlement.Requests, b.settlement.Tokens = h.demand.Requests, cost.Tokens
	b.settlement.Source = ledgerpb.Settlement_SOURCE_REPORTED
	if cost.Source == Priced {
		b.settlement.Source = ledgerpb.Settlement_SOURCE_PRICED
	}
	b.used.Prompt, b.used.Cached, b.used.CacheWrite = cost.Used.Prompt, cost.Used.Cached, cost.Used.CacheWrite
	b.used.Completion, b.used.Reasoning = cost.Used.Completion, cost.Used.Reasoning
	taken := h.demand.need().Least(h.spent(cost))
	for i, one := range b.settlement.GetCharges() {
		one.Amount = taken[h.slices[i].unit].Nano()
	}
}

// spent is what an attempt of that cost spends of accounts, by their unit.
func (h *Hold) spent(cost Cost) budget.Amounts {
	return budget.Amounts{
		budget.USD: cost.Amount, budget.Requests: money.FromNano(h.demand.Requests), budget.Tokens: money.FromNano(cost.Tokens),
	}
}

// Sent notes the upstream's id of the answer, by which its cost can be asked for later. A journal that cannot be written is no reason to
// stop the answer.
func (h *Hold) Sent(generation string) {
	if generation == "" || len(generation) > maxGeneration {
		return
	}
	h.client.noteGeneration(h, generation)
	entry := journal.Entry{Kind: kindSent, Payload: append(payload(h.id, &ledgerpb.RouteRef{}), generation...)}
	if _, err := h.client.journal.AppendEssential(entry); err != nil {
		h.client.logger.Warn("noting an upstream's id of an answer", slog.Any("error", err))
	}
}

// Cost is what an attempt cost.
type Cost struct {
	// Amount is in nano-USD.
	Amount    money.Amount
	Certainty Certainty
	// Source says where an exact amount is from.
	Source Source
	// Tokens are those of prompt and completion, which count against rate limits. Used is what the upstream reported of them; zero if
	// nothing.
	Tokens int64
	Used   Used
}

// Source says where an exact amount is from.
type Source int

const (
	// Reported is what the upstream said that it charged.
	Reported Source = iota
	// Priced is what the tokens that the upstream reported cost at the route's prices.
	Priced
)

// Used counts tokens by their kind. Cached, which were read from a cache, and CacheWrite, which were written to one, are part of Prompt;
// Reasoning are part of Completion.
type Used struct{ Prompt, Cached, CacheWrite, Completion, Reasoning int64 }

// Settle books what the attempt cost and gives the rest of the hold back. The cost may exceed the hold. It counts once: only the first
// call does anything. It returns when the cost is in the journal, from where it reaches the ledger whatever happens to this process. An
// error means that the disk does not take it now; it is written as soon as the disk does.
func (h *Hold) Settle(cost Cost) error {
	c := h.client
	if within := cost.within(); within != cost {
		c.logger.Error("a settlement is out of range and is cut to it", slog.String("amount", cost.Amount.String()),
			slog.Int64("tokens", cost.Tokens))
		cost = within
	}
	if !c.beginSettling(h) {
		return nil
	}
	if cost.Certainty != Exact {
		c.beginDoubt(h, cost.Amount)
	}
	h.cost(h.booking, cost)
	err := c.book.add(h.id, h.at, &h.booking.record)
	c.endHold(h, h.spent(cost))
	wake(c.owe)
	if err != nil {
		return fmt.Errorf("settling %s USD goes on in the background: %w", cost.Amount, err)
	}
	return nil
}

// within cuts a cost to what the ledger takes.
func (c Cost) within() Cost {
	c.Amount = money.FromNano(min(max(c.Amount.Nano(), 0), maxAmount.Nano()))
	used := &c.Used
	for _, count := range [...]*int64{&c.Tokens, &used.Prompt, &used.Cached, &used.CacheWrite, &used.Completion, &used.Reasoning} {
		*count = min(max(*count, 0), maxAmount.Nano())
	}
	return c
}

// Correct books what an attempt really cost whose settlement was uncertain, in place of what was booked. Only the first call does
// anything. The error is as that of Settle, or says that the amount is out of range: then the settlement stays as it was.
func (h *Hold) Correct(amount money.Amount) error {
	c := h.client
	if amount.IsNegative() || amount.Cmp(maxAmount) > 0 {
		h.GiveUp()
		return fmt.Errorf("correcting %s USD to %s USD, which is out of range", h.demand.Amount, amount)
	}
	replaced, _ := c.endDoubt(h)
	if replaced.IsZero() {
		return nil
	}
	correction := &ledgerpb.Settlement{
		Route:           &ledgerpb.RouteRef{Namespace: h.demand.Namespace, Name: h.demand.Route},
		Consumer:        h.demand.Consumer,
		OpenedAt:        timestamppb.New(h.openedAt),
		AmountNanoUsd:   amount.Nano(),
		Certainty:       ledgerpb.Settlement_CERTAINTY_EXACT,
		ReplacesNanoUsd: replaced.Nano(),
		Model:           h.demand.Model,
		Upstream:        h.demand.Upstream,
		Team:            h.demand.Team,
	}
	// It names the hold, so that the next process does not correct it again.
	err := c.book.add(h.id, h.at, &ledgerpb.Record{Kind: &ledgerpb.Record_Settlement{Settlement: correction}})
	wake(c.owe)
	if err != nil {
		return fmt.Errorf("correcting %s USD to %s USD goes on in the background: %w", replaced, amount, err)
	}
	return nil
}

// certaintyProto takes everything that is not Exact as uncertain: a cost that nobody vouches for.
func certaintyProto(certainty Certainty) ledgerpb.Settlement_Certainty {
	if certainty == Exact {
		return ledgerpb.Settlement_CERTAINTY_EXACT
	}
	return ledgerpb.Settlement_CERTAINTY_UNCERTAIN
}

func (c *Client) beginSettling(h *Hold) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !h.settled
	h.settled = true
	return first
}

// endHold gives back what was held and not spent, here or to the ledger.
func (c *Client) endHold(h *Hold, spent budget.Amounts) {
	c.mu.Lock()
	returned := c.purse.end(c.options.Now(), h.demand.key(), h.slices, h.demand.need(), spent)
	delete(c.holds, h.id)
	waiting, renew := len(c.waiting) > 0, c.renew
	c.mu.Unlock()
	c.giveBack(returned)
	if waiting {
		wake(c.want)
	}
	if renew {
		wake(c.wake)
	}
}

// giveBack sends money back to the ledger.
func (c *Client) giveBack(returned []charge) {
	if len(returned) == 0 {
		return
	}
	records := make([]*ledgerpb.Record, 0, len(returned))
	for _, one := range returned {
		records = append(records, &ledgerpb.Record{Kind: &ledgerpb.Record_Returned{
			Returned: &ledgerpb.Charge{Lease: one.slice.lease, Amount: one.amount.Nano()},
		}})
	}
	if err := c.book.add(0, c.journal.End(), records...); err != nil {
		c.logger.Warn("money goes back to the ledger later", slog.Any("error", err))
	}
	wake(c.owe)
	wake(c.hurry)
}

// open makes a hold of what was taken from slices and writes it to the journal, without which nothing may be sent. If the journal does
// not take it, the money goes back.
func (c *Client) open(demand Demand, from []*slice) (*Hold, error) {
	h := &Hold{client: c, demand: demand, slices: from, at: c.journal.End()}
	c.mu.Lock()
	c.lastHold++
	h.id, h.openedAt = c.lastHold, c.ledgerTime()
	c.holds[h.id] = h
	c.mu.Unlock()
	h.booking = h.newBooking()
	buffer, _ := payloads.Get().(*[]byte)
	*buffer = appendPayload((*buffer)[:0], h.id, &h.booking.settlement)
	_, err := c.journal.Append(journal.Entry{Kind: kindHold, Payload: *buffer})
	payloads.Put(buffer)
	if err != nil {
		c.endHold(h, budget.Amounts{})
		return nil, fmt.Errorf("%w: writing to the journal: %w", ErrUnavailable, err)
	}
	return h, nil
}

// wake makes a loop look again.
func wake(loop chan struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}
