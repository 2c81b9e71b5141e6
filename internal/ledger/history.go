package ledger

import (
	"cmp"
	"context"
	"slices"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

const (
	// partOfRoute and partOfConsumers are how much time one answer covers: of a whole route, and of each of its consumers, which are many.
	// Steps are not cut, so that longer ones make longer answers.
	partOfRoute     = 31 * 24 * time.Hour
	partOfConsumers = 24 * time.Hour
)

// ListHistory implements the RPC.
func (s *managerService) ListHistory(
	ctx context.Context, request *ledgerpb.ListHistoryRequest,
) (*ledgerpb.ListHistoryResponse, error) {
	return s.History(ctx, request)
}

// History is what ListHistory answers, for a program that has the ledger in it.
func (l *Ledger) History(ctx context.Context, request *ledgerpb.ListHistoryRequest) (*ledgerpb.ListHistoryResponse, error) {
	steps, err := checkListHistory(request)
	if err != nil {
		return nil, err
	}
	query := store.HistoryQuery{
		Route: routeKey(request.GetRoute()), PerConsumer: request.GetBy() != ledgerpb.ListHistoryRequest_BY_UNSPECIFIED,
		From: request.GetFrom().AsTime(), To: l.Now().Truncate(store.Bucket).Add(store.Bucket),
	}
	if request.GetTo() != nil && request.GetTo().AsTime().Before(query.To) {
		query.To = request.GetTo().AsTime()
	}
	query.Until = func(first time.Time) time.Time {
		part := partOfRoute
		if query.PerConsumer {
			part = partOfConsumers
		}
		return steps.endAfter(first.Add(part), query.To)
	}
	summed := map[historyKey]*store.Sums{}
	end, err := l.Store.History(ctx, query, func(row store.HistoryRow) error {
		key := historyKey{start: steps.startOf(row.Bucket), model: row.Model, upstream: row.Upstream}
		switch request.GetBy() {
		case ledgerpb.ListHistoryRequest_BY_CONSUMER:
			key.consumer, key.team = row.Consumer, row.Team
		case ledgerpb.ListHistoryRequest_BY_TEAM:
			key.team = row.Team
		case ledgerpb.ListHistoryRequest_BY_UNSPECIFIED:
		}
		store.AddTo(summed, key, &row.Sums)
		return nil
	})
	if err != nil {
		return nil, callError(err)
	}
	response := &ledgerpb.ListHistoryResponse{Entries: historyEntries(summed)}
	if end.Before(query.To) {
		response.Next = timestamppb.New(end)
	}
	return response, nil
}

// historySteps cut history into steps: those of a calendar, or else the buckets themselves.
type historySteps struct{ calendar *budget.Calendar }

func (s historySteps) startOf(bucket time.Time) time.Time {
	if s.calendar == nil {
		return bucket
	}
	return s.calendar.WindowAt(bucket).Start
}

// endAfter is the end of the step that a time is in; that of the last one is given.
func (s historySteps) endAfter(t, last time.Time) time.Time {
	if s.calendar == nil {
		return t
	}
	if window := s.calendar.WindowAt(t); !window.End.IsZero() {
		return window.End
	}
	return last
}

// historyKey names an entry.
type historyKey struct {
	start                           time.Time
	consumer, team, model, upstream string
}

func historyEntries(summed map[historyKey]*store.Sums) []*ledgerpb.HistoryEntry {
	keys := make([]historyKey, 0, len(summed))
	for key := range summed {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b historyKey) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.consumer, b.consumer), cmp.Compare(a.team, b.team),
			cmp.Compare(a.model, b.model),
			cmp.Compare(a.upstream, b.upstream))
	})
	entries := make([]*ledgerpb.HistoryEntry, 0, len(keys))
	for _, key := range keys {
		sums := summed[key]
		entries = append(entries, &ledgerpb.HistoryEntry{
			Start: timestamppb.New(key.start), Consumer: key.consumer, Team: key.team,
			Model: key.model, Upstream: key.upstream, Requests: sums.Requests,
			Tokens: &ledgerpb.TokenUsage{
				Prompt: sums.Tokens.Prompt, Cached: sums.Tokens.Cached, CacheWrite: sums.Tokens.CacheWrite,
				Completion: sums.Tokens.Completion, Reasoning: sums.Tokens.Reasoning,
			},
			ReportedNanoUsd:  sums.Settled.Sub(sums.Priced).Sub(sums.Estimated).Nano(),
			PricedNanoUsd:    sums.Priced.Nano(),
			EstimatedNanoUsd: sums.Estimated.Nano(),
			UncertainNanoUsd: sums.Uncertain.Nano(),
		})
	}
	return entries
}

// checkListHistory checks a request, and returns the steps that it asks for.
func checkListHistory(request *ledgerpb.ListHistoryRequest) (historySteps, error) {
	var c checker
	c.route("route", request.GetRoute())
	for field, at := range map[string]*timestamppb.Timestamp{"from": request.GetFrom(), "to": request.GetTo()} {
		c.must(at == nil || at.IsValid() && at.AsTime().Unix() >= 0, "%s: must be a time since 1970", field)
		c.must(at == nil || at.AsTime().Equal(at.AsTime().Truncate(store.Bucket)), "%s: must be a whole quarter of an hour", field)
	}
	_, known := ledgerpb.ListHistoryRequest_By_name[int32(request.GetBy())]
	c.must(known, "by: %d is not known", request.GetBy())
	if c.err != nil || request.GetStep() == ledgerpb.Period_PERIOD_UNSPECIFIED {
		return historySteps{}, c.err
	}
	period, isPeriod := periods[request.GetStep()]
	if !isPeriod {
		return historySteps{}, connect.Errorf(connect.CodeInvalidArgument, "step: %d is not known", request.GetStep())
	}
	calendar, err := budget.NewCalendar(period, request.GetTimeZone())
	if err != nil {
		return historySteps{}, connect.Errorf(connect.CodeInvalidArgument, "time_zone: %v", err)
	}
	return historySteps{calendar: &calendar}, nil
}
