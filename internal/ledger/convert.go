package ledger

import (
	"context"
	"crypto/sha256"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// The names of the wire and of the books.
var (
	periods = map[ledgerpb.Period]budget.Period{
		ledgerpb.Period_PERIOD_HOUR:  budget.Hour,
		ledgerpb.Period_PERIOD_DAY:   budget.Day,
		ledgerpb.Period_PERIOD_WEEK:  budget.Week,
		ledgerpb.Period_PERIOD_MONTH: budget.Month,
		ledgerpb.Period_PERIOD_YEAR:  budget.Year,
		ledgerpb.Period_PERIOD_TOTAL: budget.Total,
	}
	units = map[ledgerpb.Unit]budget.Unit{
		ledgerpb.Unit_UNIT_UNSPECIFIED: budget.USD,
		ledgerpb.Unit_UNIT_REQUESTS:    budget.Requests,
		ledgerpb.Unit_UNIT_TOKENS:      budget.Tokens,
	}
	enforcements = map[ledgerpb.Enforcement]budget.Enforcement{
		ledgerpb.Enforcement_ENFORCEMENT_DENY: budget.Deny,
		ledgerpb.Enforcement_ENFORCEMENT_WARN: budget.Warn,
	}
	sources = map[ledgerpb.Settlement_Source]store.Source{
		ledgerpb.Settlement_SOURCE_REPORTED:  store.Reported,
		ledgerpb.Settlement_SOURCE_PRICED:    store.Priced,
		ledgerpb.Settlement_SOURCE_ESTIMATED: store.Estimated,
	}
	periodNumbers      = inverse(periods)
	unitNumbers        = inverse(units)
	enforcementNumbers = inverse(enforcements)
)

func inverse[K, V comparable](m map[K]V) map[V]K {
	turned := make(map[V]K, len(m))
	for key, value := range m {
		turned[value] = key
	}
	return turned
}

func routeKey(route *ledgerpb.RouteRef) store.RouteKey {
	return store.RouteKey{Namespace: route.GetNamespace(), Name: route.GetName()}
}

func credential(session *ledgerpb.Session) store.Credential {
	return store.Credential{ProxyID: session.GetProxyId(), Epoch: session.GetEpoch(), Token: sha256.Sum256(session.GetToken())}
}

func drawOf(ctx context.Context, request *ledgerpb.DrawRequest) store.Draw {
	draw := store.Draw{Sequence: request.GetSequence(), After: request.GetAfter(), Identity: identityOf(ctx)}
	for _, one := range request.GetDemands() {
		demand := store.Demand{
			Route:    routeKey(one.GetRoute()),
			Consumer: one.GetConsumer(),
			Upstream: one.GetUpstream(),
			Amount:   money.FromNano(one.GetAmountNanoUsd()),
			Have:     make(map[int64]money.Amount, len(one.GetHave())),
			Want:     money.FromNano(one.GetWantNanoUsd()),
			Requests: one.GetRequests(), Tokens: one.GetTokens(),
			WantRequests: one.GetWantRequests(), WantTokens: one.GetWantTokens(),
		}
		for _, have := range one.GetHave() {
			demand.Have[have.GetLease()] = money.FromNano(have.GetAmount())
		}
		draw.Demands = append(draw.Demands, demand)
	}
	return draw
}

func inFlight(request *ledgerpb.HeartbeatRequest) []store.InFlight {
	inFlight := make([]store.InFlight, 0, len(request.GetInFlight()))
	for _, one := range request.GetInFlight() {
		inFlight = append(inFlight, store.InFlight{
			Route: routeKey(one.GetRoute()), Consumer: one.GetConsumer(), Upstream: one.GetUpstream(),
			Amount: money.FromNano(one.GetAmountNanoUsd()),
		})
	}
	return inFlight
}

func records(request *ledgerpb.AppendRequest) []store.Record {
	records := make([]store.Record, 0, len(request.GetRecords()))
	for _, one := range request.GetRecords() {
		records = append(records, record(one))
	}
	return records
}

func record(one *ledgerpb.Record) store.Record {
	switch {
	case one.GetSettlement() != nil:
		return store.Record{Settlement: settlement(one.GetSettlement())}
	case one.GetReturned() != nil:
		returned := charge(one.GetReturned())
		return store.Record{Return: &returned}
	}
	return store.Record{ReleaseAll: one.GetReleaseAll()}
}

func charge(one *ledgerpb.Charge) store.Charge {
	return store.Charge{Lease: one.GetLease(), Amount: money.FromNano(one.GetAmount())}
}

func settlement(one *ledgerpb.Settlement) *store.Settlement {
	settlement := &store.Settlement{
		Route:     routeKey(one.GetRoute()),
		Consumer:  one.GetConsumer(),
		Amount:    money.FromNano(one.GetAmountNanoUsd()),
		Uncertain: one.GetCertainty() == ledgerpb.Settlement_CERTAINTY_UNCERTAIN,
		Replaces:  money.FromNano(one.GetReplacesNanoUsd()),
		Requests:  one.GetRequests(),
		Tokens:    one.GetTokens(),
		Model:     one.GetModel(),
		Upstream:  one.GetUpstream(),
		Team:      one.GetTeam(),
		Source:    sources[one.GetSource()],
		Used: store.Tokens{
			Prompt: one.GetUsed().GetPrompt(), Cached: one.GetUsed().GetCached(), CacheWrite: one.GetUsed().GetCacheWrite(),
			Completion: one.GetUsed().GetCompletion(), Reasoning: one.GetUsed().GetReasoning(),
		},
	}
	if one.GetOpenedAt() != nil {
		settlement.OpenedAt = one.GetOpenedAt().AsTime()
	}
	for _, each := range one.GetCharges() {
		settlement.Charges = append(settlement.Charges, charge(each))
	}
	return settlement
}

func pulseMessage(pulse store.Pulse, now time.Time) *ledgerpb.HeartbeatResponse {
	message := &ledgerpb.HeartbeatResponse{Recall: pulse.Recall, Now: timestamppb.New(now)}
	for key, version := range pulse.Versions {
		message.Versions = append(message.Versions, &ledgerpb.RouteVersion{
			Route: &ledgerpb.RouteRef{Namespace: key.Namespace, Name: key.Name}, Version: version,
		})
	}
	return message
}

func answerMessage(answer store.Answer, now time.Time) *ledgerpb.Answer {
	message := &ledgerpb.Answer{
		Denial: denialMessage(answer.Denial, now), Version: answer.Version, Team: answer.Team, FormerTeams: answer.Former,
	}
	if answer.Err != nil {
		message.Problem = answer.Err.Error()
	}
	for i := range answer.Leases {
		message.Leases = append(message.Leases, leaseMessage(&answer.Leases[i], now))
	}
	return message
}

func leaseMessage(lease *store.Lease, now time.Time) *ledgerpb.Lease {
	message := &ledgerpb.Lease{
		Id:        lease.ID,
		Granted:   lease.Granted.Nano(),
		Budget:    budgetRef(lease.Owner, lease.Consumer, lease.Upstream, lease.Budget, lease.Unit),
		Limit:     lease.Limit.Nano(),
		Remaining: lease.Remaining.Nano(),
		Free:      lease.Free.Nano(),
		Recalled:  lease.Recalled,

		ExceptUpstream: lease.Except,
		Sharers:        int32(min(lease.Sharers, math.MaxInt32)), //nolint:gosec // It was bounded.
	}
	if !lease.WindowEnd.IsZero() {
		message.ValidFor = durationpb.New(lease.WindowEnd.Sub(now))
	}
	return message
}

func denialMessage(denial *store.Denial, now time.Time) *ledgerpb.Denial {
	if denial == nil {
		return nil
	}
	message := &ledgerpb.Denial{
		Reason:    ledgerpb.Denial_REASON_HELD,
		Budget:    budgetRef(denial.Owner, denial.Consumer, denial.Upstream, denial.Budget, denial.Unit),
		Limit:     denial.Limit.Nano(),
		Remaining: denial.Remaining.Nano(),
	}
	if denial.Exhausted {
		message.Reason = ledgerpb.Denial_REASON_EXHAUSTED
	}
	if !denial.WindowEnd.IsZero() {
		message.ResetsIn = durationpb.New(denial.WindowEnd.Sub(now))
	}
	return message
}

func budgetRef(owner budget.Owner, consumer, upstream, name string, unit budget.Unit) *ledgerpb.BudgetRef {
	return &ledgerpb.BudgetRef{Owner: string(owner), Consumer: consumer, Upstream: upstream, Name: name, Unit: unitNumbers[unit]}
}

// periodOf returns a budget's period; empty if it is not known.
func periodOf(one *ledgerpb.Budget) budget.Period {
	if one.GetPeriod() == ledgerpb.Period_PERIOD_SECONDS {
		return budget.Every(one.GetPeriodSeconds())
	}
	return periods[one.GetPeriod()]
}

func routeOf(request *ledgerpb.PutRouteRequest) store.Route {
	key := routeKey(request.GetRoute())
	route := store.Route{Namespace: key.Namespace, Name: key.Name, Server: request.GetServer(), Consumers: request.GetConsumers()}
	for _, one := range request.GetBudgets() {
		route.Budgets = append(route.Budgets, budgetOf(one))
	}
	for _, one := range request.GetMembers() {
		route.Members = append(route.Members, store.Member{Consumer: one.GetConsumer(), Owner: budget.Owner(one.GetOwner())})
	}
	return route
}

func sharedOf(request *ledgerpb.PutSharedRequest) store.Shared {
	shared := store.Shared{Owner: budget.Owner(request.GetOwner())}
	for _, one := range request.GetBudgets() {
		made := budgetOf(one)
		made.Owner = shared.Owner
		shared.Budgets = append(shared.Budgets, made)
	}
	return shared
}

func budgetOf(one *ledgerpb.Budget) store.Budget {
	return store.Budget{
		Consumer:    one.GetRef().GetConsumer(),
		Coverage:    budget.Coverage{Upstream: one.GetRef().GetUpstream(), Except: one.GetExceptUpstream()},
		Name:        one.GetRef().GetName(),
		Limit:       money.FromNano(one.GetLimit()),
		Unit:        units[one.GetRef().GetUnit()],
		Period:      periodOf(one),
		TimeZone:    one.GetTimeZone(),
		Enforcement: enforcements[one.GetEnforcement()],
	}
}

func routeUsage(usage store.RouteUsage) *ledgerpb.RouteUsage {
	message := &ledgerpb.RouteUsage{
		Route:   &ledgerpb.RouteRef{Namespace: usage.Route.Namespace, Name: usage.Route.Name},
		Spend:   spendMessage(usage.Spend),
		Budgets: budgetUsages(usage.Budgets),
	}
	for _, one := range usage.Upstreams {
		message.Upstreams = append(message.Upstreams, &ledgerpb.UpstreamUsage{Name: one.Name, Budgets: budgetUsages(one.Budgets)})
	}
	for _, one := range usage.Consumers {
		message.Consumers = append(message.Consumers, &ledgerpb.ConsumerUsage{
			Name: one.Name, Spend: spendMessage(one.Spend), Budgets: budgetUsages(one.Budgets),
		})
	}
	for _, one := range usage.Proxies {
		message.Proxies = append(message.Proxies, &ledgerpb.ProxyStatus{
			ProxyId: one.ProxyID, Instance: one.Instance, ConfigHash: one.ConfigHash, LastHeartbeat: timestamppb.New(one.LastHeard),
		})
	}
	return message
}

func sharedUsage(usage store.SharedUsage) *ledgerpb.SharedUsage {
	message := &ledgerpb.SharedUsage{
		Owner: string(usage.Owner), Spend: spendMessage(usage.Spend), Budgets: budgetUsages(usage.Budgets),
	}
	for _, one := range usage.Routes {
		message.Routes = append(message.Routes, &ledgerpb.RouteSpend{
			Route: &ledgerpb.RouteRef{Namespace: one.Route.Namespace, Name: one.Route.Name}, Spend: spendMessage(one.Spend),
		})
	}
	return message
}

func budgetUsages(budgets []store.BudgetUsage) []*ledgerpb.BudgetUsage {
	messages := make([]*ledgerpb.BudgetUsage, 0, len(budgets))
	for _, one := range budgets {
		message := &ledgerpb.BudgetUsage{
			Budget: &ledgerpb.Budget{
				Ref:         budgetRef(one.Budget.Owner, one.Budget.Consumer, one.Budget.Upstream, one.Budget.Name, one.Budget.Unit),
				Limit:       one.Budget.Limit.Nano(),
				Period:      periodNumbers[one.Budget.Period],
				TimeZone:    one.Budget.TimeZone,
				Enforcement: enforcementNumbers[one.Budget.Enforcement],

				ExceptUpstream: one.Budget.Except,
			},
			Spend:       spendMessage(one.Spend),
			WindowStart: timestamppb.New(one.Window.Start),
			Refusing:    one.Refusing,
		}
		if seconds, is := one.Budget.Period.Seconds(); is {
			message.Budget.Period, message.Budget.PeriodSeconds = ledgerpb.Period_PERIOD_SECONDS, seconds
		}
		if !one.Window.End.IsZero() {
			message.WindowEnd = timestamppb.New(one.Window.End)
		}
		messages = append(messages, message)
	}
	return messages
}

func spendMessage(spend store.Spend) *ledgerpb.Spend {
	return &ledgerpb.Spend{
		SettledNanoUsd: spend.Settled.Nano(), UncertainNanoUsd: spend.Uncertain.Nano(), HeldNanoUsd: spend.Held.Nano(),
		LeasedNanoUsd: spend.Leased.Nano(),
	}
}
