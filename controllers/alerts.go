package controllers

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// alertsTotal steps once for each alert, however often the manager is restarted: what was announced is in the status.
var alertsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "modelroute_budget_alerts_total",
	Help: "Alert percentages that budgets reached, each once in a window. Consumer and upstream are empty for a budget of the route.",
}, []string{"namespace", "route", "consumer", "upstream", "budget", "percent"})

func init() { metrics.Registry.MustRegister(alertsTotal) }

// alert is an alert percentage that a budget has reached.
type alert struct {
	ownedBudget
	percent int32
}

// newAlerts are those that the next figures have reached and the shown ones had not in the same window, the lowest first.
func newAlerts(route *v1alpha1.ModelRoute, shown, next figures) []alert {
	before, after := owners(route.Spec, shown), owners(route.Spec, next)
	alerts := make([]alert, 0, len(after))
	for i, one := range after {
		alerts = append(alerts, alertsOf(one, before[i].statuses)...)
	}
	return alerts
}

func alertsOf(of owned, shown []v1alpha1.BudgetStatus) []alert {
	var alerts []alert
	next := of.statuses
	for _, spec := range of.specs {
		for i := range next {
			if next[i].Name != spec.Name {
				continue
			}
			announced := int32(0)
			if earlier := sameWindow(shown, &next[i]); earlier != nil {
				announced = earlier.AlertedPercent
			}
			for _, percent := range slices.Sorted(slices.Values(alertPercents(of.specs, spec.Name))) {
				if percent > announced && percent <= next[i].AlertedPercent {
					its := ownedBudget{owner: of.owner, spec: spec, status: next[i]}
					alerts = append(alerts, alert{ownedBudget: its, percent: percent})
				}
			}
		}
	}
	return alerts
}

// describe says so, with no figure that moves.
func (a alert) describe() string {
	return fmt.Sprintf("%s %s of %s USD is used to %d percent.", a.whose(), a.spec.Name, a.status.Limit, a.percent)
}

func (a alert) action() string {
	return a.counting() + "/" + strconv.Itoa(int(a.percent))
}

func (a alert) count(route *v1alpha1.ModelRoute) {
	alertsTotal.WithLabelValues(route.Namespace, route.Name, a.consumer, a.upstream, a.spec.Name, strconv.Itoa(int(a.percent))).Inc()
}
