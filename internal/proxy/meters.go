package proxy

import (
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// grantMeters are the series of one consumer of one route. They are looked up when a table is built, because a lookup has to hash all its
// labels, and a request has many.
type grantMeters struct {
	metrics *metrics
	labels  []string // of consumerLabels
	// answered has those of the classes 2xx, 4xx and 5xx, by their digit.
	answered                              [6]prometheus.Counter
	prompt, cached, completion, reasoning prometheus.Counter
	queued                                prometheus.Observer
	upstreams                             map[*routeconfig.Upstream]*upstreamMeters
	// none is for requests that came to no upstream.
	none *upstreamMeters
}

// upstreamMeters are the series of one consumer at one upstream.
type upstreamMeters struct {
	*sharedMeters
	reported, priced, uncertain prometheus.Counter
}

// sharedMeters are the series of an upstream, which all consumers of its route share.
type sharedMeters struct {
	metrics                 *metrics
	route                   *routeconfig.Route // nil for none
	name, provider          string
	model                   string // its own name for the route's model
	address, port           string
	served, refused, failed prometheus.Counter
	// byKind has an *operationMeters for each operationKey. They are made when there is something to count, since most combinations never
	// occur.
	byKind sync.Map
}

// operationKey is what a request was, and how it ended. All of it is from fixed lists.
type operationKey struct {
	operation, responseModel string
	// errorType is empty for a request that ended well.
	errorType string
}

type operationMeters struct {
	serverDuration, clientDuration         prometheus.Observer
	firstToken, perToken, prompt, produced prometheus.Observer
}

// measure looks up the series of everybody in a table. Those that the table before had of the same are taken over, since to look up all of
// thousands takes longer than all else that a new configuration takes.
func (t *table) measure(m *metrics, before *table) {
	shared := map[*routeconfig.Route]map[*routeconfig.Upstream]*sharedMeters{}
	for holder, earlier := range t.principals(before) {
		for _, granted := range holder.grants {
			route := granted.route
			if known := earlier.sameGrant(granted); known != nil {
				granted.meters = known.meters
				continue
			}
			if shared[route] == nil {
				shared[route] = map[*routeconfig.Upstream]*sharedMeters{nil: m.noUpstream(route)}
				for i := range route.Upstreams {
					shared[route][&route.Upstreams[i]] = m.upstream(route, &route.Upstreams[i])
				}
			}
			granted.meters = m.grant(route.Namespace, route.Name, granted.consumer.Name, shared[route])
		}
	}
}

// sameGrant finds the grant whose route is the very same one: of configurations in parts, a part that has not changed is decoded once. It
// returns nil if there is none, or no principal.
func (p *principal) sameGrant(granted *grant) *grant {
	if p == nil {
		return nil
	}
	for _, one := range p.grants {
		if &one.route.Upstreams[0] == &granted.route.Upstreams[0] && one.consumer.Name == granted.consumer.Name {
			return one
		}
	}
	return nil
}

func (m *metrics) metersOfNobody() *grantMeters {
	none := &sharedMeters{metrics: m, provider: other}
	return m.grant(other, other, other, map[*routeconfig.Upstream]*sharedMeters{nil: none})
}

// grant looks up the series of one consumer. shared has the upstreams of its route, and nil for none.
func (m *metrics) grant(namespace, route, consumer string, shared map[*routeconfig.Upstream]*sharedMeters) *grantMeters {
	g := &grantMeters{
		metrics: m, labels: []string{namespace, route, consumer}, upstreams: map[*routeconfig.Upstream]*upstreamMeters{},
		none: &upstreamMeters{sharedMeters: shared[nil]},
	}
	for _, class := range []int{2, 4, 5} {
		g.answered[class] = m.requests.WithLabelValues(namespace, route, consumer, statusClass(class*100))
	}
	if namespace == other {
		return g // It comes to no upstream.
	}
	kind := func(kind string) prometheus.Counter {
		return m.tokens.WithLabelValues(namespace, route, consumer, kind)
	}
	g.prompt, g.cached, g.completion, g.reasoning = kind("prompt"), kind("cached"), kind("completion"), kind("reasoning")
	g.queued = m.queued.WithLabelValues(namespace, route)
	for upstream, series := range shared {
		if upstream == nil {
			continue
		}
		spend := func(source, certainty string) prometheus.Counter {
			return m.spend.WithLabelValues(namespace, route, consumer, upstream.Name, source, certainty)
		}
		g.upstreams[upstream] = &upstreamMeters{
			sharedMeters: series,
			reported:     spend("reported", "exact"), priced: spend("priced", "exact"), uncertain: spend("held", "uncertain"),
		}
	}
	return g
}

func (m *metrics) noUpstream(route *routeconfig.Route) *sharedMeters {
	return &sharedMeters{metrics: m, route: route, provider: other}
}

func (m *metrics) upstream(route *routeconfig.Route, upstream *routeconfig.Upstream) *sharedMeters {
	address, port := addressOf(upstream)
	result := func(result string) prometheus.Counter {
		return m.attempts.WithLabelValues(route.Namespace, route.Name, upstream.Name, result)
	}
	return &sharedMeters{
		metrics: m, route: route, name: upstream.Name, provider: providerName(upstream.Provider), model: upstream.Model,
		address: address, port: port, served: result("served"), refused: result("refused"), failed: result("failed"),
	}
}

// addressOf is the host and the port that an upstream is reached at.
func addressOf(upstream *routeconfig.Upstream) (address, port string) {
	base, err := url.Parse(upstream.BaseURL)
	if err != nil {
		return "", ""
	}
	port = base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	return base.Hostname(), port
}

// providerName is what OpenTelemetry calls a provider, or a name in its style for one that it does not know.
func providerName(provider routeconfig.Provider) string {
	switch provider {
	case "Mistral":
		return "mistral_ai"
	case routeconfig.OpenAICompatible:
		return "openai_compatible"
	case routeconfig.OpenRouter, routeconfig.OpenAI:
	}
	return strings.ToLower(string(provider))
}

// of finds the series of an operation that ended in a way. model is the model that the upstream named.
func (s *sharedMeters) of(operation, model, errorType string) *operationMeters {
	if model != "" && model != s.model {
		model = other
	}
	key := operationKey{operation: operation, responseModel: model, errorType: errorType}
	if found, known := s.byKind.Load(key); known {
		return found.(*operationMeters) //nolint:forcetypeassert // Nothing else is in it.
	}
	made, _ := s.byKind.LoadOrStore(key, s.look(key))
	return made.(*operationMeters) //nolint:forcetypeassert // Nothing else is in it.
}

func (s *sharedMeters) look(key operationKey) *operationMeters {
	namespace, route, model := other, other, other
	if s.route != nil {
		namespace, route, model = s.route.Namespace, s.route.Name, s.route.Model.Name
	}
	common := []string{namespace, route, s.name, key.operation, s.provider, model, key.responseModel}
	found := &operationMeters{serverDuration: s.metrics.serverDuration.WithLabelValues(with(common, key.errorType)...)}
	if s.name == "" {
		return found
	}
	at := with(common, s.address, s.port)
	found.clientDuration = s.metrics.clientDuration.WithLabelValues(with(at, key.errorType)...)
	found.prompt = s.metrics.tokenUsage.WithLabelValues(with(at, "input")...)
	found.produced = s.metrics.tokenUsage.WithLabelValues(with(at, "output")...)
	if key.errorType == "" {
		found.firstToken = s.metrics.firstToken.WithLabelValues(common...)
		found.perToken = s.metrics.perToken.WithLabelValues(common...)
	}
	return found
}

// responded counts an answer.
func (g *grantMeters) responded(status int) {
	if class := status / 100; class < len(g.answered) && g.answered[class] != nil {
		g.answered[class].Inc()
		return
	}
	g.metrics.requests.WithLabelValues(with(g.labels, statusClass(status))...).Inc()
}

// denied counts a request that got no money. account is the budget or the rate limit that refused; empty for none.
func (g *grantMeters) denied(reason, account string) {
	g.metrics.denials.WithLabelValues(with(g.labels, reason, account)...).Inc()
}

// disconnected counts an attempt whose client left; of one whose client stayed, done is empty.
func (g *grantMeters) disconnected(done string) {
	if done != "" {
		g.metrics.departed.WithLabelValues(g.labels[0], g.labels[1], done).Inc()
	}
}

// used counts tokens.
func (g *grantMeters) used(usage *pricing.Usage) {
	add := func(counter prometheus.Counter, tokens int64) { counter.Add(float64(max(tokens, 0))) }
	add(g.prompt, usage.PromptTokens)
	add(g.cached, usage.CachedTokens)
	add(g.completion, usage.CompletionTokens)
	add(g.reasoning, usage.ReasoningTokens)
}

// waited notes how long an attempt waited for money, if it did.
func (g *grantMeters) waited(queued time.Duration) {
	if queued > 0 {
		g.queued.Observe(queued.Seconds())
	}
}

// settled counts spend. A float64 counts whole nano-USD exactly up to nine million dollars. The ledger has the books; this is for graphs.
func (u *upstreamMeters) settled(cost client.Cost) {
	counter := u.priced
	switch {
	case cost.Certainty == client.Uncertain:
		counter = u.uncertain
	case cost.Source == client.Reported:
		counter = u.reported
	}
	counter.Add(float64(max(cost.Amount.Nano(), 0)))
}

// attempted counts an attempt: served if the client got an answer, refused if the upstream refused the request for what it is, failed if
// another upstream may serve it.
func (s *sharedMeters) attempted(got outcome) {
	switch {
	case got.elsewhere:
		s.failed.Inc()
	case got.refusal != nil:
		s.refused.Inc()
	default:
		s.served.Inc()
	}
}
