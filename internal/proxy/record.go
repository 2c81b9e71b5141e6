package proxy

import (
	"cmp"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// record is what is told of one request when it ends. None of it is content or a key.
type record struct {
	started time.Time
	// requestID names the request, traceID the trace that it belongs to; traceID is empty for none.
	requestID, traceID string
	// span is nil if traces are off.
	span trace.Span
	// operation is the name that OpenTelemetry has for it; empty for what is not metered, such as the list of models.
	operation string
	// quiet requests are counted and not logged.
	quiet bool
	// dialect is how the client is told of errors.
	dialect openai.Dialect
	grant   *grant
	// counted is true once the request counts against rate limits.
	counted bool
	// code is the error code that the client got; empty for none.
	code string
	// problem is what went wrong, for the operator; the client may be told less.
	problem string

	stream   bool
	attempts int
	// upstream is where the last attempt went; nil for none. generation and upstreamRequest are its ids of the answer and of the request,
	// responseModel is the model that it says the answer is from.
	upstream                                   *routeconfig.Upstream
	generation, upstreamRequest, responseModel string

	// usage is that of the last attempt that reported any.
	usage pricing.Usage
	// cost is that of all attempts.
	cost      money.Amount
	certainty client.Certainty
	// costTrails says that the cost follows the answer as a trailer.
	costTrails bool
	// queued is the time spent waiting for money.
	queued     time.Duration
	firstToken time.Time
	clientGone bool
}

// spent adds what one attempt cost. All of them are certain, or the request's cost is not.
func (r *record) spent(amount money.Amount, certainty client.Certainty) {
	r.cost = r.cost.Add(amount)
	if r.certainty != client.Uncertain {
		r.certainty = certainty
	}
}

// begin notes the beginning of an attempt.
func (r *record) begin(admitted *admission) {
	r.grant, r.upstream, r.stream = admitted.grant, admitted.upstream, admitted.stream
	r.generation, r.upstreamRequest, r.responseModel, r.problem = "", "", "", ""
}

// produced notes when the first token of a stream came.
func (r *record) produced(bytes int64, now func() time.Time) {
	if bytes > 0 && r.firstToken.IsZero() {
		r.firstToken = now()
	}
}

// meters are those of whoever asked.
func (r *record) meters(m *metrics) *grantMeters {
	if r.grant == nil {
		return m.nobody
	}
	return r.grant.meters
}

// atUpstream are the meters of whoever asked, at the upstream of the last attempt.
func (r *record) atUpstream(m *metrics) *upstreamMeters {
	meters := r.meters(m)
	if found := meters.upstreams[r.upstream]; found != nil {
		return found
	}
	return meters.none
}

// errorType is what metrics and traces call the error that the client got; empty for none.
func (r *record) errorType() string {
	if r.code == "" && r.clientGone {
		return errorClientGone
	}
	return errorType(r.code)
}

// observe counts the request.
func (r *record) observe(m *metrics, status int, took time.Duration) {
	r.meters(m).responded(status)
	if r.operation == "" {
		return
	}
	series := r.atUpstream(m).of(r.operation, r.responseModel, r.errorType())
	series.serverDuration.Observe(took.Seconds())
	if r.firstToken.IsZero() || series.firstToken == nil {
		return
	}
	first := r.firstToken.Sub(r.started)
	series.firstToken.Observe(first.Seconds())
	if rest := r.usage.CompletionTokens - 1; rest > 0 {
		series.perToken.Observe((took - first).Seconds() / float64(rest))
	}
}

// attributes are those of the access log.
func (r *record) attributes(status int, took time.Duration) []slog.Attr {
	attributes := make([]slog.Attr, 0, 32)
	add := func(attribute slog.Attr) { attributes = append(attributes, attribute) }
	text := func(key, value string) {
		if value != "" {
			add(slog.String(key, value))
		}
	}
	text("requestId", r.requestID)
	text("traceId", r.traceID)
	text("operation", r.operation)
	add(slog.Int("status", status))
	add(milliseconds("durationMs", took))
	if r.grant != nil {
		text("route", r.grant.route.Namespace+"/"+r.grant.route.Name)
		text("consumer", r.grant.consumer.Name)
		text("team", r.grant.consumer.Team)
		text("key", r.grant.keyID)
		text("model", r.grant.route.Model.Name)
	}
	if r.upstream != nil {
		attributes = r.ofUpstream(attributes)
	}
	text("code", loggedCode(r.code))
	text("problem", r.toldProblem())
	if r.clientGone {
		add(slog.Bool("clientGone", true))
	}
	return attributes
}

// ofUpstream adds what is told of a request that money was held for.
func (r *record) ofUpstream(attributes []slog.Attr) []slog.Attr {
	attributes = append(attributes, slog.Bool("stream", r.stream), slog.String("upstream", r.upstream.Name),
		slog.Int("attempts", r.attempts))
	for _, one := range [...]struct{ key, value string }{
		{"responseModel", r.responseModel}, {"generation", r.generation}, {"upstreamRequestId", r.upstreamRequest},
	} {
		if one.value != "" {
			attributes = append(attributes, slog.String(one.key, one.value))
		}
	}
	if r.queued > 0 {
		attributes = append(attributes, milliseconds("queuedMs", r.queued))
	}
	if !r.firstToken.IsZero() {
		attributes = append(attributes, milliseconds("firstTokenMs", r.firstToken.Sub(r.started)))
	}
	if r.certainty == 0 {
		return attributes
	}
	return append(attributes,
		slog.Int64("promptTokens", r.usage.PromptTokens), slog.Int64("cachedTokens", r.usage.CachedTokens),
		slog.Int64("completionTokens", r.usage.CompletionTokens), slog.Int64("reasoningTokens", r.usage.ReasoningTokens),
		slog.String("costUSD", r.cost.String()), slog.Int64("costNanoUSD", r.cost.Nano()),
		slog.Bool("uncertain", r.certainty == client.Uncertain))
}

// quoted is what an error quotes: Go's do so with what came from elsewhere.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// toldProblem is the problem without what others sent, which might be content or a key.
func (r *record) toldProblem() string {
	if !strings.Contains(r.problem, `"`) {
		return r.problem
	}
	return quoted.ReplaceAllString(r.problem, `"…"`)
}

func milliseconds(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Microseconds())/1000)
}

func stackAttr() slog.Attr { return slog.String("stack", string(debug.Stack())) }

// statusWriter remembers the status that the client got.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = cmp.Or(w.status, status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(content []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	return w.ResponseWriter.Write(content)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
