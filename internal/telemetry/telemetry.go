// Package telemetry sends traces over OTLP where OpenTelemetry's standard environment asks for it, and is nothing otherwise.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// protocol is the one that is spoken.
const protocol = "http/protobuf"

// Options say who sends traces.
type Options struct {
	// Service, Version and Instance are what traces are told by. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before them.
	Service, Version, Instance string
	// Getenv is os.Getenv, but for tests that decide whether traces are sent. How they are sent the exporter reads from the process's own
	// environment.
	Getenv func(string) string
	Logger *slog.Logger
}

// Traces is where spans begin; a nil Traces is off.
type Traces struct {
	provider *sdktrace.TracerProvider
}

// closeTime is how long the end waits for the last traces to be sent.
const closeTime = 5 * time.Second

// With runs a program that sends traces, if they are wanted, and sends the last of them when it has ended. That traces cannot be sent is
// said in the log, and keeps nothing from running.
func With(ctx context.Context, options Options, run func(*Traces) error) error {
	traces, err := Start(ctx, options)
	if err != nil {
		options.Logger.LogAttrs(ctx, slog.LevelWarn, "There are no traces", slog.Any("error", err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if err := traces.Close(ctx); err != nil {
			options.Logger.LogAttrs(ctx, slog.LevelWarn, "The last traces are lost", slog.Any("error", err))
		}
	}()
	return run(traces)
}

// Start begins to send traces, if OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set and nothing else in the
// environment is against it; otherwise it returns nil. Sampling, headers, timeouts and sizes are as the environment says. An error says
// what of it cannot be done.
func Start(ctx context.Context, options Options) (*Traces, error) {
	env := options.Getenv
	on, err := wanted(env)
	if err != nil || !on {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		options.Logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "Traces are lost", slog.Any("error", err))
	}))
	described, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", options.Service),
		attribute.String("service.version", options.Version),
		attribute.String("service.instance.id", options.Instance),
	), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the exporter of traces: %w", err)
	}
	return &Traces{provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))}, nil
}

// wanted reads whether traces are to be sent.
func wanted(env func(string) string) (bool, error) {
	endpoint := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if endpoint == "" || strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") || env("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	if exporter := env("OTEL_TRACES_EXPORTER"); exporter != "" && exporter != "otlp" {
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: otlp or none", exporter)
	}
	asked := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL"), protocol)
	if asked != protocol {
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only %s is spoken", asked, protocol)
	}
	return true, nil
}

// Tracer makes spans under a name; nil if traces are off.
func (t *Traces) Tracer(name string) trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(name)
}

// Close sends what has gathered, as far as ctx lets it.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return errors.Join(t.provider.ForceFlush(ctx), t.provider.Shutdown(ctx))
}
