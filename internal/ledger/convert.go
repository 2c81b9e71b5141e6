package ledger

import (
	"context"
	"crypto/sha256"
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
	enforcements = map[ledgerpb.Enforcement]budget.Enforcement{
		ledgerpb.Enforcement_ENFORCEMENT_DENY: budget.Deny,
		ledgerpb.Enforcement_ENFORCEMENT_WARN: budget.Warn,
	}
	periodNumbers      = inverse(periods)
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

func demand(ctx context.Context, request *ledgerpb.ReserveRequest) store.Demand {
	return store.Demand{
		Sequence: int64(request.GetSequence()), //nolint:gosec // The request was checked.
		Route:    routeKey(request.GetRoute()),
		Consumer: request.GetConsumer(),
		Amount:   money.FromNano(request.GetAmountNanoUsd()),
		Identity: identityOf(ctx),
	}
}

func settlement(one *ledgerpb.Settlement) store.Settlement {
	return store.Settlement{
		Epoch:     one.GetEpoch(),
		Sequence:  int64(one.GetSequence()), //nolint:gosec // The request was checked.
		Amount:    money.FromNano(one.GetAmountNanoUsd()),
		Uncertain: one.GetCertainty() == ledgerpb.Settlement_CERTAINTY_UNCERTAIN,
		Route:     routeKey(one.GetRoute()),
		Consumer:  one.GetConsumer(),
	}
}

func denialMessage(denial *store.Denial, now time.Time) *ledgerpb.Denial {
	if denial == nil {
		return nil
	}
	message := &ledgerpb.Denial{
		Reason:           ledgerpb.Denial_REASON_HELD,
		Budget:           &ledgerpb.BudgetRef{Consumer: denial.Consumer, Name: denial.Budget},
		LimitNanoUsd:     denial.Limit.Nano(),
		RemainingNanoUsd: denial.Remaining.Nano(),
	}
	if denial.Exhausted {
		message.Reason = ledgerpb.Denial_REASON_EXHAUSTED
	}
	if !denial.WindowEnd.IsZero() {
		message.ResetsIn = durationpb.New(denial.WindowEnd.Sub(now))
	}
	return message
}

func routeOf(request *ledgerpb.PutRouteRequest) store.Route {
	key := routeKey(request.GetRoute())
	route := store.Route{Namespace: key.Namespace, Name: key.Name, Server: request.GetServer(), Consumers: request.GetConsumers()}
	for _, one := range request.GetBudgets() {
		route.Budgets = append(route.Budgets, store.Budget{
			Consumer:    one.GetRef().GetConsumer(),
			Name:        one.GetRef().GetName(),
			Limit:       money.FromNano(one.GetLimitNanoUsd()),
			Period:      periods[one.GetPeriod()],
			TimeZone:    one.GetTimeZone(),
			Enforcement: enforcements[one.GetEnforcement()],
		})
	}
	return route
}

func routeUsage(usage store.RouteUsage) *ledgerpb.RouteUsage {
	message := &ledgerpb.RouteUsage{
		Route:   &ledgerpb.RouteRef{Namespace: usage.Route.Namespace, Name: usage.Route.Name},
		Spend:   spendMessage(usage.Spend),
		Budgets: budgetUsages(usage.Budgets),
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

func budgetUsages(budgets []store.BudgetUsage) []*ledgerpb.BudgetUsage {
	messages := make([]*ledgerpb.BudgetUsage, 0, len(budgets))
	for _, one := range budgets {
		message := &ledgerpb.BudgetUsage{
			Budget: &ledgerpb.Budget{
				Ref:          &ledgerpb.BudgetRef{Consumer: one.Budget.Consumer, Name: one.Budget.Name},
				LimitNanoUsd: one.Budget.Limit.Nano(),
				Period:       periodNumbers[one.Budget.Period],
				TimeZone:     one.Budget.TimeZone,
				Enforcement:  enforcementNumbers[one.Budget.Enforcement],
			},
			Spend:       spendMessage(one.Spend),
			WindowStart: timestamppb.New(one.Window.Start),
			Refusing:    one.Refusing,
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
	}
}
