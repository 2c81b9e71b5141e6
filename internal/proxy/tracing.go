package proxy

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/openai"
)

// tracerName is what OpenTelemetry calls the instrumentation.
const tracerName = "github.com/modelroute/modelroute/internal/proxy"

// beginTrace notes the trace that a client says its request belongs to, and begins the request's span if traces are on.
func (s *server) beginTrace(r *http.Request, record *record) *http.Request {
	ctx := r.Context()
	if r.Header.Get("Traceparent") != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		if parent := trace.SpanContextFromContext(ctx); parent.IsValid() {
			record.traceID = parent.TraceID().String()
		}
	}
	if s.tracer == nil {
		return r
	}
	ctx, record.span = s.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(record.started))
	record.traceID = record.span.SpanContext().TraceID().String()
	return r.WithContext(ctx)
}

// endTrace ends the request's span.
func (r *record) endTrace(request *http.Request, status int, ended time.Time) {
	if r.span == nil {
		return
	}
	defer r.span.End(trace.WithTimestamp(ended))
	if !r.span.IsRecording() {
		return
	}
	// A path that is not served is the client's word, and so is a method that nothing is served by.
	method := request.Method
	if method != http.MethodGet && method != http.MethodPost {
		method = otherError
	}
	r.span.SetName(method)
	if path := r.servedPath(request.URL.Path); path != "" {
		r.span.SetName(method + " " + path)
		r.span.SetAttributes(attribute.String("http.route", path))
	}
	r.span.SetAttributes(
		attribute.String("http.request.method", method),
		attribute.Int("http.response.status_code", status),
		attribute.String("modelroute.request_id", r.requestID))
	if r.grant != nil {
		r.span.SetAttributes(
			attribute.String("modelroute.route", r.grant.route.Namespace+"/"+r.grant.route.Name),
			attribute.String("modelroute.consumer", r.grant.consumer.Name),
			attribute.String("modelroute.key_id", r.grant.keyID),
			attribute.Int("modelroute.attempts", r.attempts))
		if team := r.grant.consumer.Team; team != "" {
			r.span.SetAttributes(attribute.String("modelroute.team", team))
		}
	}
	if r.certainty != 0 {
		r.span.SetAttributes(costAttributes(r.cost.Nano(), r.certainty)...)
	}
	if kind := r.errorType(); kind != "" {
		r.span.SetAttributes(attribute.String("error.type", kind))
	}
	if status >= http.StatusInternalServerError {
		r.span.SetStatus(codes.Error, "")
	}
}

// servedPath is the pattern of the path that was asked for; empty if nothing is there.
func (r *record) servedPath(asked string) string {
	path := strings.TrimPrefix(asked, "/api")
	switch {
	case r.operation != "", path == modelsPath:
		return path
	case strings.HasPrefix(path, modelsPath+"/"):
		return modelsPath + "/{model}"
	}
	return ""
}

func costAttributes(nano int64, certainty client.Certainty) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int64("modelroute.cost.nano_usd", nano),
		attribute.Bool("modelroute.cost.uncertain", certainty == client.Uncertain),
	}
}

// traceWait tells of a wait for money that is over.
func (s *server) traceWait(ctx context.Context, queued time.Duration) {
	if s.tracer == nil || queued <= 0 {
		return
	}
	now := s.now()
	_, span := s.tracer.Start(ctx, "wait for money", trace.WithTimestamp(now.Add(-queued)))
	span.End(trace.WithTimestamp(now))
}

// watch observes one attempt at an upstream.
type watch struct {
	began time.Time
	// span is nil if traces are off or this one is not sampled.
	span trace.Span
	// sought is true once it was looked for the model in the answer.
	sought bool
	finish []string
}

func (s *server) watch(ctx context.Context, admitted *admission, record *record) *watch {
	record.attempts++
	w := &watch{began: s.now()}
	if s.tracer == nil {
		return w
	}
	meters := record.atUpstream(s.metrics)
	_, span := s.tracer.Start(ctx, record.operation+" "+admitted.grant.route.Model.Name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(w.began))
	if !span.IsRecording() {
		return w
	}
	w.span = span
	port, _ := strconv.Atoi(meters.port)
	span.SetAttributes(
		attribute.String("gen_ai.operation.name", record.operation),
		attribute.String("gen_ai.provider.name", meters.provider),
		attribute.String("gen_ai.request.model", admitted.upstream.Model),
		attribute.Bool("gen_ai.request.stream", admitted.stream),
		attribute.String("server.address", meters.address), attribute.Int("server.port", port),
		attribute.String("modelroute.upstream", admitted.upstream.Name))
	return w
}

// heard looks at a JSON answer or at an event of a stream.
func (x *exchange) heard(data []byte) {
	if len(data) == 0 {
		return
	}
	if !x.watch.sought {
		x.watch.sought = true
		if model := openai.AnswerModel(data); isModelName(model) && !holdsKey(model, x.key) {
			x.record.responseModel = model
		}
	}
	if x.watch.span != nil {
		for _, reason := range openai.FinishReasons(data) {
			x.watch.finish = append(x.watch.finish, nameOf(reason, x.key))
		}
	}
}

// observed runs the attempt and observes it. One that panics has failed; it is not recovered here, so that the stack that is logged is
// whole.
func (x *exchange) observed(ctx context.Context) {
	ended := false
	defer func() {
		if !ended {
			x.outcome = outcome{refusal: openai.Internal(), elsewhere: true}
		}
		x.observe()
	}()
	x.run(ctx)
	ended = true
}

// observe counts the attempt, and ends its span.
func (x *exchange) observe() {
	took, meters := x.server.now().Sub(x.watch.began), x.record.atUpstream(x.server.metrics)
	kind := x.errorType()
	meters.attempted(x.outcome)
	series := meters.of(x.record.operation, x.record.responseModel, kind)
	series.clientDuration.Observe(took.Seconds())
	if x.usage != nil {
		series.prompt.Observe(float64(x.usage.PromptTokens))
		series.produced.Observe(float64(x.usage.CompletionTokens))
	}
	if x.watch.span != nil {
		x.endSpan(kind, x.watch.began.Add(took))
	}
}

// errorType is what metrics and traces call the error of the attempt; empty for none.
func (x *exchange) errorType() string {
	if x.outcome.refusal != nil {
		return errorType(codeOf(x.outcome.refusal))
	}
	return x.record.errorType()
}

func (x *exchange) endSpan(kind string, ended time.Time) {
	span := x.watch.span
	defer span.End(trace.WithTimestamp(ended))
	if kind != "" {
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, "")
	}
	for key, value := range map[attribute.Key]string{
		"gen_ai.response.model": x.record.responseModel, "gen_ai.response.id": x.record.generation,
		"modelroute.upstream_request_id": x.record.upstreamRequest,
	} {
		if value != "" {
			span.SetAttributes(key.String(value))
		}
	}
	if len(x.watch.finish) > 0 {
		span.SetAttributes(attribute.StringSlice("gen_ai.response.finish_reasons", x.watch.finish))
	}
	if !x.record.firstToken.IsZero() && x.record.firstToken.After(x.watch.began) {
		span.SetAttributes(attribute.Float64("gen_ai.response.time_to_first_chunk", x.record.firstToken.Sub(x.watch.began).Seconds()))
	}
	if x.usage != nil {
		span.SetAttributes(
			attribute.Int64("gen_ai.usage.input_tokens", x.usage.PromptTokens),
			attribute.Int64("gen_ai.usage.output_tokens", x.usage.CompletionTokens),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", x.usage.CachedTokens),
			attribute.Int64("gen_ai.usage.reasoning.output_tokens", x.usage.ReasoningTokens))
	}
	span.SetAttributes(costAttributes(x.held.cost.Nano(), x.held.certainty)...)
}
