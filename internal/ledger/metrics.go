package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/modelroute/modelroute/internal/ledger/store"
)

// Metrics are what the ledger counts.
type Metrics struct {
	calls        *prometheus.CounterVec
	reservations *prometheus.CounterVec
	settlements  *prometheus.CounterVec
	lapsed       prometheus.Counter
	batch        prometheus.Histogram
	commit       prometheus.Histogram
}

// NewMetrics registers the ledger's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	factory := promauto.With(registry)
	return &Metrics{
		calls: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_calls_total", Help: "Calls of the ledger, by method and by how they ended.",
		}, []string{"method", "code"}),
		reservations: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_reservations_total",
			Help: "Reservations that were answered: granted, or denied because the money is exhausted or held by others.",
		}, []string{"result"}),
		settlements: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "modelroute_ledger_settlements_total",
			Help: "Settlements, exact and uncertain. Of these, the repeated had counted before, and the unmatched have no known hold.",
		}, []string{"kind"}),
		lapsed: factory.NewCounter(prometheus.CounterOpts{
			Name: "modelroute_ledger_lapsed_holds_total", Help: "Holds that became uncertain because their proxy fell silent.",
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

func (m *Metrics) countReservation(denial *store.Denial) {
	switch {
	case denial == nil:
		m.reservations.WithLabelValues("granted").Inc()
	case denial.Exhausted:
		m.reservations.WithLabelValues("exhausted").Inc()
	default:
		m.reservations.WithLabelValues("held").Inc()
	}
}

func (m *Metrics) countSettlements(settlements []store.Settlement, outcome store.Settled) {
	uncertain := 0
	for _, one := range settlements {
		if one.Uncertain {
			uncertain++
		}
	}
	m.settlements.WithLabelValues("uncertain").Add(float64(uncertain))
	m.settlements.WithLabelValues("exact").Add(float64(len(settlements) - uncertain))
	m.settlements.WithLabelValues("repeated").Add(float64(outcome.Repeated))
	m.settlements.WithLabelValues("unmatched").Add(float64(outcome.Unmatched))
}
