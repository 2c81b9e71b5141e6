package wire

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

func TestAModelIsServedOnlyAtTheEndpointsOfItsUpstreams(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	found := c.post(embeddingsPath, embedding(`"a"`, "")).expectFailure(t, http.StatusNotFound, "endpoint_not_found")
	if want := "It is served at /v1/chat/completions, /v1/completions."; !strings.HasSuffix(found.Message, want) || *found.Param != "model" {
		t.Errorf("the error is %+v, want one that ends in %q", found, want)
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
	var list struct {
		Data []struct {
			Endpoints []string `json:"supported_endpoints"`
		}
	}
	c.must(json.Unmarshal([]byte(c.send(c.request(t.Context(), http.MethodGet, "/v1/models", "")).expectOK(t).body), &list))
	if diff := cmp.Diff([]string{chatPath, completionsPath}, list.Data[0].Endpoints); diff != "" {
		t.Errorf("the endpoints of the model (-want +got):\n%s", diff)
	}
}

func TestOnlyAnUpstreamThatHasTheEndpointIsAsked(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}, Edit: func(config *routeconfig.Config) {
		route := &config.Routes[0]
		nobody := route.Upstreams[0]
		nobody.Name, nobody.BaseURL = "chat-only", "http://127.0.0.1:1/v1"
		after := nobody
		after.Name = "chat-only-too"
		has(routeconfig.Completions)(config)
		route.Upstreams = []routeconfig.Upstream{nobody, route.Upstreams[0], after}
	}})
	c.post(completionsPath, completing(`"a"`, "")).expectOK(t)
	// It fails, and there is nobody else to ask.
	c.post(completionsPath, completing(`"[[fault:status=500]]"`, "")).expectFailure(t, http.StatusBadGateway, "upstream_error")
	if got := c.Logged("chat-only"); got != 0 {
		t.Errorf("those that only chat were tried %d times", got)
	}
	c.BooksAgree()
}

func TestErrorsAreAsOpenRoutersClientsKnowThemWhereTheyAsk(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Monthly("", 20_000_000)}})
	const path = "/api" + chatPath
	type body struct {
		Error struct {
			Code     json.RawMessage
			Metadata struct {
				ErrorType  string `json:"error_type"`
				HTTPStatus int    `json:"http_status"`
			}
		}
	}
	for name, test := range map[string]struct {
		path, body string
		code, word string
	}{
		"a budget":             {path, asking("", `,"max_tokens":16000`), "402", "budget_exhausted"},
		"a parameter":          {path, asking("", `,"n":0`), "400", "integer_below_min_value"},
		"a model":              {path, `{"model":"gpt-none","messages":[{"role":"user","content":"a"}]}`, "404", "model_not_found"},
		"a path":               {"/api/v1/images", `{}`, "404", "unknown_url"},
		"an upstream":          {path, asking("status=503", short), "503", "upstream_overloaded"},
		"OpenAI's, for others": {chatPath, asking("", `,"n":0`), `"integer_below_min_value"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got body
			answer := c.post(test.path, test.body)
			c.must(json.Unmarshal([]byte(answer.body), &got))
			if string(got.Error.Code) != test.code || got.Error.Metadata.ErrorType != test.word {
				t.Errorf("got %s, want the code %s and the type %q", answer.body, test.code, test.word)
			}
		})
	}
	t.Run("in a stream", func(t *testing.T) {
		chunks, _ := c.post(path, asking("cut=3", short+streamed)).expectOK(t).chunks(t)
		var got body
		c.must(json.Unmarshal([]byte(`{"error":`+string(chunks[len(chunks)-1].Error)+`}`), &got))
		if string(got.Error.Code) != "502" || got.Error.Metadata.ErrorType != "upstream_disconnected" || got.Error.Metadata.HTTPStatus != 502 {
			t.Errorf("the last chunk has the error %s", chunks[len(chunks)-1].Error)
		}
	})
}
