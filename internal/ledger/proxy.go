package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	now := s.Now()
	opened, err := s.Store.OpenSession(ctx, now, opening)
	if err != nil {
		return nil, callError(err)
	}
	s.Logger.Info("session opened",
		slog.String("instance", opening.Instance), slog.String("caller", opening.Identity), slog.Int64("epoch", opened.Epoch))
	response := &ledgerpb.OpenSessionResponse{
		Session:           &ledgerpb.Session{ProxyId: opening.ProxyID, Epoch: opened.Epoch, Token: token},
		HeartbeatInterval: durationpb.New(s.Options.Heartbeat),
		Applied:           opened.Applied,
		Now:               timestamppb.New(now),
	}
	for _, route := range opened.LeftOut {
		response.LeftOut = append(response.LeftOut, &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name})
	}
	return response, nil
}

// Heartbeat implements the RPC.
func (s *proxyService) Heartbeat(ctx context.Context, request *ledgerpb.HeartbeatRequest) (*ledgerpb.HeartbeatResponse, error) {
	if err := checkHeartbeat(request); err != nil {
		return nil, err
	}
	now := s.Now()
	beat := store.Beat{ConfigHash: request.GetConfigHash(), InFlight: inFlight(request)}
	pulse, err := s.Store.Heartbeat(ctx, now, credential(request.GetSession()), beat)
	if err != nil {
		return nil, callError(err)
	}
	return pulseMessage(pulse, now), nil
}

// Draw implements the RPC.
func (s *proxyService) Draw(ctx context.Context, request *ledgerpb.DrawRequest) (*ledgerpb.DrawResponse, error) {
	if err := checkDraw(request); err != nil {
		return nil, err
	}
	now := s.Now()
	answers, err := s.Store.Draw(ctx, now, credential(request.GetSession()), drawOf(ctx, request))
	if err != nil {
		return nil, callError(err)
	}
	s.Metrics.countDemands(answers)
	response := &ledgerpb.DrawResponse{}
	for _, answer := range answers {
		response.Answers = append(response.Answers, answerMessage(answer, now))
	}
	return response, nil
}

// Append implements the RPC.
func (s *proxyService) Append(ctx context.Context, request *ledgerpb.AppendRequest) (*ledgerpb.AppendResponse, error) {
	if err := checkAppend(request); err != nil {
		return nil, err
	}
	records := records(request)
	outcome, err := s.Store.Append(ctx, s.Now(), credential(request.GetSession()), request.GetFirst(), records)
	if errors.Is(err, store.ErrGap) {
		return &ledgerpb.AppendResponse{Applied: outcome.Applied}, nil
	}
	if err != nil {
		return nil, callError(err)
	}
	s.Metrics.countRecords(records, outcome)
	if outcome.Foreign > 0 {
		s.Logger.Warn("settlements were passed over because the proxy never served their route",
			slog.String("proxy", request.GetSession().GetProxyId()), slog.Int("settlements", outcome.Foreign))
	}
	return &ledgerpb.AppendResponse{Applied: outcome.Applied}, nil
}
