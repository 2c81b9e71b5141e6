package ledger

import (
	"context"
	"log/slog"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// managerService is what the manager calls.
type managerService struct {
	*Ledger
}

// PutRoute implements the RPC.
func (s *managerService) PutRoute(ctx context.Context, request *ledgerpb.PutRouteRequest) (*ledgerpb.PutRouteResponse, error) {
	if err := checkPutRoute(request); err != nil {
		return nil, err
	}
	if err := s.Store.PutRoute(ctx, routeOf(request)); err != nil {
		return nil, callError(err)
	}
	s.Logger.Info("route put",
		slog.String("namespace", request.GetRoute().GetNamespace()), slog.String("name", request.GetRoute().GetName()),
		slog.Int("consumers", len(request.GetConsumers())), slog.Int("budgets", len(request.GetBudgets())))
	return &ledgerpb.PutRouteResponse{}, nil
}

// PutShared implements the RPC.
func (s *managerService) PutShared(ctx context.Context, request *ledgerpb.PutSharedRequest) (*ledgerpb.PutSharedResponse, error) {
	if err := checkPutShared(request); err != nil {
		return nil, err
	}
	if err := s.Store.PutShared(ctx, sharedOf(request)); err != nil {
		return nil, callError(err)
	}
	s.Logger.Info("shared owner put", slog.String("owner", request.GetOwner()), slog.Int("budgets", len(request.GetBudgets())))
	return &ledgerpb.PutSharedResponse{}, nil
}

// ListUsage implements the RPC.
func (s *managerService) ListUsage(ctx context.Context, request *ledgerpb.ListUsageRequest) (*ledgerpb.ListUsageResponse, error) {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	all, err := s.Usage(ctx)
	if err != nil {
		return nil, callError(err)
	}
	return s.usage.since(request.GetKnown(), all)
}

// Usage is what ListUsage answers, for a program that has the ledger in it.
func (l *Ledger) Usage(ctx context.Context) (*ledgerpb.ListUsageResponse, error) {
	now := l.Now()
	usage, err := l.Store.Usage(ctx, now, now.Add(-l.Options.Silence))
	if err != nil {
		return nil, err
	}
	message := &ledgerpb.ListUsageResponse{Routes: make([]*ledgerpb.RouteUsage, 0, len(usage.Routes))}
	for _, one := range usage.Routes {
		message.Routes = append(message.Routes, routeUsage(one))
	}
	for _, one := range usage.Shared {
		message.Shared = append(message.Shared, sharedUsage(one))
	}
	return message, nil
}

// ListUpstreamSpend implements the RPC.
func (s *managerService) ListUpstreamSpend(
	ctx context.Context, request *ledgerpb.ListUpstreamSpendRequest,
) (*ledgerpb.ListUpstreamSpendResponse, error) {
	if err := checkListUpstreamSpend(request); err != nil {
		return nil, err
	}
	spends, err := s.Store.UpstreamSpend(ctx, routeKey(request.GetRoute()))
	if err != nil {
		return nil, callError(err)
	}
	response := &ledgerpb.ListUpstreamSpendResponse{}
	for _, one := range spends {
		response.Upstreams = append(response.Upstreams, &ledgerpb.UpstreamSpend{
			Name: one.Name, SettledNanoUsd: one.Settled.Nano(), UncertainNanoUsd: one.Uncertain.Nano(),
		})
	}
	return response, nil
}

// ReleaseProxy implements the RPC.
func (s *managerService) ReleaseProxy(
	ctx context.Context, request *ledgerpb.ReleaseProxyRequest,
) (*ledgerpb.ReleaseProxyResponse, error) {
	if err := checkReleaseProxy(request); err != nil {
		return nil, err
	}
	now := s.Now()
	release := store.Release{ProxyID: request.GetProxyId(), By: identityOf(ctx), Reason: request.GetReason()}
	freed, err := s.Store.ReleaseProxy(ctx, now, now.Add(-s.Options.Silence), release)
	if err != nil {
		return nil, callError(err)
	}
	s.Logger.Warn("proxy released", slog.String("proxy", release.ProxyID), slog.String("by", release.By),
		slog.String("reason", release.Reason), slog.String("freed_usd", freed.String()))
	return &ledgerpb.ReleaseProxyResponse{FreedNanoUsd: freed.Nano()}, nil
}
