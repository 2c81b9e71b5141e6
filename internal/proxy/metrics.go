package proxy

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	// other stands in labels for whatever is not in the configuration or in a fixed list: a label never holds what a client or an upstream
	// sent. otherError is the same word in error_type, where OpenTelemetry prescribes it.
	other      = "_other"
	otherError = "_OTHER"

	ownMetrics = "modelroute_proxy_"

	namespaceLabel, routeLabel, upstreamLabel = "namespace", "route", "upstream"
)

// The labels of the metrics. Those that begin with gen_ai_, error_ and server_ are OpenTelemetry's attributes.
var (
	routeLabels    = []string{namespaceLabel, routeLabel}
	consumerLabels = []string{namespaceLabel, routeLabel, "consumer"}
	upstreamLabels = []string{namespaceLabel, routeLabel, upstreamLabel}
	genAILabels    = []string{
		namespaceLabel, routeLabel, upstreamLabel,
		"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model",
	}
	serverLabels = []string{"server_address", "server_port"}
)

// The buckets that OpenTelemetry's conventions for generative AI ask for.
var (
	durationBuckets = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	firstBuckets    = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	perTokenBuckets = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	tokenBuckets    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	queueBuckets    = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
)

// metrics are what the proxy counts. What is told of a request by route, consumer and upstream goes through the meters of its grant, which
// have their series at hand.
type metrics struct {
	registry *prometheus.Registry

	requests, denials, tokens, spend, attempts, doubts, departed *prometheus.CounterVec
	serverDuration, firstToken, perToken                         *prometheus.HistogramVec
	clientDuration, tokenUsage, queued                           *prometheus.HistogramVec

	inFlight, drains, reloadSuccessful, reloadTime prometheus.Gauge
	configHash                                     *prometheus.GaugeVec

	// nobody has the meters of requests that reached no route.
	nobody *grantMeters
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.addRequests()
	m.addGenAI()
	m.addState()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.nobody = m.metersOfNobody()
	return m
}

// counter adds a counter of our own.
func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	made := prometheus.NewCounterVec(prometheus.CounterOpts{Name: ownMetrics + name, Help: help}, labels)
	m.registry.MustRegister(made)
	return made
}

// gauge adds a gauge of our own.
func (m *metrics) gauge(name, help string) prometheus.Gauge {
	made := prometheus.NewGauge(prometheus.GaugeOpts{Name: ownMetrics + name, Help: help})
	m.registry.MustRegister(made)
	return made
}

// histogram adds a histogram of that full name.
func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	made := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(made)
	return made
}

func with(labels []string, more ...string) []string { return append(slices.Clip(labels), more...) }

func (m *metrics) addRequests() {
	m.requests = m.counter("requests_total", "Requests answered, by class of the HTTP status that the client got.",
		with(consumerLabels, "status_class")...)
	m.denials = m.counter("denials_total", "Requests refused for the sake of a budget or a rate limit, by reason and by which one.",
		with(consumerLabels, "reason", "budget")...)
	m.tokens = m.counter("tokens_total",
		"Tokens that upstreams reported, by kind. Those of kind cached are also among prompt, those of kind reasoning among completion.",
		with(consumerLabels, "kind")...)
	m.spend = m.counter("spend_nano_usd_total",
		"Spend that was settled, in billionths of a US dollar, by where the figure is from and whether it is certain.",
		with(consumerLabels, "upstream", "source", "certainty")...)
	m.attempts = m.counter("upstream_attempts_total", "Attempts at upstreams, by what came of them.", with(upstreamLabels, "result")...)
	m.doubts = m.counter("corrections_total",
		"Attempts that were settled as uncertain and asked for at the upstream, by what came of it.", with(routeLabels, "result")...)
	m.departed = m.counter("disconnects_total",
		"Attempts whose client left before the end of the answer, by what was done: the answer was drained, or the upstream was "+
			"cancelled, or the answer was abandoned because too many were being drained.", with(routeLabels, "result")...)
	m.queued = m.histogram(ownMetrics+"queue_seconds",
		"Time that attempts waited for money, of those that found too little of it drawn ahead of need.", queueBuckets, routeLabels...)
}

func (m *metrics) addGenAI() {
	m.serverDuration = m.histogram("gen_ai_server_request_duration_seconds",
		"Time from a request's header to the last byte of its answer, as its client sees it.",
		durationBuckets, with(genAILabels, "error_type")...)
	m.firstToken = m.histogram("gen_ai_server_time_to_first_token_seconds",
		"Time from a request's header to the first token of its stream.", firstBuckets, genAILabels...)
	m.perToken = m.histogram("gen_ai_server_time_per_output_token_seconds",
		"Time per token of a stream after its first.", perTokenBuckets, genAILabels...)
	m.clientDuration = m.histogram("gen_ai_client_operation_duration_seconds",
		"Time that an attempt at an upstream took, the reading of its answer included.",
		durationBuckets, append(with(genAILabels, serverLabels...), "error_type")...)
	m.tokenUsage = m.histogram("gen_ai_client_token_usage", "Tokens of an attempt, as the upstream reported them.",
		tokenBuckets, append(with(genAILabels, serverLabels...), "gen_ai_token_type")...)
}

func (m *metrics) addState() {
	m.inFlight = m.gauge("requests_in_flight", "Requests that are being answered now.")
	m.drains = m.gauge("drains_in_flight", "Answers that are read to their end for the bill alone.")
	m.reloadSuccessful = m.gauge("config_last_reload_successful", "1 if the last configuration that arrived is served, else 0.")
	m.reloadTime = m.gauge("config_last_reload_success_timestamp_seconds",
		"When the configuration that is served was taken up, in Unix seconds.")
	m.configHash = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: ownMetrics + "config_hash_info", Help: "1 for the SHA-256 of the configuration that is served.",
	}, []string{"sha256"})
	m.registry.MustRegister(m.configHash)
}

// watchLedger shows what the client of the ledger has under way.
func (m *metrics) watchLedger(ledger *client.Client) {
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: ownMetrics + name, Help: help},
			func() float64 { return float64(value()) })
	}
	m.registry.MustRegister(
		gauge("ledger_owed_records",
			"Settlements and returns that are in the journal and that the ledger has not acknowledged yet.", ledger.Owed),
		gauge("queue_requests", "Attempts that wait for money now.", ledger.Waiting),
		newHoldsCollector(ledger),
	)
}

// holdsCollector shows what is held, as it is when it is asked.
type holdsCollector struct {
	ledger         *client.Client
	holds, amounts *prometheus.Desc
}

func newHoldsCollector(ledger *client.Client) *holdsCollector {
	return &holdsCollector{
		ledger: ledger,
		holds: prometheus.NewDesc(ownMetrics+"holds_open", "Attempts that money is held for; there is no series where there are none.",
			routeLabels, nil),
		amounts: prometheus.NewDesc(ownMetrics+"holds_nano_usd",
			"What these attempts can cost together at most, in billionths of a US dollar.", routeLabels, nil),
	}
}

func (h *holdsCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- h.holds
	descriptions <- h.amounts
}

func (h *holdsCollector) Collect(found chan<- prometheus.Metric) {
	for route, held := range h.ledger.InFlight() {
		show := func(what *prometheus.Desc, value float64) {
			found <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, route.Namespace, route.Name)
		}
		show(h.holds, float64(held.Holds))
		show(h.amounts, float64(held.Amount.Nano()))
	}
}

// corrected counts what came of asking: exact if it is known now, unknown if not, dropped if nobody asked.
func (m *metrics) corrected(route *routeconfig.Route, result string) {
	m.doubts.WithLabelValues(route.Namespace, route.Name, result).Inc()
}

func (m *metrics) reloaded(hash string, now time.Time) {
	m.reloadSuccessful.Set(1)
	m.reloadTime.Set(float64(now.Unix()))
	m.configHash.Reset()
	m.configHash.WithLabelValues(hash).Set(1)
}

func (m *metrics) reloadFailed() { m.reloadSuccessful.Set(0) }

// forget drops the series of routes that are not served any more. Requests that are still under way count in what nobody sees.
func (m *metrics) forget(before, now map[client.Route]*routeconfig.Route) {
	for name := range before {
		if now[name] != nil {
			continue
		}
		gone := prometheus.Labels{namespaceLabel: name.Namespace, routeLabel: name.Name}
		for _, vector := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
			m.requests, m.denials, m.tokens, m.spend, m.attempts, m.doubts, m.departed, m.queued,
			m.serverDuration, m.firstToken, m.perToken, m.clientDuration, m.tokenUsage,
		} {
			vector.DeletePartialMatch(gone)
		}
	}
}

// statusClass is 2xx for 200.
func statusClass(status int) string { return strconv.Itoa(status/100) + "xx" }
