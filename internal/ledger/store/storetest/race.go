package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// racer is what one proxy got and what became of it, in nano-USD.
type racer struct{ settled, kept int64 }

// runRace lets many proxies race for one budget. What they got must be the budget to the nano-dollar and never more.
func runRace(t *testing.T, open Open) {
	const racers, limit = 64, 1000
	b := newBooks(t, open, denies(t, "", "total", "0.000001000", budget.Total))
	proxies, results := make([]*proxy, racers), make([]racer, racers)
	for i := range proxies {
		proxies[i] = b.open(fmt.Sprintf("racer-%d", i), "pod")
	}
	var racing sync.WaitGroup
	for i, p := range proxies {
		racing.Go(func() {
			for n := range int64(20) {
				if err := p.race(t.Context(), &results[i], 1+(int64(i)*7+n*3)%13, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	racing.Wait()
	var settled, kept int64
	for _, one := range results {
		settled, kept = settled+one.settled, kept+one.kept
	}
	if kept+settled > limit {
		t.Errorf("%d + %d nano-USD were granted under a limit of %d", kept, settled, limit)
	}
	b.wantSpend("", "total", store.Spend{Settled: money.FromNano(settled), Leased: money.FromNano(kept)})
	left := b.demand("bob", "0")
	left.Amount = money.FromNano(limit - kept - settled + 1)
	if denial := b.ask(left)[0].Denial; denial == nil {
		t.Error("one nano-dollar more than what is left was granted")
	}
	left.Amount = money.FromNano(limit - kept - settled)
	if denial := b.ask(left)[0].Denial; denial != nil {
		t.Errorf("what is left was denied: %+v", denial)
	}
}

// race draws an amount and keeps it, spends it, spends half of it, or gives it back.
func (p *proxy) race(ctx context.Context, result *racer, amount, n int64) error {
	p.drawn++
	demand := store.Demand{Route: chat, Consumer: "alice", Amount: money.FromNano(amount)}
	answers, err := p.Draw(ctx, p.now(), p.session, store.Draw{Sequence: p.drawn, Identity: server, Demands: []store.Demand{demand}})
	if err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	if answers[0].Denial != nil {
		return nil
	}
	charge := store.Charge{Lease: answers[0].Leases[0].ID, Amount: money.FromNano(amount)}
	record := store.Record{Return: &charge}
	switch n % 4 {
	case 0:
		result.kept += amount
		return nil
	case 1, 2:
		cost := amount / (n % 4)
		charge.Amount = money.FromNano(cost)
		record = store.Record{Settlement: &store.Settlement{
			Route: chat, Consumer: "alice", OpenedAt: p.now(), Amount: charge.Amount, Charges: []store.Charge{charge},
		}}
		result.settled, result.kept = result.settled+cost, result.kept+amount-cost
	}
	p.logged++
	if _, err := p.Append(ctx, p.now(), p.session, p.logged, []store.Record{record}); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	return nil
}

// runGone lets callers go while their calls are under way. Whatever became of their calls, all records count once when they are sent
// again, and giving everything back leaves nothing out.
func runGone(t *testing.T, open Open) {
	b := newBooks(t, open, denies(t, "", "total", "1", budget.Total))
	const callers = 300
	record := b.settled("0.000000001", nil, "0")
	var calling sync.WaitGroup
	for n := range int64(callers) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*10*time.Microsecond)
		calling.Go(func() {
			defer cancel()
			draw := store.Draw{Sequence: n + 1, Identity: server, Demands: []store.Demand{b.demand("alice", "0.000000001")}}
			if _, err := b.Draw(ctx, b.now(), b.session, draw); err != nil && ctx.Err() == nil {
				t.Errorf("Draw: %v", err)
			}
		})
		calling.Go(func() {
			_, _ = b.Append(ctx, b.now(), b.session, n+1, []store.Record{record}) // It may leave a gap, or be cut off.
		})
	}
	calling.Wait()
	records := make([]store.Record, callers, callers+1)
	for i := range records {
		records[i] = record
	}
	if got := b.reportAs(1, append(records, releaseAll)...); got.Applied != callers+1 {
		t.Errorf("%+v, want all records applied", got)
	}
	b.wantSpend("", "total", store.Spend{Settled: money.FromNano(callers)})
}
