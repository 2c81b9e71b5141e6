package ledger

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/store"
)

func proxyAccountMessage(proxy *store.ProxyAccount) *ledgerpb.ProxyAccount {
	message := &ledgerpb.ProxyAccount{
		ProxyId: proxy.ProxyID, Instance: proxy.Instance, Silent: proxy.Silent, Released: proxy.Released, Applied: proxy.Applied,
	}
	if !proxy.LastHeard.IsZero() {
		message.LastHeard = timestamppb.New(proxy.LastHeard)
	}
	for _, one := range proxy.Out {
		out := &ledgerpb.Outstanding{
			Budget:        budgetRef(one.Route.Owner(), one.Consumer, one.Upstream, one.Budget, budget.USD),
			AmountNanoUsd: one.Amount.Nano(),
		}
		if one.Route.Owner() == "" {
			out.Route = &ledgerpb.RouteRef{Namespace: one.Route.Namespace, Name: one.Route.Name}
		}
		message.Out = append(message.Out, out)
	}
	if release := proxy.Release; release != nil {
		message.Release = &ledgerpb.ProxyRelease{
			By: release.By, Reason: release.Reason, At: timestamppb.New(release.At), FreedNanoUsd: release.Freed.Nano(),
		}
	}
	return message
}

func verdictMessage(verdict store.Verdict) *ledgerpb.VerifyResponse {
	message := &ledgerpb.VerifyResponse{
		Scopes: verdict.Scopes, Windows: verdict.Windows, Leases: verdict.Leases, Proxies: verdict.Proxies,
		Discrepancies: findingMessages(verdict.Discrepancies), Debts: findingMessages(verdict.Debts),
	}
	for _, one := range verdict.Restorations {
		restoration := &ledgerpb.Restoration{TakenAt: timestamppb.New(one.TakenAt)}
		if !one.RestoredAt.IsZero() {
			restoration.RestoredAt = timestamppb.New(one.RestoredAt)
		}
		message.Restorations = append(message.Restorations, restoration)
	}
	return message
}

func findingMessages(findings []store.Finding) []*ledgerpb.Finding {
	messages := make([]*ledgerpb.Finding, 0, len(findings))
	for _, one := range findings {
		messages = append(messages, &ledgerpb.Finding{About: one.About, Problem: one.Problem})
	}
	return messages
}
