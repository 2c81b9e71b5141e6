package storetest

import (
	stdcmp "cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/store"
	"github.com/modelroute/modelroute/internal/money"
)

// compare compares everything that the store shows with the model.
func (m *model) compare(rt *rapid.T) {
	usage, err := m.store.Usage(m.t.Context(), m.clock.now(), time.Time{})
	if err != nil || len(usage.Routes) != 1 {
		rt.Fatalf("Usage = %+v, %v, want one route", usage, err)
	}
	m.compareShared(rt, usage.Shared)
	of := usage.Routes[0]
	got := map[string]store.Spend{"": of.Spend}
	budgets := of.Budgets
	for _, one := range of.Upstreams {
		budgets = append(budgets, one.Budgets...)
	}
	for _, one := range of.Consumers {
		got[one.Name] = one.Spend
		budgets = append(budgets, one.Budgets...)
	}
	want := map[string]store.Spend{}
	for _, consumer := range append([]string{""}, modelConsumers...) {
		_, sum := m.sums(rt, store.Budget{Consumer: consumer, Name: "none", Period: budget.Total})
		want[consumer] = sum
	}
	if diff := cmp.Diff(want, got, amounts); diff != "" {
		rt.Fatalf("spend (-want +got):\n%s", diff)
	}
	m.compareUpstreams(rt)
	var wantBudgets []store.BudgetUsage
	for _, b := range m.route.Budgets {
		window, sum := m.sums(rt, b)
		wantBudgets = append(wantBudgets, store.BudgetUsage{Budget: b, Window: window, Spend: sum})
	}
	slices.SortStableFunc(wantBudgets, func(a, b store.BudgetUsage) int {
		return stdcmp.Or(strings.Compare(a.Budget.Consumer, b.Budget.Consumer), strings.Compare(a.Budget.Upstream, b.Budget.Upstream))
	})
	// Refusing is a memory of the last demand, which is lost where a window is summed anew; runRefusing has its cases.
	if diff := cmp.Diff(wantBudgets, budgets, amounts, cmpopts.IgnoreFields(store.BudgetUsage{}, "Refusing")); diff != "" {
		rt.Fatalf("budgets at %s (-want +got):\n%s", m.clock.now(), diff)
	}
}

// compareUpstreams compares what was spent at each upstream.
func (m *model) compareUpstreams(rt *rapid.T) {
	spends, err := m.store.UpstreamSpend(m.t.Context(), chat)
	if err != nil {
		rt.Fatalf("UpstreamSpend: %v", err)
	}
	got, want := map[string][2]int64{}, map[string][2]int64{}
	for _, one := range spends {
		if sum := [2]int64{one.Settled.Nano(), one.Uncertain.Nano()}; sum != [2]int64{} {
			got[one.Name] = sum
		}
	}
	for _, one := range m.costs {
		sum := want[one.upstream]
		if sum[0], sum[1] = sum[0]+one.settled, sum[1]+one.uncertain; sum != [2]int64{} {
			want[one.upstream] = sum
		} else {
			delete(want, one.upstream)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("settled and uncertain by upstream (-want +got):\n%s", diff)
	}
}

// sums adds up what counts in the budget's window now.
func (m *model) sums(rt *rapid.T, b store.Budget) (budget.Window, store.Spend) {
	calendar := calendarOf(rt, b)
	window := calendar.WindowAt(m.clock.now())
	var settled, uncertain, leased int64
	for _, one := range m.costs {
		counts := (b.Consumer == "" || b.Consumer == one.consumer) && b.Covers(one.upstream)
		if b.Owner != "" {
			counts = b.Owner.Pays(one.team) && m.ever[store.Member{Consumer: one.consumer, Owner: b.Owner}]
		}
		if counts && calendar.WindowAt(one.at) == window {
			settled, uncertain = settled+one.settled, uncertain+one.uncertain
		}
	}
	for _, l := range m.leases {
		switch {
		case l.account != keyOf(b) || calendar.WindowAt(l.at) != window:
		case l.proxy.silent:
			uncertain += l.out
		default:
			leased += l.out
		}
	}
	return window, store.Spend{Settled: money.FromNano(settled), Uncertain: money.FromNano(uncertain), Leased: money.FromNano(leased)}
}
