package proxy_test

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// ledger is the real one, seen through the manager's eyes.
type ledger struct {
	running *ledgertest.Ledger
	config  routeconfig.Ledger
	token   func(context.Context) (string, error)
}

func startLedger(t *testing.T) *ledger {
	t.Helper()
	running := ledgertest.StartWith(t, ledgertest.Options{Heartbeat: 20 * time.Millisecond})
	return &ledger{running: running, config: routeconfig.Ledger{URL: running.URL}, token: running.Token}
}

// put enters a route and its budgets, as the manager does before it delivers a configuration.
func (l *ledger) put(t *testing.T, route routeconfig.Route, budgets []*ledgerpb.Budget) {
	t.Helper()
	request := &ledgerpb.PutRouteRequest{Route: &ledgerpb.RouteRef{Namespace: route.Namespace, Name: route.Name}}
	for _, consumer := range route.Consumers {
		request.Consumers = append(request.Consumers, consumer.Name)
	}
	for _, budget := range budgets {
		if route.Name == routeName {
			request.Budgets = append(request.Budgets, budget)
		}
	}
	l.running.PutRoute(request)
}

func (l *ledger) stop() { l.running.Stop() }

func (l *ledger) resume(t *testing.T) {
	t.Helper()
	l.running.Start()
}

// move makes the ledger reachable over TLS at another address, and the old address useless.
func (l *ledger) move(t *testing.T) routeconfig.Ledger {
	t.Helper()
	target, err := url.Parse(l.running.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) { request.SetURL(target) }})
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	return routeconfig.Ledger{URL: front.URL, CA: string(authority)}
}

// spend is what the ledger has of a route, a consumer or a budget, in nano-USD.
type spend struct{ Settled, Uncertain, Held int64 }

func spendOf(found *ledgerpb.Spend) spend {
	return spend{Settled: found.GetSettledNanoUsd(), Uncertain: found.GetUncertainNanoUsd(), Held: found.GetHeldNanoUsd()}
}

// spends are the sums of the route, of its consumer, and of the budgets of both; all are of the same requests.
func (l *ledger) spends(t *testing.T) map[string]spend {
	t.Helper()
	usage := l.running.Usage(routeNamespace, routeName)
	all := map[string]spend{"route": spendOf(usage.GetSpend())}
	for _, budget := range usage.GetBudgets() {
		if budget.GetBudget().GetRef().GetUnit() != ledgerpb.Unit_UNIT_UNSPECIFIED {
			continue // It is no money.
		}
		all["budget "+budget.GetBudget().GetRef().GetName()+" of the route"] = spendOf(budget.GetSpend())
	}
	for _, upstream := range usage.GetUpstreams() {
		for _, budget := range upstream.GetBudgets() {
			all["budget "+budget.GetBudget().GetRef().GetName()+" of upstream "+upstream.GetName()] = spendOf(budget.GetSpend())
		}
	}
	for _, consumer := range usage.GetConsumers() {
		all["consumer "+consumer.GetName()] = spendOf(consumer.GetSpend())
		for _, budget := range consumer.GetBudgets() {
			all["budget "+budget.GetBudget().GetRef().GetName()+" of consumer "+consumer.GetName()] = spendOf(budget.GetSpend())
		}
	}
	return all
}

// acknowledged is the hash of the configuration that the proxy told the ledger it serves.
func (l *ledger) acknowledged(t *testing.T) string {
	t.Helper()
	for _, found := range l.running.Usage(routeNamespace, routeName).GetProxies() {
		return found.GetConfigHash()
	}
	return ""
}

// monthly is a budget that denies; the consumer is empty for one of the route.
func monthly(consumer string, nano int64) *ledgerpb.Budget {
	return &ledgerpb.Budget{
		Ref:         &ledgerpb.BudgetRef{Consumer: consumer, Name: "monthly"},
		Limit:       nano,
		Period:      ledgerpb.Period_PERIOD_MONTH,
		TimeZone:    "Europe/Berlin",
		Enforcement: ledgerpb.Enforcement_ENFORCEMENT_DENY,
	}
}
