package client_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/journal"
	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/money"
)

// yearly is a limit of the route on requests or tokens, in a window that does not end during a test.
func yearly(name string, unit ledgerpb.Unit, limit int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref: &ledgerpb.BudgetRef{Name: name, Unit: unit}, Limit: limit,
		Period: ledgerpb.Period_PERIOD_SECONDS, PeriodSeconds: 365 * 24 * 3600, Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}

// requesting is alice's demand for one request.
func requesting(nano, tokens int64) client.Demand {
	wanted := demand(nano)
	wanted.Requests, wanted.Tokens = 1, tokens
	return wanted
}

// request makes one request that has so many tokens of those that are held for it.
func request(t *testing.T, c *client.Client, nano, held, tokens int64) *client.Hold {
	t.Helper()
	hold, err := c.Reserve(t.Context(), requesting(nano, held))
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	if err := hold.Settle(client.Cost{Amount: money.FromNano(nano), Certainty: client.Exact, Tokens: tokens}); err != nil {
		t.Fatalf("Settle: %v", err)
	}
	return hold
}

// wantRate waits until a rate limit of the route has this settled, uncertain and leased.
func wantRate(t *testing.T, l *ledgertest.Ledger, unit ledgerpb.Unit, want [3]int64) {
	t.Helper()
	eventually(t, func() string {
		for _, one := range l.Usage("ai", "chat").GetBudgets() {
			if one.GetBudget().GetRef().GetUnit() == unit {
				spend := one.GetSpend()
				return cmp.Diff(want, [3]int64{spend.GetSettledNanoUsd(), spend.GetUncertainNanoUsd(), spend.GetLeasedNanoUsd()})
			}
		}
		return "there is no such limit"
	})
}

func TestRequestsAndTokensCountAgainstRateLimits(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putBudgets(l, deny("all", 1_000_000), yearly("burst", ledgerpb.Unit_UNIT_REQUESTS, 3), yearly("burst", ledgerpb.Unit_UNIT_TOKENS, 1000))
	c := l.NewClient("pod", route)
	request(t, c, 100, 500, 40)
	hold := request(t, c, 100, 500, 60)
	rates := hold.Rates()
	if len(rates) != 2 || rates[0].Unit != budget.Requests || rates[0].Limit != 3 || rates[1].Unit != budget.Tokens {
		t.Errorf("rates = %+v", rates)
	}
	_, err := c.Reserve(t.Context(), requesting(100, 901))
	denied, is := errors.AsType[*client.DeniedError](err)
	if !is || denied.Unit != budget.Tokens || denied.Reason != client.Exhausted || denied.Remaining.Nano() != 900 || denied.ResetsIn <= 0 {
		t.Fatalf("901 of 900 tokens: %v", err)
	}
	request(t, c, 100, 900, 0)
	_, err = c.Reserve(t.Context(), requesting(100, 0))
	if denied, is := errors.AsType[*client.DeniedError](err); !is || denied.Unit != budget.Requests || denied.Reason != client.Exhausted {
		t.Fatalf("the fourth of three requests: %v", err)
	}
	closeClient(t, c)
	wantRate(t, l, ledgerpb.Unit_UNIT_REQUESTS, [3]int64{3, 0, 0})
	wantRate(t, l, ledgerpb.Unit_UNIT_TOKENS, [3]int64{100, 0, 0})
	wantBooks(t, l, books{Settled: 300})
}

func TestReplicasTogetherGetNoMoreRequestsThanTheLimitAndAllOfThem(t *testing.T) {
	t.Parallel()
	l := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	const limit, tokens = 300, 7
	putBudgets(l, yearly("burst", ledgerpb.Unit_UNIT_REQUESTS, limit), yearly("burst", ledgerpb.Unit_UNIT_TOKENS, limit*tokens+3))
	var served atomic.Int64
	var asking sync.WaitGroup
	for range 3 {
		c := start(t, l, journal.Options{}, patiently)
		for range 4 {
			asking.Go(func() {
				for {
					hold, err := c.Reserve(t.Context(), requesting(0, tokens))
					if denied, is := errors.AsType[*client.DeniedError](err); is && denied.Reason == client.Exhausted {
						return
					}
					if err != nil {
						t.Errorf("Reserve: %v", err)
						return
					}
					served.Add(1)
					if err := hold.Settle(client.Cost{Certainty: client.Exact, Tokens: tokens}); err != nil {
						t.Errorf("Settle: %v", err)
					}
				}
			})
		}
	}
	asking.Wait()
	if served.Load() != limit {
		t.Errorf("%d requests were served of %d", served.Load(), limit)
	}
}

func TestWhatAKilledProxyHeldCountsAgainstRateLimitsOnce(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putBudgets(l, yearly("burst", ledgerpb.Unit_UNIT_REQUESTS, 10), yearly("burst", ledgerpb.Unit_UNIT_TOKENS, 1000))
	directory := t.TempDir()
	first := start(t, l, journal.Options{Directory: directory})
	if _, err := first.Reserve(t.Context(), requesting(0, 300)); err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	first.stop()
	second := start(t, l, journal.Options{Directory: directory})
	wantRate(t, l, ledgerpb.Unit_UNIT_REQUESTS, [3]int64{1, 0, 0})
	wantRate(t, l, ledgerpb.Unit_UNIT_TOKENS, [3]int64{300, 0, 0})
	request(t, second.Client, 0, 700, 700)
	wantRate(t, l, ledgerpb.Unit_UNIT_TOKENS, [3]int64{1000, 0, 0})
}

func TestTheFairShareIsOfTokensToo(t *testing.T) {
	t.Parallel()
	l := ledgertest.Start(t)
	putBudgets(l, yearly("burst", ledgerpb.Unit_UNIT_TOKENS, 1000))
	c := l.NewClient("pod", route)
	share, err := c.Share(t.Context(), demand(0))
	if err != nil || share.Tokens != 500 || share.Amount.Nano() < 1_000_000_000 {
		t.Errorf("share = %+v, error %v; want half of the tokens, and any money", share, err)
	}
}
