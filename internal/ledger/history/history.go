// Package history reads from the ledger what was spent over time, and writes it for people and for programs.
package history

import (
	"context"
	"fmt"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// Service is what of a ledger tells what was spent: a client of its ManagerService, or a ledger in the same process.
type Service interface {
	ListUsage(ctx context.Context, request *ledgerpb.ListUsageRequest) (*ledgerpb.ListUsageResponse, error)
	ListHistory(ctx context.Context, request *ledgerpb.ListHistoryRequest) (*ledgerpb.ListHistoryResponse, error)
}

// Entry is what was spent in a step of time with a model at an upstream. Amounts are in USD.
type Entry struct {
	// Start is when the step begins, by the clock of the time zone that was asked for.
	Start     time.Time `json:"start"`
	Namespace string    `json:"namespace"`
	Route     string    `json:"route"`
	// Consumer and Team are empty unless they were asked for; a consumer may have no team.
	Consumer         string `json:"consumer,omitempty"`
	Team             string `json:"team,omitempty"`
	Model            string `json:"model"`
	Upstream         string `json:"upstream"`
	Requests         int64  `json:"requests"`
	PromptTokens     int64  `json:"promptTokens"`
	CachedTokens     int64  `json:"cachedTokens"`
	CacheWriteTokens int64  `json:"cacheWriteTokens"`
	CompletionTokens int64  `json:"completionTokens"`
	ReasoningTokens  int64  `json:"reasoningTokens"`
	// Spent is the sum of the four below it.
	Spent     money.Amount `json:"spent"`
	Reported  money.Amount `json:"reported"`
	Priced    money.Amount `json:"priced"`
	Estimated money.Amount `json:"estimated"`
	Uncertain money.Amount `json:"uncertain"`
}

// Routes names every route that was ever put, those included that are gone.
func Routes(ctx context.Context, of Service) ([]*ledgerpb.RouteRef, error) {
	usage, err := of.ListUsage(ctx, &ledgerpb.ListUsageRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing the routes: %w", err)
	}
	routes := make([]*ledgerpb.RouteRef, 0, len(usage.GetRoutes()))
	for _, one := range usage.GetRoutes() {
		routes = append(routes, one.GetRoute())
	}
	return routes, nil
}

// Read reads the history of some routes, part after part, and gives each entry to write in the order of routes and times. What is asked of
// each route is the request, whose own route is of no matter. Starts are told in the location. An error of write ends it.
func Read(
	ctx context.Context, of Service, asked *ledgerpb.ListHistoryRequest, routes []*ledgerpb.RouteRef, location *time.Location,
	write func(Entry) error,
) error {
	for _, route := range routes {
		request := &ledgerpb.ListHistoryRequest{
			Route: route, From: asked.GetFrom(), To: asked.GetTo(), Step: asked.GetStep(), TimeZone: asked.GetTimeZone(), By: asked.GetBy(),
		}
		for more := true; more; more = request.From != nil {
			part, err := of.ListHistory(ctx, request)
			if err != nil {
				return fmt.Errorf("reading the history of %s/%s: %w", route.GetNamespace(), route.GetName(), err)
			}
			for _, entry := range part.GetEntries() {
				if err := write(entryOf(route, entry, location)); err != nil {
					return err
				}
			}
			request.From = part.GetNext()
		}
	}
	return nil
}

func entryOf(route *ledgerpb.RouteRef, told *ledgerpb.HistoryEntry, location *time.Location) Entry {
	entry := Entry{
		Start: told.GetStart().AsTime().In(location), Namespace: route.GetNamespace(), Route: route.GetName(),
		Consumer: told.GetConsumer(), Team: told.GetTeam(),
		Model: told.GetModel(), Upstream: told.GetUpstream(), Requests: told.GetRequests(),
		PromptTokens: told.GetTokens().GetPrompt(), CachedTokens: told.GetTokens().GetCached(),
		CacheWriteTokens: told.GetTokens().GetCacheWrite(),
		CompletionTokens: told.GetTokens().GetCompletion(), ReasoningTokens: told.GetTokens().GetReasoning(),
		Reported: money.FromNano(told.GetReportedNanoUsd()), Priced: money.FromNano(told.GetPricedNanoUsd()),
		Estimated: money.FromNano(told.GetEstimatedNanoUsd()), Uncertain: money.FromNano(told.GetUncertainNanoUsd()),
	}
	entry.Spent = entry.Reported.Add(entry.Priced).Add(entry.Estimated).Add(entry.Uncertain)
	return entry
}
