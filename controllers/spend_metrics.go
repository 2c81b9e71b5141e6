package controllers

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/money"
)

// SpendPath is where the manager serves the spend and the budgets as metrics. They are apart from its other metrics, since there are some
// for every consumer of every route: who does not want them in Prometheus does not scrape them.
const SpendPath = "/metrics/spend"

// spendCollector shows what the ledger said last. The figures are for graphs and alerts, in USD; the exact ones are in the ledger.
type spendCollector struct {
	of atomic.Pointer[Usage]

	spend, teamSpend, limit, spent, end *prometheus.Desc
}

var spendMetrics = newSpendCollector()

func newSpendCollector() *spendCollector {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	// Of a budget those labels are empty that say whose it is not.
	budgets := []string{"namespace", "route", "consumer", "upstream", "team", "key", "budget"}
	return &spendCollector{
		spend: describe("modelroute_spend_usd_total",
			"What was spent by the ledger's books, what is uncertain included; consumer is empty for the whole route.",
			"namespace", "route", "consumer"),
		teamSpend: describe("modelroute_team_spend_usd_total",
			"What was spent on a route in a team's name, by the ledger's books.", "team", "namespace", "route"),
		limit: describe("modelroute_budget_limit_usd", "What may be spent in the window of a budget.", budgets...),
		spent: describe("modelroute_budget_spent_usd",
			"What was spent in the present window of a budget, what is uncertain included.", budgets...),
		end: describe("modelroute_budget_window_end_timestamp_seconds",
			"When the present window of a budget ends, in Unix seconds; there is no series for a budget of all time.", budgets...),
	}
}

// SpendMetrics are the spend and the budgets, of the manager that is elected.
func SpendMetrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(spendMetrics)
	return registry
}

// SpendHandler serves them in Prometheus's format.
func SpendHandler() http.Handler { return promhttp.HandlerFor(SpendMetrics(), promhttp.HandlerOpts{}) }

// Describe implements prometheus.Collector.
func (c *spendCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{c.spend, c.teamSpend, c.limit, c.spent, c.end} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector.
func (c *spendCollector) Collect(found chan<- prometheus.Metric) {
	usage := c.of.Load()
	if usage == nil {
		return
	}
	usage.mu.Lock()
	routes, shared := usage.routes, usage.shared // Nobody changes them once they are there.
	usage.mu.Unlock()
	for name, one := range routes {
		c.collectRoute(found, name, one)
	}
	for owner, one := range shared {
		c.collectShared(found, budget.Owner(owner), one)
	}
}

func (c *spendCollector) collectRoute(found chan<- prometheus.Metric, name types.NamespacedName, usage *ledgerpb.RouteUsage) {
	spend := func(consumer string, spend *ledgerpb.Spend) {
		found <- prometheus.MustNewConstMetric(c.spend, prometheus.CounterValue, inUSD(spend), name.Namespace, name.Name, consumer)
	}
	spend("", usage.GetSpend())
	c.collectBudgets(found, usage.GetBudgets(), name.Namespace, name.Name, "", "", "", "")
	for _, consumer := range usage.GetConsumers() {
		spend(consumer.GetName(), consumer.GetSpend())
		c.collectBudgets(found, consumer.GetBudgets(), name.Namespace, name.Name, consumer.GetName(), "", "", "")
	}
	for _, upstream := range usage.GetUpstreams() {
		c.collectBudgets(found, upstream.GetBudgets(), name.Namespace, name.Name, "", upstream.GetName(), "", "")
	}
}

func (c *spendCollector) collectShared(found chan<- prometheus.Metric, owner budget.Owner, usage *ledgerpb.SharedUsage) {
	team, isTeam := owner.Team()
	if !isTeam {
		key, _ := owner.Key()
		namespace, name, _ := strings.Cut(key, "/")
		c.collectBudgets(found, usage.GetBudgets(), namespace, "", "", "", "", name)
		return
	}
	for _, route := range usage.GetRoutes() {
		found <- prometheus.MustNewConstMetric(c.teamSpend, prometheus.CounterValue, inUSD(route.GetSpend()),
			team, route.GetRoute().GetNamespace(), route.GetRoute().GetName())
	}
	c.collectBudgets(found, usage.GetBudgets(), "", "", "", "", team, "")
}

// collectBudgets shows budgets; the labels are those of the owner. Rate limits, which are no budgets, are not shown.
func (c *spendCollector) collectBudgets(found chan<- prometheus.Metric, budgets []*ledgerpb.BudgetUsage, labels ...string) {
	for _, one := range budgets {
		its := one.GetBudget()
		if its.GetRef().GetUnit() != ledgerpb.Unit_UNIT_UNSPECIFIED {
			continue
		}
		of := append(slices.Clip(labels), its.GetRef().GetName())
		limit := float64(its.GetLimit()) / money.NanoPerUSD
		found <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, limit, of...)
		found <- prometheus.MustNewConstMetric(c.spent, prometheus.GaugeValue, inUSD(one.GetSpend()), of...)
		if end := one.GetWindowEnd(); end != nil {
			found <- prometheus.MustNewConstMetric(c.end, prometheus.GaugeValue, float64(end.GetSeconds()), of...)
		}
	}
}

// inUSD is what was spent, what is uncertain included.
func inUSD(of *ledgerpb.Spend) float64 { return float64(spent(of).Nano()) / money.NanoPerUSD }
