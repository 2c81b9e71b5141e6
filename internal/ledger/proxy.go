package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

// tokenBytes is the length of a session's token.
const tokenBytes = 32

// proxyService is what proxies call.
type proxyService struct {
	*Ledger
}

// OpenSession implements the RPC.
func (s *proxyService) OpenSession(ctx context.Context, request *ledgerpb.OpenSessionRequest) (*ledgerpb.OpenSessionResponse, error) {
	if err := checkOpenSession(request); err != nil {
		return nil, err
	}
	token := make([]byte, tokenBytes)
	rand.Read(token) // It never fails: the process ends if there is no randomness.
	opening := store.NewSession{
		ProxyID:  request.GetProxyId(),
		Instance: request.GetInstance(),
		Identity: identityOf(ctx),
		Token:    sha256.Sum256(token),
	}
	for _, route := range request.GetRoutes() {
		opening.Routes = append(opening.Routes, routeKey(route))
	}
	epoch, err := s.Store.OpenSession(ctx, s.Now(), opening)
	if err != nil {
		return nil, callError(err)
	}
	s.Logger.Info("session opened",
		slog.String("instance", opening.Instance), slog.String("caller", opening.Identity), slog.Int64("epoch", epoch))
	return &ledgerpb.OpenSessionResponse{
		Session:           &ledgerpb.Session{ProxyId: opening.ProxyID, Epoch: epoch, Token: token},
		HeartbeatInterval: durationpb.New(s.Options.Heartbeat),
	}, nil
}

// Heartbeat implements the RPC.
func (s *proxyService) Heartbeat(ctx context.Context, request *ledgerpb.HeartbeatRequest) (*ledgerpb.HeartbeatResponse, error) {
	if err := checkHeartbeat(request); err != nil {
		return nil, err
	}
	beat := store.Beat{
		ConfigHash:   request.GetConfigHash(),
		SettledBelow: int64(request.GetSettledBelow()), //nolint:gosec // The request was checked.
	}
	if err := s.Store.Heartbeat(ctx, s.Now(), credential(request.GetSession()), beat); err != nil {
		return nil, callError(err)
	}
	return &ledgerpb.HeartbeatResponse{}, nil
}

// Reserve implements the RPC.
func (s *proxyService) Reserve(ctx context.Context, request *ledgerpb.ReserveRequest) (*ledgerpb.ReserveResponse, error) {
	if err := checkReserve(request); err != nil {
		return nil, err
	}
	now := s.Now()
	denial, err := s.Store.Reserve(ctx, now, credential(request.GetSession()), demand(ctx, request))
	if err != nil {
		return nil, callError(err)
	}
	s.Metrics.countReservation(denial)
	return &ledgerpb.ReserveResponse{Denial: denialMessage(denial, now)}, nil
}

// Settle implements the RPC.
func (s *proxyService) Settle(ctx context.Context, request *ledgerpb.SettleRequest) (*ledgerpb.SettleResponse, error) {
	if err := checkSettle(request); err != nil {
		return nil, err
	}
	settlements := make([]store.Settlement, 0, len(request.GetSettlements()))
	for _, one := range request.GetSettlements() {
		settlements = append(settlements, settlement(one))
	}
	outcome, err := s.Store.Settle(ctx, s.Now(), credential(request.GetSession()), settlements)
	if err != nil {
		return nil, callError(err)
	}
	s.Metrics.countSettlements(settlements, outcome)
	if outcome.Unmatched > 0 {
		s.Logger.Warn("settlements were booked whose holds are not known", slog.String("proxy", request.GetSession().GetProxyId()),
			slog.Int("settlements", outcome.Unmatched))
	}
	return &ledgerpb.SettleResponse{}, nil
}
