package controllers

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// projectBooks is what a route's status shows of its upstreams' books, in the order of the spec. What was not looked at yet stays as it is;
// what is of another key, or of other users of it, goes.
func projectBooks(route *v1alpha1.ModelRoute, known booksSnapshot, now time.Time) []v1alpha1.UpstreamStatus {
	if known.off {
		return nil
	}
	shown := booksShown(route.Status.Upstreams)
	var projected []v1alpha1.UpstreamStatus
	for i := range route.Spec.Upstreams {
		name := route.Spec.Upstreams[i].Name
		var before *v1alpha1.UpstreamStatus
		if at := slices.IndexFunc(shown, func(one v1alpha1.UpstreamStatus) bool { return one.Name == name }); at >= 0 {
			before = &shown[at]
		}
		after := before
		if known.looked {
			after = projectUpstream(name, before, known.upstreams[name], now)
		}
		if after != nil {
			projected = append(projected, *after)
		}
	}
	return projected
}

// projectUpstream is what is shown of an upstream that was looked at; nil if nothing is.
func projectUpstream(name string, before *v1alpha1.UpstreamStatus, known upstreamBooks, now time.Time) *v1alpha1.UpstreamStatus {
	if known.finding == nil {
		if before != nil && known.id != "" && before.Baseline != nil && before.Baseline.ID == known.id {
			return before
		}
		return nil
	}
	next := booksStatus(name, known.id, *known.finding)
	if before != nil {
		next.UpdateTime = before.UpdateTime
		if equality.Semantic.DeepEqual(*before, next) {
			return before
		}
	}
	next.UpdateTime = metav1.NewTime(now.Truncate(time.Second))
	return &next
}

// booksShown are the comparisons that a status shows.
func booksShown(status []v1alpha1.UpstreamStatus) []v1alpha1.UpstreamStatus {
	var shown []v1alpha1.UpstreamStatus
	for _, one := range status {
		if isCompared(one) {
			one.Budgets, one.ProvisionedKey = nil, nil
			shown = append(shown, withPrices(one, v1alpha1.UpstreamStatus{}))
		}
	}
	return shown
}

// isCompared reports whether a status has the comparison of an upstream's books, and not only its budgets.
func isCompared(one v1alpha1.UpstreamStatus) bool { return one.Since != nil }

// sameBooks reports whether a status shows these comparisons.
func sameBooks(status, compared []v1alpha1.UpstreamStatus) bool {
	return equality.Semantic.DeepEqual(booksShown(status), compared)
}

func booksStatus(name, id string, of finding) v1alpha1.UpstreamStatus {
	return v1alpha1.UpstreamStatus{
		Name:    name,
		Since:   new(metav1.NewTime(of.from.since.Truncate(time.Second))),
		Billed:  of.billed.String(),
		Settled: of.settled.String(),
		Drift:   of.drift.String(),
		State:   of.state(),
		Baseline: &v1alpha1.BooksBaseline{
			ID:         id,
			BilledFrom: of.from.billedFrom.String(), BilledTo: of.from.billed.String(),
			SettledFrom: of.from.settledFrom.String(), SpentTo: of.from.spent.String(),
		},
	}
}

// earliestBaseline is the oldest baseline of that id in the status of the users' routes; nil if there is none that can be read.
func earliestBaseline(id string, users []user) *baseline {
	var earliest *baseline
	for _, user := range users {
		shown := user.of.Status.Upstreams
		for i := range shown {
			found := readBaseline(id, &shown[i])
			if found != nil && (earliest == nil || found.since.Before(earliest.since)) {
				earliest = found
			}
		}
	}
	return earliest
}

func readBaseline(id string, status *v1alpha1.UpstreamStatus) *baseline {
	from := status.Baseline
	if from == nil || from.ID != id || status.Since == nil {
		return nil
	}
	billedFrom, err1 := money.ParseUSD(from.BilledFrom)
	billed, err2 := money.ParseUSD(from.BilledTo)
	settledFrom, err3 := money.ParseUSD(from.SettledFrom)
	spent, err4 := money.ParseUSD(from.SpentTo)
	if errors.Join(err1, err2, err3, err4) != nil {
		return nil // A status can be edited by anybody who may.
	}
	return &baseline{since: status.Since.Time, billedFrom: billedFrom, billed: billed, settledFrom: settledFrom, spent: spent}
}

// newDrifts are the upstreams whose books drift, and did not in the same comparison before.
func newDrifts(before, after []v1alpha1.UpstreamStatus) []v1alpha1.UpstreamStatus {
	var drifts []v1alpha1.UpstreamStatus
	for _, one := range after {
		wasThere := slices.ContainsFunc(before, func(other v1alpha1.UpstreamStatus) bool {
			return other.Name == one.Name && other.State == v1alpha1.BooksDrifting && other.Since.Equal(one.Since)
		})
		if one.State == v1alpha1.BooksDrifting && !wasThere {
			drifts = append(drifts, one)
		}
	}
	return drifts
}

// describeDrift says so, with no figure that moves.
func describeDrift(one v1alpha1.UpstreamStatus) string {
	if parseAmount(one.Drift).IsNegative() {
		return "Upstream " + one.Name + " has billed less to the API key than the routes that use it have spent: see status.upstreams."
	}
	return "Upstream " + one.Name + " has billed more to the API key than the routes that use it have spent: see status.upstreams."
}

// booksCollector shows what the manager that leads knows, and no series of what is no more.
type booksCollector struct {
	of         atomic.Pointer[Books]
	drift, age *prometheus.Desc
}

var booksMetrics = newBooksCollector()

func newBooksCollector() *booksCollector {
	labels := []string{"namespace", "route", "upstream", "account"}
	return &booksCollector{
		drift: prometheus.NewDesc("modelroute_upstream_drift_usd",
			"How much more an upstream has billed to an API key than the routes that use it have spent, in USD; the same for all of these.",
			labels, nil),
		age: prometheus.NewDesc("modelroute_upstream_books_age_seconds",
			"Time since what an upstream has billed to the API key of a route was last, or was first to be, held against what was spent.",
			labels, nil),
	}
}

func init() { metrics.Registry.MustRegister(booksMetrics) }

// Describe implements prometheus.Collector.
func (c *booksCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.drift
	descriptions <- c.age
}

// Collect implements prometheus.Collector.
func (c *booksCollector) Collect(found chan<- prometheus.Metric) {
	books := c.of.Load()
	if books == nil {
		return
	}
	now := books.Clock.Now()
	books.mu.Lock()
	defer books.mu.Unlock()
	for id, kept := range books.accounts {
		said, isThere := kept.finding()
		for _, one := range kept.users {
			labels := []string{one.route.Namespace, one.route.Name, one.upstream, id[:8]}
			if isThere {
				// This is for graphs; the exact figure is in the status.
				usd := float64(said.drift.Nano()) / money.NanoPerUSD
				found <- prometheus.MustNewConstMetric(c.drift, prometheus.GaugeValue, usd, labels...)
			}
			found <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, now.Sub(kept.asked).Seconds(), labels...)
		}
	}
}
