package controllers

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// puts remembers what was put to the ledger for each route, so that it is put again only when it has changed or the ledger has lost it.
type puts struct {
	mu   sync.Mutex
	last map[types.NamespacedName]put
}

type put struct {
	// digest is that of the request, which with thousands of routes is too much to remember.
	digest [sha256.Size]byte
	at     time.Time
}

// digestOf tells requests apart. Two that are the same have the same bytes within one process.
func digestOf(request *ledgerpb.PutRouteRequest) [sha256.Size]byte {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return [sha256.Size]byte{} // It cannot be sent either, which says so.
	}
	return sha256.Sum256(encoded)
}

// needs reports whether the request has to be put, given what the ledger said last.
func (p *puts) needs(route types.NamespacedName, request *ledgerpb.PutRouteRequest, said snapshot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.last[route]
	if !known || last.digest != digestOf(request) {
		return true
	}
	return said.asked.After(last.at) && !knowsAccounts(said.usage, request)
}

func (p *puts) note(route types.NamespacedName, request *ledgerpb.PutRouteRequest, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.NamespacedName]put{}
	}
	p.last[route] = put{digest: digestOf(request), at: at}
}

// account names a budget, or one limit of a rate limit: those in different units may share a name.
type account struct {
	owner
	name string
	unit ledgerpb.Unit
}

func accountOf(ref *ledgerpb.BudgetRef) account {
	return account{owner: owner{consumer: ref.GetConsumer(), upstream: ref.GetUpstream()}, name: ref.GetName(), unit: ref.GetUnit()}
}

// terms are what the ledger is told of an account.
type terms struct {
	limit         int64
	period        ledgerpb.Period
	periodSeconds int64
	timeZone      string
	enforcement   ledgerpb.Enforcement
	except        string
}

func termsOf(budget *ledgerpb.Budget) terms {
	return terms{
		limit: budget.GetLimit(), period: budget.GetPeriod(), periodSeconds: budget.GetPeriodSeconds(),
		timeZone: budget.GetTimeZone(), enforcement: budget.GetEnforcement(),
		except: budget.GetExceptUpstream(),
	}
}

// knowsAccounts reports whether the ledger has the consumers that were put, and the budgets and rate limits, on the same terms and no
// others. It is otherwise only when its store was lost, or restored from a backup.
func knowsAccounts(usage *ledgerpb.RouteUsage, put *ledgerpb.PutRouteRequest) bool {
	if usage == nil {
		return false
	}
	known, consumers := map[account]terms{}, map[string]bool{}
	note := func(budgets []*ledgerpb.BudgetUsage) {
		for _, one := range budgets {
			known[accountOf(one.GetBudget().GetRef())] = termsOf(one.GetBudget())
		}
	}
	note(usage.GetBudgets())
	for _, upstream := range usage.GetUpstreams() {
		note(upstream.GetBudgets())
	}
	for _, consumer := range usage.GetConsumers() {
		consumers[consumer.GetName()] = true
		note(consumer.GetBudgets())
	}
	wanted := map[account]terms{}
	for _, budget := range put.GetBudgets() {
		wanted[accountOf(budget.GetRef())] = termsOf(budget)
	}
	isUnknown := func(consumer string) bool { return !consumers[consumer] }
	return maps.Equal(known, wanted) && !slices.ContainsFunc(put.GetConsumers(), isUnknown)
}
