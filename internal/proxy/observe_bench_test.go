package proxy

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/modelroute/modelroute/internal/ledger/client"
	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/pricing"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// BenchmarkObserving is all that is noted of one request: its name, its metrics and its log line, without traces.
func BenchmarkObserving(b *testing.B) {
	m := newMetrics()
	upstreams := []routeconfig.Upstream{{Name: "openrouter", Provider: routeconfig.OpenRouter, Model: "m", BaseURL: "https://openrouter.ai"}}
	route := &routeconfig.Route{Namespace: "ai", Name: "chat", Model: routeconfig.Model{Name: "m"}, Upstreams: upstreams}
	granted := &grant{route: route, consumer: &routeconfig.Consumer{Name: "search"}, keyID: "k_1"}
	name := client.Route{Namespace: "ai", Name: "chat"}
	(&table{
		byName: map[client.Route]*routeconfig.Route{name: route},
		keys:   map[keyHash]*principal{{}: {grants: []*grant{granted}}},
	}).measure(m, nil)
	var line bytes.Buffer // What is written counts, and where to does not.
	logger := slog.New(slog.NewJSONHandler(&line, nil))
	usage := &pricing.Usage{PromptTokens: 100, CompletionTokens: 50}
	answer := []byte(`{"id":"gen-1","provider":"Mistral","model":"m","object":"chat.completion","choices":[]}`)
	header := http.Header{"Authorization": {"Bearer mr-search-0123456789abcdef"}}
	began := time.Now()
	for b.Loop() {
		record := &record{started: began, requestID: requestIDOf(header), operation: openai.Chat.Name}
		admitted := &admission{grant: granted, upstream: &upstreams[0]}
		record.begin(admitted)
		x := &exchange{
			admission: admitted, record: record, usage: usage, watch: &watch{began: began},
			server: &server{metrics: m, now: time.Now}, held: &holding{},
		}
		x.heard(answer)
		record.usage = *usage
		granted.meters.used(usage)
		cost := client.Cost{Amount: money.FromNano(500_000), Certainty: client.Exact}
		record.atUpstream(m).settled(cost)
		record.spent(cost.Amount, cost.Certainty)
		x.observe()
		record.observe(m, http.StatusOK, time.Millisecond)
		line.Reset()
		logger.LogAttrs(b.Context(), slog.LevelInfo, "Request", record.attributes(http.StatusOK, time.Millisecond)...)
	}
}
