package controllers

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// limitedRequest is what is put for limitedRoute with the rate limits of rateLimited.
func limitedRequest() *ledgerpb.PutRouteRequest {
	request := &ledgerpb.PutRouteRequest{Consumers: []string{"search"}}
	usage := rateLimited(usageOf(0, 0, 0))
	for _, one := range usage.GetBudgets() {
		request.Budgets = append(request.Budgets, one.GetBudget())
	}
	for _, one := range usage.GetConsumers()[0].GetBudgets() {
		request.Budgets = append(request.Budgets, one.GetBudget())
	}
	return request
}

func TestBudgetsArePutOnlyWhenTheLedgerNeedsThem(t *testing.T) {
	name := client.ObjectKeyFromObject(limitedRoute())
	request := limitedRequest()
	known := snapshot{asked: noon.Add(time.Second), usage: rateLimited(usageOf(1, 0, 0))}
	var puts puts
	if !puts.needs(name, request, known) {
		t.Error("what this process has not put has to be put: an earlier one may have put something else")
	}
	puts.note(name, request, noon)
	if puts.needs(name, request, known) {
		t.Error("what was put, and is known, is put again")
	}
	if puts.needs(name, request, snapshot{asked: noon.Add(-time.Second)}) {
		t.Error("an answer from before it was put counts")
	}
	if !puts.needs(name, request, snapshot{asked: noon.Add(time.Second)}) {
		t.Error("what the ledger has lost is not put again")
	}
	if !puts.needs(name, &ledgerpb.PutRouteRequest{}, known) {
		t.Error("what has changed is not put")
	}
}

func TestAChangedRateLimitIsPut(t *testing.T) {
	for name, change := range map[string]func(*ledgerpb.Budget){
		"its limit":  func(b *ledgerpb.Budget) { b.Limit++ },
		"its period": func(b *ledgerpb.Budget) { b.PeriodSeconds++ },
		"its unit":   func(b *ledgerpb.Budget) { b.Ref.Unit = ledgerpb.Unit_UNIT_UNSPECIFIED },
		"its name":   func(b *ledgerpb.Budget) { b.Ref.Name = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			route := client.ObjectKeyFromObject(limitedRoute())
			known := snapshot{asked: noon.Add(time.Second), usage: rateLimited(usageOf(1, 0, 0))}
			var puts puts
			puts.note(route, limitedRequest(), noon)
			changed := proto.CloneOf(limitedRequest())
			change(budgetOf(t, changed, ledgerpb.Unit_UNIT_TOKENS))
			if !puts.needs(route, changed, known) {
				t.Error("it is not")
			}
		})
	}
}

// A ledger that was restored from a backup has what was put before the backup was made.
func TestWhatARestoredLedgerHasOtherwiseIsPutAgain(t *testing.T) {
	for name, age := range map[string]func(*ledgerpb.RouteUsage){
		"an amount":      func(u *ledgerpb.RouteUsage) { u.Budgets[0].Budget.Limit-- },
		"a period":       func(u *ledgerpb.RouteUsage) { u.Budgets[0].Budget.Period = ledgerpb.Period_PERIOD_WEEK },
		"a time zone":    func(u *ledgerpb.RouteUsage) { u.Budgets[0].Budget.TimeZone = "Asia/Tokyo" },
		"an enforcement": func(u *ledgerpb.RouteUsage) { u.Budgets[0].Budget.Enforcement = ledgerpb.Enforcement_ENFORCEMENT_WARN },
		"a reserve":      func(u *ledgerpb.RouteUsage) { u.Budgets[0].Budget.ExceptUpstream = "spare" },
		"an upstream's budget": func(u *ledgerpb.RouteUsage) {
			its := proto.CloneOf(u.Budgets[0])
			its.Budget.Ref.Upstream = "spare"
			u.Upstreams = []*ledgerpb.UpstreamUsage{{Name: "spare", Budgets: []*ledgerpb.BudgetUsage{its}}}
		},
		"a rate limit's limit":  func(u *ledgerpb.RouteUsage) { u.Budgets[1].Budget.Limit++ },
		"a rate limit's period": func(u *ledgerpb.RouteUsage) { u.Budgets[2].Budget.PeriodSeconds-- },
		"only the money":        func(u *ledgerpb.RouteUsage) { u.Budgets = u.Budgets[:1] },
		"only the rate limits":  func(u *ledgerpb.RouteUsage) { u.Budgets = u.Budgets[1:] },
		"no rate limit of a consumer": func(u *ledgerpb.RouteUsage) {
			u.Consumers[0].Budgets = u.Consumers[0].Budgets[:1]
		},
		"no consumer": func(u *ledgerpb.RouteUsage) { u.Consumers = nil },
		"a budget that is gone": func(u *ledgerpb.RouteUsage) {
			gone := proto.CloneOf(u.Budgets[0])
			gone.Budget.Ref.Name = "gone"
			u.Budgets = append(u.Budgets, gone)
		},
	} {
		t.Run(name, func(t *testing.T) {
			route := client.ObjectKeyFromObject(limitedRoute())
			var puts puts
			puts.note(route, limitedRequest(), noon)
			restored := proto.CloneOf(rateLimited(usageOf(1, 0, 0)))
			age(restored)
			if !puts.needs(route, limitedRequest(), snapshot{asked: noon.Add(time.Second), usage: restored}) {
				t.Error("it is not")
			}
		})
	}
}

func TestAConsumerWithoutLimitsIsPutAgainWhenTheLedgerHasLostIt(t *testing.T) {
	route := client.ObjectKeyFromObject(limitedRoute())
	request := limitedRequest()
	request.Consumers = append(request.Consumers, "guest")
	known := snapshot{asked: noon.Add(time.Second), usage: rateLimited(usageOf(1, 0, 0))}
	var puts puts
	puts.note(route, request, noon)
	if !puts.needs(route, request, known) {
		t.Error("it is not")
	}
	known.usage.Consumers = append(known.usage.Consumers, &ledgerpb.ConsumerUsage{Name: "guest"})
	if puts.needs(route, request, known) {
		t.Error("it is put again though the ledger knows it")
	}
}

// budgetOf finds the first account of a request in a unit.
func budgetOf(t *testing.T, request *ledgerpb.PutRouteRequest, unit ledgerpb.Unit) *ledgerpb.Budget {
	t.Helper()
	for _, one := range request.GetBudgets() {
		if one.GetRef().GetUnit() == unit {
			return one
		}
	}
	t.Fatalf("nothing is counted in %s", unit)
	return nil
}
