package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// Metrics are what the ledger counts.
type Metrics struct {
	calls       *prometheus.CounterVec
	demands     *prometheus.CounterVec
	settlements *prometheus.CounterVec
	lapsed      prometheus.Counter
	batch       prometheus.Histogram
	commit      prometheus.Histogram
}

// NewMetrics registers the ledger's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	factory := promauto.With(registry)
	return &Metrics{
		calls: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_calls_total", Help: "Calls of the ledger, by method and by how they ended.",
		}, []string{"method", "code"}),
		demands: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_demands_total",
			Help: "Demands of proxies for money: met, denied because the money is exhausted or held by others, or refused.",
		}, []string{"result"}),
		settlements: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_settlements_total",
			Help: "Settlements: exact, uncertain, or corrected after that. The foreign were passed over, being of routes never served.",
		}, []string{"kind"}),
		lapsed: factory.NewCounter(prometheus.CounterOpts{
			Name: "modelroute_ledger_lapsed_proxies_total",
			Help: "Proxies that fell silent while money was out with them, so that it counts as uncertain until they report.",
		}),
		batch: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "modelroute_ledger_store_batch_size", Help: "Calls that were written in one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		commit: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "modelroute_ledger_store_commit_seconds", Help: "Time to write one transaction to disk.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
	}
}

// ObserveCommit notes a transaction of the store, how many calls it wrote and how long it took.
func (m *Metrics) ObserveCommit(calls int, took time.Duration) {
	m.batch.Observe(float64(calls))
	m.commit.Observe(took.Seconds())
}

func (m *Metrics) countDemands(answers []store.Answer) {
	for _, answer := range answers {
		m.demands.WithLabelValues(resultOf(answer)).Inc()
	}
}

func resultOf(answer store.Answer) string {
	switch {
	case answer.Err != nil:
		return "refused"
	case answer.Denial == nil:
		return "met"
	case answer.Denial.Exhausted:
		return "exhausted"
	}
	return "held"
}

// countRecords counts what was booked, which is what had not been booked before.
func (m *Metrics) countRecords(records []store.Record, outcome store.Appended) {
	for _, one := range records[min(outcome.Repeated, len(records)):] {
		switch {
		case one.Settlement == nil:
		case !one.Settlement.Replaces.IsZero():
			m.settlements.WithLabelValues("corrected").Inc()
		case one.Settlement.Uncertain:
			m.settlements.WithLabelValues("uncertain").Inc()
		default:
			m.settlements.WithLabelValues("exact").Inc()
		}
	}
	m.settlements.WithLabelValues("foreign").Add(float64(outcome.Foreign))
}
