package proxy_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/modelroute/modelroute/internal/telemetry"
)

// collector receives traces over OTLP/HTTP.
type collector struct {
	t        *testing.T
	mutex    sync.Mutex
	spans    []*tracepb.Span
	resource map[string]any
	// raw is all that came, as text to look for secrets in.
	raw []byte
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Errorf("what came is not compressed: %v", err)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		c.t.Errorf("reading what came: %v", err)
	}
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("%s got no traces: %v", r.URL.Path, err)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.raw = append(c.raw, raw...)
	for _, one := range request.GetResourceSpans() {
		c.resource = attributesOf(one.GetResource().GetAttributes())
		for _, scope := range one.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

func attributesOf(list []*commonpb.KeyValue) map[string]any {
	found := map[string]any{}
	for _, one := range list {
		switch value := one.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			found[one.GetKey()] = value.StringValue
		case *commonpb.AnyValue_IntValue:
			found[one.GetKey()] = value.IntValue
		case *commonpb.AnyValue_BoolValue:
			found[one.GetKey()] = value.BoolValue
		case *commonpb.AnyValue_DoubleValue:
			found[one.GetKey()] = value.DoubleValue
		case *commonpb.AnyValue_ArrayValue:
			var texts []string
			for _, element := range value.ArrayValue.GetValues() {
				texts = append(texts, element.GetStringValue())
			}
			found[one.GetKey()] = texts
		}
	}
	return found
}

// traced starts a world whose traces go to a collector. finish sends all that has gathered.
func traced(t *testing.T, s setup) (w *world, c *collector, finish func()) {
	t.Helper()
	c = &collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	traces, err := telemetry.Start(t.Context(), telemetry.Options{
		Service: "modelroute-proxy", Version: "v1", Instance: "proxy-0", Getenv: os.Getenv, Logger: logger(t),
	})
	if err != nil || traces == nil {
		t.Fatalf("traces are off: %v", err)
	}
	s.traces = traces
	w = begin(t, s)
	return w, c, func() {
		w.settled()
		w.must(traces.Close(t.Context()))
	}
}

// named are the spans of a name.
func (c *collector) named(name string) []*tracepb.Span {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var found []*tracepb.Span
	for _, span := range c.spans {
		if span.GetName() == name {
			found = append(found, span)
		}
	}
	return found
}
