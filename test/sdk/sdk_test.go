// Package sdk runs unmodified SDKs against a real proxy. They are given a base URL, a key and the name of a model, and nothing else.
package sdk

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/modelroute/modelroute/hack/upstream/upstream"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// poorKey is of a consumer with an empty budget, hurriedKey of one that may ask once in two seconds.
const (
	poorKey    = "mr-poor-0123456789abcdef"
	hurriedKey = "mr-hurried-0123456789abcdef"
)

func begin(t *testing.T) *world.World {
	t.Helper()
	return world.Begin(t, world.Setup{
		Budgets: []*ledgerpb.Budget{world.Plenty(world.Consumer), world.Monthly("poor", 0), world.RateLimit("hurried", 1, 2)},
		Edit: func(config *routeconfig.Config) {
			haveEverything(&config.Routes[0])
			consumers := &config.Routes[0].Consumers
			*consumers = append(*consumers, world.NewConsumer("poor", poorKey), world.NewConsumer("hurried", hurriedKey))
		},
	})
}

// haveEverything lets a route complete texts too, and embed them at another upstream.
func haveEverything(route *routeconfig.Route) {
	texts := &route.Upstreams[0]
	texts.Endpoints = []routeconfig.Endpoint{
		routeconfig.ChatCompletions, routeconfig.Completions, routeconfig.Responses, routeconfig.Messages,
	}
	vectors := *texts
	vectors.Name, vectors.Model = "vectors", "openai/text-embedding-3-small"
	vectors.Endpoints, vectors.Pricing = []routeconfig.Endpoint{routeconfig.Embeddings}, routeconfig.Pricing{PromptPicoUSD: 20_000}
	route.Upstreams = append(route.Upstreams, vectors)
}

// environment is what a consumer's Secret puts into the environment of a program, and what the tests need beside it.
func environment(w *world.World) []string {
	return []string{
		"OPENAI_BASE_URL=" + w.URL + "/v1", "OPENAI_API_KEY=" + world.Key, "MODEL=" + world.Model,
		"POOR_KEY=" + poorKey, "HURRIED_KEY=" + hurriedKey, "METRICS_URL=" + w.AdminURL + "/metrics",
	}
}

// node is the command that runs Node.js, in the version that is locked together with the SDKs.
func node(t *testing.T, w *world.World, arguments ...string) *exec.Cmd {
	t.Helper()
	architecture := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	program, err := filepath.Abs(filepath.Join("node_modules", "node-linux-"+architecture, "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("the SDKs are not installed; run make sdks: %v", err)
	}
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Env = environment(w)
	return command
}

// passes runs the tests of one SDK. In the end all that the upstream billed is booked, once and exactly. (Beside that, a stream that broke
// is uncertain, for which the upstream bills nothing.)
func passes(t *testing.T, script string) {
	t.Helper()
	t.Parallel()
	w := begin(t)
	if output, err := node(t, w, "--test-reporter=spec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, output)
	}
	booked := w.Spends()["route"].Settled
	if billed := w.Upstream.Billed(upstream.Filter{}).TotalNanoUSD; booked != billed {
		t.Errorf("the ledger booked %d nano-USD, and the upstream billed %d", booked, billed)
	}
}

func TestOpenAI(t *testing.T) { passes(t, "openai.test.mjs") }

func TestOpenAIsResponses(t *testing.T) { passes(t, "responses.test.mjs") }

func TestAnthropic(t *testing.T) { passes(t, "anthropic.test.mjs") }

func TestAISDK(t *testing.T) { passes(t, "ai.test.mjs") }

func TestLangChain(t *testing.T) { passes(t, "langchain.test.mjs") }

func TestMistral(t *testing.T) { passes(t, "mistral.test.mjs") }

func TestOpenRouter(t *testing.T) { passes(t, "openrouter.test.mjs") }
