package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

func TestAHoldKnowsTheTightestBudgetAsItWasWhenItWasTaken(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	wide := deny("all", 5000)
	wide.Ref.Consumer = ""
	putBudgets(l, wide, deny("small", 1000))
	c := l.NewClient("pod", route)
	for _, want := range []int64{900, 800} {
		hold := reserve(t, c, 100)
		got, found := hold.Tightest()
		if diff := cmp.Diff(client.Balance{Budget: "consumer/small", Remaining: money.FromNano(want)}, got); !found || diff != "" {
			t.Errorf("found %t (-want +got):\n%s", found, diff)
		}
		settle(t, hold, 100, client.Exact)
	}
}

func TestAHoldThatNoBudgetBoundsHasNoTightest(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putBudgets(l)
	hold := reserve(t, l.NewClient("pod", route), 100)
	defer settle(t, hold, 0, client.Exact)
	if got, found := hold.Tightest(); found {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsInFlightIsToldByRoute(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1_000_000)
	c := l.NewClient("pod", route)
	first, second := reserve(t, c, 100), reserve(t, c, 50)
	want := map[client.Route]client.InFlight{route: {Holds: 2, Amount: money.FromNano(150)}}
	if diff := cmp.Diff(want, c.InFlight()); diff != "" {
		t.Errorf("in flight (-want +got):\n%s", diff)
	}
	settle(t, first, 100, client.Exact)
	settle(t, second, 0, client.Exact)
	if got := c.InFlight(); len(got) != 0 {
		t.Errorf("in flight once all is settled: %+v", got)
	}
}

func TestADemandIsToldHowLongItWaited(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	put(l, 1000)
	c := l.NewClient("pod", route)
	hold := reserve(t, c, 1000)
	defer settle(t, hold, 0, client.Exact)
	var queued time.Duration
	wanting := demand(1000)
	wanting.Queued = &queued
	_, err := c.Reserve(t.Context(), wanting)
	if denied, is := errors.AsType[*client.DeniedError](err); !is || denied.Account() != "consumer/all" {
		t.Fatalf("Reserve: %v", err)
	}
	if queued <= 0 {
		t.Error("it did not wait for money that others hold")
	}
	if got := c.Waiting(); got != 0 {
		t.Errorf("%d wait when nobody does", got)
	}
}
