package ledgertest

import (
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

func TestLedgerKeepsItsBooksWhenItIsStoppedAndStarted(t *testing.T) {
	for name, options := range map[string]Options{"plain": {}, "TLS": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			l := StartWith(t, options)
			l.PutRoute(&ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: "ai", Name: "chat"}, Consumers: []string{"alice"}})
			proxy := l.NewClient("pod", client.Route{Namespace: "ai", Name: "chat"})
			hold, err := proxy.Reserve(t.Context(), client.Demand{Namespace: "ai", Route: "chat", Consumer: "alice", Amount: money.FromNano(100)})
			if err != nil {
				t.Fatal(err)
			}
			l.Stop()
			l.Start()
			if err := hold.Settle(client.Cost{Amount: money.FromNano(42), Certainty: client.Exact}); err != nil {
				t.Fatal(err)
			}
			if err := proxy.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if spend := l.Usage("ai", "chat").GetSpend(); spend.GetSettledNanoUsd() != 42 || spend.GetLeasedNanoUsd() != 0 {
				t.Errorf("spend = %v, want 42 settled and nothing out", spend)
			}
		})
	}
}
