package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// otherRoute stands for requests that reached no route, whatever they asked for: a label never holds what a client sent.
const otherRoute = "_other"

var routeLabels = []string{"namespace", "route"}

// metrics are what the proxy counts. Labels are namespaces and names of routes from the configuration and words from fixed lists.
type metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	denials  *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	spend    *prometheus.CounterVec
	doubts   *prometheus.CounterVec
	attempts *prometheus.CounterVec
	departed *prometheus.CounterVec
	drains   prometheus.Gauge

	reloadSuccessful prometheus.Gauge
	reloadTime       prometheus.Gauge
	configHash       *prometheus.GaugeVec
}

func newMetrics() *metrics {
	const namespace = "modelroute_proxy"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		options := prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
		return prometheus.NewCounterVec(options, append(routeLabels, labels...))
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests answered, by class of the HTTP status that the client got.", "status_class"),
		denials:  counter("denials_total", "Requests refused for the sake of a budget, by reason.", "reason"),
		tokens:   counter("tokens_total", "Tokens that upstreams reported, by kind.", "kind"),
		spend:    counter("spend_nano_usd_total", "Spend that was settled, in billionths of a US dollar, by certainty.", "certainty"),
		doubts: counter("corrections_total",
			"Attempts that were settled as uncertain and asked for at the upstream, by what came of it.", "result"),
		attempts: counter("upstream_attempts_total", "Attempts at upstreams, by what came of them.", "upstream", "result"),
		departed: counter("disconnects_total",
			"Attempts whose client left before the end of the answer, by what was done: the answer was drained, or the upstream was "+
				"cancelled, or the answer was abandoned because too many were being drained.", "result"),
		drains: prometheus.NewGauge(gauge("drains_in_flight", "Answers that are read to their end for the bill alone.")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "request_duration_seconds", Help: "Time from a request's header to the last byte of its answer.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}, routeLabels),
		inFlight: prometheus.NewGauge(gauge("requests_in_flight", "Requests that are being answered now.")),
		reloadSuccessful: prometheus.NewGauge(gauge("config_last_reload_successful",
			"1 if the last configuration that arrived is served, else 0.")),
		reloadTime: prometheus.NewGauge(gauge("config_last_reload_success_timestamp_seconds",
			"When the configuration that is served was taken up, in Unix seconds.")),
		configHash: prometheus.NewGaugeVec(gauge("config_hash_info",
			"1 for the SHA-256 of the configuration that is served."), []string{"sha256"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.denials, m.tokens, m.spend, m.doubts, m.attempts, m.departed, m.drains,
		m.reloadSuccessful, m.reloadTime, m.configHash,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watchLedger shows how much of what was done the ledger does not know yet.
func (m *metrics) watchLedger(owed func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "modelroute_proxy", Name: "ledger_owed_records",
		Help: "Settlements and returns that are in the journal and that the ledger has not acknowledged yet.",
	}, func() float64 { return float64(owed()) }))
}

// routeValues are the values of routeLabels for a grant; nil is a request that reached no route.
func routeValues(granted *grant) []string {
	if granted == nil {
		return []string{otherRoute, otherRoute}
	}
	return []string{granted.route.Namespace, granted.route.Name}
}

func (m *metrics) answered(granted *grant, status int, took time.Duration) {
	route := routeValues(granted)
	m.requests.WithLabelValues(append(route, strconv.Itoa(status/100)+"xx")...).Inc()
	m.duration.WithLabelValues(route...).Observe(took.Seconds())
}

func (m *metrics) denied(granted *grant, reason string) {
	m.denials.WithLabelValues(append(routeValues(granted), reason)...).Inc()
}

func (m *metrics) settled(granted *grant, amount money.Amount, certainty client.Certainty) {
	label := "exact"
	if certainty == client.Uncertain {
		label = "uncertain"
	}
	// A float64 counts whole nano-USD exactly up to nine million dollars. The ledger has the books; this is for graphs.
	m.spend.WithLabelValues(append(routeValues(granted), label)...).Add(float64(max(amount.Nano(), 0)))
}

// corrected counts what came of asking: exact if it is known now, unknown if not, dropped if nobody asked.
func (m *metrics) corrected(route *routeconfig.Route, result string) {
	m.doubts.WithLabelValues(route.Namespace, route.Name, result).Inc()
}

// attempted counts an attempt: served if the client got an answer, refused if the upstream refused the request for what it is, failed if
// another upstream may serve it.
func (m *metrics) attempted(admitted *admission, got outcome) {
	result := "served"
	switch {
	case got.elsewhere:
		result = "failed"
	case got.refusal != nil:
		result = "refused"
	}
	m.attempts.WithLabelValues(append(routeValues(admitted.grant), admitted.upstream.Name, result)...).Inc()
}

// disconnected counts an attempt whose client left; of one whose client stayed, done is empty.
func (m *metrics) disconnected(granted *grant, done string) {
	if done != "" {
		m.departed.WithLabelValues(append(routeValues(granted), done)...).Inc()
	}
}

func (m *metrics) used(granted *grant, prompt, completion int64) {
	m.tokens.WithLabelValues(append(routeValues(granted), "prompt")...).Add(float64(max(prompt, 0)))
	m.tokens.WithLabelValues(append(routeValues(granted), "completion")...).Add(float64(max(completion, 0)))
}

func (m *metrics) reloaded(hash string, now time.Time) {
	m.reloadSuccessful.Set(1)
	m.reloadTime.Set(float64(now.Unix()))
	m.configHash.Reset()
	m.configHash.WithLabelValues(hash).Set(1)
}

func (m *metrics) reloadFailed() { m.reloadSuccessful.Set(0) }

// statusWriter remembers the status that the client got.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(content []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(content)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
