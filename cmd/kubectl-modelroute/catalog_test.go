package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
)

// sparseRoute is a manifest that leaves out all that is known of its model, with a budget of 100 USD.
func (w *world) sparseRoute(model string) string {
	return `apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: sparse, namespace: ai}
spec:
  model: {name: ` + model + `}
  upstreams:
  - {name: openrouter, provider: OpenRouter, baseURL: ` + w.url + `, apiKeySecretRef: {name: openrouter, key: apiKey}}
  budgets:
  - {name: monthly, amount: "100.00", window: {period: Month}, enforcement: Deny}
  consumers:
  - {name: search}
`
}

// models is what the consumer is told of its models.
func (w *world) models(secret string) string {
	w.t.Helper()
	environment := w.environment(secret)
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, environment["OPENAI_BASE_URL"]+"/models", nil)
	w.must(err)
	request.Header.Set("Authorization", "Bearer "+environment["OPENAI_API_KEY"])
	answer, err := http.DefaultClient.Do(request)
	w.must(err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	w.must(err)
	return string(body)
}

func TestAMinimalRouteTakesWhatItLeavesOutFromItsUpstreamAndKeepsItWithoutIt(t *testing.T) {
	w := newWorld(t)
	var isDown atomic.Bool
	door := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if isDown.Load() && strings.HasSuffix(r.URL.Path, "/models") {
			http.Error(rw, "closed", http.StatusServiceUnavailable)
			return
		}
		w.upstream.ServeHTTP(rw, r)
	}))
	t.Cleanup(door.Close)
	w.url = door.URL + "/api/v1"
	w.write("route.yaml", w.sparseRoute("openai/gpt-4o")) // It is not built in.
	for _, down := range []bool{false, true} {
		isDown.Store(down)
		s := w.start("-f", "route.yaml", keyFlag)
		for _, told := range []string{
			`"prompt":"0.0000025"`, `"completion":"0.00001"`, `"input_cache_read":"0.00000125"`, `"context_length":128000`,
			`"max_completion_tokens":16384`, `"structured_outputs"`,
		} {
			if models := w.models("sparse-search"); !strings.Contains(models, told) {
				t.Errorf("with a list that is down (%v) clients are not told %s: %s", down, told, models)
			}
		}
		answer := w.ask("sparse-search", "Say something.", false)
		if answer.StatusCode != http.StatusOK {
			t.Errorf("the status is %s", answer.Status)
		}
		_ = answer.Body.Close()
		if said := strings.Contains(s.log.String(), "list of models cannot be read"); said != down {
			t.Errorf("that the list is down (%v) is said: %v:\n%s", down, said, s.log)
		}
		s.end()
	}
	if billed := w.upstream.Billed(upstream.Filter{}); billed.TotalNanoUSD == 0 {
		t.Error("nothing was billed")
	}
}

func TestAMinimalRouteOfTheBuiltInModelNeedsNoList(t *testing.T) {
	w := newWorld(t)
	w.url = "http://127.0.0.1:1/v1" // Nobody listens there.
	w.write("route.yaml", w.sparseRoute("mistralai/mixtral-8x22b-instruct"))
	s := w.start("-f", "route.yaml", keyFlag)
	if models := w.models("sparse-search"); !strings.Contains(models, `"prompt":"0.000002","completion":"0.000006"`) {
		t.Errorf("clients are told %s", models)
	}
	s.end()
}

func TestARouteWhosePriceNobodyKnowsIsRefusedUnderABudget(t *testing.T) {
	w := newWorld(t)
	w.write("route.yaml", strings.Replace(w.sparseRoute("nobody/knows"), "knows}", "knows, contextLength: 4096}", 1))
	status, _, diagnostics := w.call("run", "-f", "route.yaml", keyFlag)
	want := "route.yaml: document 1 (ModelRoute ai/sparse): spec.upstreams[0].pricing: Required value: " +
		"a budget denies, and no price is known of nobody/knows"
	if status != 2 || !strings.Contains(diagnostics, want) {
		t.Errorf("exit status %d:\n%s", status, diagnostics)
	}
}
