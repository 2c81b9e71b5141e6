package client

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

func TestOnlyWhatNobodyAsksForAgainMayBeForgotten(t *testing.T) {
	c := New(Options{HTTPClient: http.DefaultClient, Logger: slog.New(slog.DiscardHandler)})
	in := &session{pb: &ledgerpb.Session{Epoch: 1}}
	want := func(below uint64) {
		t.Helper()
		if got := c.settledBelow(); got != below {
			t.Errorf("everything below %d is settled, want below %d", got, below)
		}
	}
	want(1)
	first, second, third := c.newHold(in, Demand{}), c.newHold(in, Demand{}), c.newHold(in, Demand{})
	want(first.sequence)
	c.forget(second)
	want(first.sequence)
	c.enqueue(first, money.Amount{}, Exact)
	want(first.sequence)
	c.acknowledge(c.batch())
	want(third.sequence)
	c.enqueue(third, money.Amount{}, Exact)
	c.acknowledge(c.batch())
	want(third.sequence + 1)
}

func TestAHoldHasOneSettlement(t *testing.T) {
	c := New(Options{HTTPClient: http.DefaultClient, Logger: slog.New(slog.DiscardHandler)})
	hold := c.newHold(&session{pb: &ledgerpb.Session{Epoch: 1}}, Demand{})
	first := c.enqueue(hold, money.FromNano(5), Exact)
	if second := c.enqueue(hold, money.FromNano(7), Uncertain); second != first || c.owed() != 1 || first.pb.GetAmountNanoUsd() != 5 {
		t.Errorf("settled twice: %d settlements are owed, the first is %v", c.owed(), first.pb)
	}
}
