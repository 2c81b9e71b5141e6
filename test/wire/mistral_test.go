package wire

import (
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

// mistralEnd is how Mistral ends a stream: the usage comes with the last choice.
const mistralEnd = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":""},` +
	`"finish_reason":"model_length"}],"usage":{"prompt_tokens":100,"total_tokens":110,"completion_tokens":10}}` + "\n\n"

func TestMistralGetsItsOwnDialectAndIsNotAskedForUsage(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: by(routeconfig.Mistral), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	before := c.Mark()
	c.AnswerWith(events(delta("a"), mistralEnd, done))
	got := c.ask(asking("", `,"seed": 12345678901234567,"max_completion_tokens" : 20,"user":"u","stream":true`)).expectOK(t)
	if want := upstreamBody(asking("", `,"random_seed": 12345678901234567,"max_tokens" : 20,"stream":true`)); c.Last().Body != want {
		t.Errorf("the upstream got %s, want %s", c.Last().Body, want)
	}
	if strings.Contains(got.body, `"usage"`) {
		t.Errorf("the client did not ask for the usage: %s", got.body)
	}
	if !strings.Contains(got.body, `"finish_reason":"model_length"`) || !strings.HasSuffix(got.body, done) {
		t.Errorf("the end is not as Mistral has it: %s", got.body)
	}
	c.booked(t, before, world.Spend{Settled: 100*world.PromptNano + 10*world.CompletionNano})
}

func TestAClientOfMistralsGetsTheUsageThatItAsksFor(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: by(routeconfig.Mistral)})
	c.AnswerWith(events(delta("a"), mistralEnd, done))
	if got := c.ask(asking("", withUsage)).expectOK(t); !strings.Contains(got.body, mistralEnd) {
		t.Errorf("the last chunk is changed: %s", got.body)
	}
	if strings.Contains(c.Last().Body, "stream_options") {
		t.Errorf("Mistral does not know stream_options: %s", c.Last().Body)
	}
}

func TestMistralsFinishReasonErrorIsAnErrorOfTheStream(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: by(routeconfig.Mistral), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	before := c.Mark()
	c.AnswerWith(events(delta("a"), strings.Replace(mistralEnd, "model_length", "error", 1), done))
	if got := c.ask(asking("", streamed)).expectOK(t); !strings.Contains(got.body, `"finish_reason":"error"`) {
		t.Errorf("the client does not learn of it: %s", got.body)
	}
	c.booked(t, before, world.Spend{Settled: 100*world.PromptNano + 10*world.CompletionNano})
}

func TestWhatMistralDoesNotAcceptIsToldInItsWords(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: by(routeconfig.Mistral), Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	before := c.Mark()
	c.AnswerWith(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"object":"error","message":{"detail":[{"loc":["body","x"],"msg":"Extra inputs are not permitted"}]},` +
			`"type":"invalid_request_error","param":null,"code":null}`))
	})
	found := c.ask(asking("", `,"x":1`)).expectFailure(t, http.StatusUnprocessableEntity, "invalid_request_error")
	if found.Message != "body.x: Extra inputs are not permitted" {
		t.Errorf("the error is %+v", found)
	}
	c.booked(t, before, world.Spend{})
}
