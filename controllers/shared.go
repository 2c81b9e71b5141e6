package controllers

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// SharedBudgets puts the budgets of teams and ModelKeys to the ledger. Whoever needs them puts them: before a route is served whose
// consumers draw on them, and when they change; the ledger is told only what it does not know.
type SharedBudgets struct {
	Ledger Ledger
	Usage  *Usage

	mu   sync.Mutex
	last map[string]sharedPut
}

type sharedPut struct {
	request *ledgerpb.PutSharedRequest
	at      time.Time
}

// put puts the budgets of one owner. Its errors are those of Ledger.PutShared.
func (b *SharedBudgets) put(ctx context.Context, request *ledgerpb.PutSharedRequest, now time.Time) error {
	// One put at a time: of two that differ, the later one has to be the one that stays.
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.putLocked(ctx, request, now)
}

// introduce puts an owner without budgets, if the ledger does not know it: to take budgets away is for whoever knows that they are gone.
func (b *SharedBudgets) introduce(ctx context.Context, owner string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, isPut := b.last[owner]
	if said := b.Usage.ofOwner(owner); said.usage != nil || isPut && !said.asked.After(last.at) {
		return nil
	}
	return b.putLocked(ctx, &ledgerpb.PutSharedRequest{Owner: owner}, now)
}

// putLocked is put, of whoever holds the mutex.
func (b *SharedBudgets) putLocked(ctx context.Context, request *ledgerpb.PutSharedRequest, now time.Time) error {
	last, known := b.last[request.GetOwner()]
	said := b.Usage.ofOwner(request.GetOwner())
	if known && proto.Equal(last.request, request) && (!said.asked.After(last.at) || knowsShared(said.usage, request)) {
		return nil
	}
	if err := b.Ledger.PutShared(ctx, request); err != nil {
		return err
	}
	if b.last == nil {
		b.last = map[string]sharedPut{}
	}
	b.last[request.GetOwner()] = sharedPut{request: request, at: now}
	return nil
}

// empty takes an owner's budgets away, if the ledger has any: what was spent stays.
func (b *SharedBudgets) empty(ctx context.Context, owner string, now time.Time) error {
	if said := b.Usage.ofOwner(owner); said.synced && len(said.usage.GetBudgets()) == 0 && !b.hasPut(owner) {
		return nil
	}
	return b.put(ctx, &ledgerpb.PutSharedRequest{Owner: owner}, now)
}

func (b *SharedBudgets) hasPut(owner string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.last[owner].request.GetBudgets()) > 0
}

// knowsShared reports whether the ledger has the budgets that were put, on the same terms and no others.
func knowsShared(usage *ledgerpb.SharedUsage, put *ledgerpb.PutSharedRequest) bool {
	if usage == nil {
		return false
	}
	known, wanted := map[account]terms{}, map[account]terms{}
	for _, one := range usage.GetBudgets() {
		known[accountOf(one.GetBudget().GetRef())] = termsOf(one.GetBudget())
	}
	for _, budget := range put.GetBudgets() {
		wanted[accountOf(budget.GetRef())] = termsOf(budget)
	}
	return maps.Equal(known, wanted)
}

// putAll puts the budgets of the teams and the ModelKeys in whose names a route's consumers spend.
func (b *SharedBudgets) putAll(ctx context.Context, requests []*ledgerpb.PutSharedRequest, now time.Time) error {
	for _, request := range requests {
		var err error
		if len(request.GetBudgets()) == 0 {
			err = b.introduce(ctx, request.GetOwner(), now)
		} else {
			err = b.put(ctx, request, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refusedBudgets is what the ledger finds wrong with budgets; empty if it was something else that failed.
func refusedBudgets(err error) string {
	if refused, is := errors.AsType[*InvalidBudgetsError](err); is {
		return refused.Message
	}
	return ""
}
