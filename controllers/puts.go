package controllers

import (
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
	request *ledgerpb.PutRouteRequest
	at      time.Time
}

// needs reports whether the request has to be put, given what the ledger said last.
func (p *puts) needs(route types.NamespacedName, request *ledgerpb.PutRouteRequest, said snapshot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.last[route]
	if !known || !proto.Equal(last.request, request) {
		return true
	}
	return said.asked.After(last.at) && !knowsBudgets(said.usage, request)
}

func (p *puts) note(route types.NamespacedName, request *ledgerpb.PutRouteRequest, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.NamespacedName]put{}
	}
	p.last[route] = put{request: request, at: at}
}

// knowsBudgets reports whether the ledger has the budgets and consumers that were put; it forgets them only when its store is lost.
func knowsBudgets(usage *ledgerpb.RouteUsage, put *ledgerpb.PutRouteRequest) bool {
	limits := map[string]int64{}
	for _, budget := range usage.GetBudgets() {
		limits["/"+budget.GetBudget().GetRef().GetName()] = budget.GetBudget().GetLimit()
	}
	for _, consumer := range usage.GetConsumers() {
		for _, budget := range consumer.GetBudgets() {
			limits[consumer.GetName()+"/"+budget.GetBudget().GetRef().GetName()] = budget.GetBudget().GetLimit()
		}
	}
	for _, budget := range put.GetBudgets() {
		limit, known := limits[budget.GetRef().GetConsumer()+"/"+budget.GetRef().GetName()]
		if !known || limit != budget.GetLimit() {
			return false
		}
	}
	return usage != nil
}
