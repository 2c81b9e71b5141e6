package telemetry_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/telemetry"
)

func TestAProgramRunsAlsoWhereTracesCannotBeSent(t *testing.T) {
	var log strings.Builder
	ended := errors.New("it ended")
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
	err := telemetry.With(t.Context(), telemetry.Options{
		Service: "test", Getenv: func(name string) string { return env[name] }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, func(traces *telemetry.Traces) error {
		if traces.Tracer("test") != nil {
			t.Error("traces are on")
		}
		return ended
	})
	if !errors.Is(err, ended) || !strings.Contains(log.String(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("the error is %v, the log %s", err, log.String())
	}
}

func TestTracesAreSentOnlyWhereTheEnvironmentAsksForThem(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for reason, test := range map[string]struct {
		env        map[string]string
		on, refuse bool
	}{
		"nothing is set":               {},
		"an endpoint":                  {env: map[string]string{endpoint: "http://127.0.0.1:1"}, on: true},
		"an endpoint for traces alone": {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, on: true},
		"the exporter and protocol that there are": {env: map[string]string{
			endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, on: true},
		"no exporter":          {env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		"all is disabled":      {env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}},
		"another exporter":     {env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "zipkin"}, refuse: true},
		"gRPC is not spoken":   {env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, refuse: true},
		"nor is it for traces": {env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, refuse: true},
	} {
		t.Run(reason, func(t *testing.T) {
			traces, err := telemetry.Start(t.Context(), telemetry.Options{
				Service: "test", Getenv: func(name string) string { return test.env[name] }, Logger: slog.New(slog.DiscardHandler),
			})
			if (err != nil) != test.refuse {
				t.Fatalf("error %v", err)
			}
			if on := traces.Tracer("test") != nil; on != test.on {
				t.Errorf("on = %t, want %t", on, test.on)
			}
			if err := traces.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
