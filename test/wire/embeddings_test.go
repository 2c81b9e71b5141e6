package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/routeconfig"
	"github.com/modelroute/modelroute/test/world"
)

const (
	embeddingsPath  = "/v1/embeddings"
	embeddingsModel = "openai/text-embedding-3-small"
	// embeddingsNano is the price of a token, in nano-USD.
	embeddingsNano = 20
)

// embeds lets the route's model be one of embeddings.
func embeds(config *routeconfig.Config) {
	route := &config.Routes[0]
	route.Model.ContextLength, route.Model.MaxCompletionTokens, route.Model.SupportedParameters = 8192, 0, nil
	route.Model.OutputModalities = []string{"embeddings"}
	upstream := &route.Upstreams[0]
	upstream.Model, upstream.Endpoints = embeddingsModel, []routeconfig.Endpoint{routeconfig.Embeddings}
	upstream.Pricing = routeconfig.Pricing{PromptPicoUSD: embeddingsNano * 1000}
}

func beginEmbeddings(t *testing.T, budgets ...*ledgerpb.Budget) *client {
	t.Helper()
	return begin(t, world.Setup{Budgets: budgets, Edit: embeds})
}

// embedding is a request for the vectors of an input, which is JSON, with further members, which begin with a comma.
func embedding(input, members string) string {
	return fmt.Sprintf(`{"model":%q,"input":%s%s}`, world.Model, input, members)
}

func TestEveryKindOfEmbeddingIsBookedAsItIsBilled(t *testing.T) {
	t.Parallel()
	c := beginEmbeddings(t, world.Plenty(""))
	for name, test := range map[string]struct {
		input, members string
		vectors        int
	}{
		"a text":                  {`"The food was delicious."`, ``, 1},
		"several texts":           {`["one","two","three"]`, ``, 3},
		"as many as there may be": {`["a"` + strings.Repeat(`,"a"`, 2047) + `]`, `,"dimensions":8`, 2048},
		"the ids of its tokens":   {`[1,2,3]`, ``, 1},
		"those of several texts":  {`[[1,2,3],[4]]`, ``, 2},
		"in base64, as SDKs ask":  {`"The food"`, `,"encoding_format":"base64","dimensions":256,"user":"u"`, 1},
		"of any language":         {`"Ünïcödé 漢字 🙂"`, `,"input_type":"search_query"`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			var got struct {
				Object string
				Data   []struct{ Embedding json.RawMessage }
				Usage  struct {
					PromptTokens int64 `json:"prompt_tokens"`
				}
			}
			body := embedding(test.input, test.members)
			c.must(json.Unmarshal([]byte(c.post(embeddingsPath, body).expectOK(t).body), &got))
			if got.Object != "list" || len(got.Data) != test.vectors || got.Usage.PromptTokens == 0 {
				t.Errorf("a %s of %d vectors, want %d, for %d tokens", got.Object, len(got.Data), test.vectors, got.Usage.PromptTokens)
			}
			if diff := cmp.Diff(strings.Replace(body, `"`+world.Model+`"`, `"`+embeddingsModel+`"`, 1), c.Last().Body); diff != "" {
				t.Errorf("the request upstream (-want +got):\n%s", diff)
			}
			c.bookedAsBilled(t, before)
		})
	}
}

func TestEmbeddingsAreHeldForTheirTextsAlone(t *testing.T) {
	t.Parallel()
	// A text takes up to a token for each of its bytes, 64 that may stand around it, and no more than the context.
	const text = 1000
	long := `"` + strings.Repeat("x", text) + `"`
	for name, test := range map[string]struct {
		input  string
		tokens int64
	}{
		"a text":            {long, text + 64},
		"two texts":         {"[" + long + "," + long + "]", 2 * (text + 64)},
		"ids":               {`[[1,2,3],[4,5,6]]`, 6 + 2*64},
		"beyond a context":  {`"` + strings.Repeat("é", 10_000) + `"`, 8192},
		"two beyond theirs": {`["` + strings.Repeat("é", 10_000) + `","` + strings.Repeat("é", 10_000) + `"]`, 2 * 8192},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			poor := beginEmbeddings(t, world.Monthly("", test.tokens*embeddingsNano-1))
			found := poor.post(embeddingsPath, embedding(test.input, "")).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
			if !strings.Contains(found.Message, "monthly") || len(poor.Received()) != 0 {
				t.Errorf("%d requests were sent: %s", len(poor.Received()), found.Message)
			}
			rich := beginEmbeddings(t, world.Monthly("", test.tokens*embeddingsNano))
			if got := rich.post(embeddingsPath, embedding(test.input, "")); got.status == http.StatusPaymentRequired {
				t.Errorf("what is enough is not: %s", got.body)
			}
		})
	}
}

func TestABadEmbeddingIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c := beginEmbeddings(t, world.Plenty(""))
	for body, want := range map[string]struct{ code, param string }{
		`{"model":"m"}`:           {"missing_required_parameter", "input"},
		embedding(`""`, ``):       {"empty_string", "input"},
		embedding(`["a",""]`, ``): {"empty_string", "input[1]"},
		embedding(`[]`, ``):       {"empty_array", "input"},
		embedding(`["a"`+strings.Repeat(`,"a"`, 2048)+`]`, ``): {"array_above_max_length", "input"},
		embedding(`"a"`, `,"encoding_format":"hex"`):           {"invalid_value", "encoding_format"},
		embedding(`"a"`, `,"dimensions":0`):                    {"integer_below_min_value", "dimensions"},
	} {
		t.Run(fmt.Sprintf("%.60s", body), func(t *testing.T) {
			found := c.post(embeddingsPath, body).expectFailure(t, http.StatusBadRequest, want.code)
			if found.Param == nil || *found.Param != want.param {
				t.Errorf("the error is %+v, want the parameter %s", found, want.param)
			}
		})
	}
	for name, test := range map[string]struct{ body, why string }{
		"a picture, whose tokens have no bound": {embedding(`[{"content":[{"type":"image_url","image_url":{"url":"u"}}]}]`, ``), "input[0] is not text"},
		"a conversation in the input's place":   {embedding(`"a"`, `,"messages":[]`), "messages is not the client's"},
		"a provider":                            {embedding(`"a"`, `,"provider":{"order":["x"]}`), "provider is not the client's"},
	} {
		if got := c.post(embeddingsPath, test.body); got.status != http.StatusBadRequest || !strings.Contains(got.body, test.why) {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
}

func TestAnEmbeddingThatFailsIsSettledOnce(t *testing.T) {
	t.Parallel()
	c := beginEmbeddings(t, world.Plenty(""))
	const hold = (300 + 64) * embeddingsNano
	for fault, test := range map[string]struct {
		status int
		want   world.Spend
	}{
		"status=429":    {429, world.Spend{}},
		"error-200":     {502, world.Spend{}},
		"lost":          {502, world.Spend{Uncertain: hold}},
		"missing-usage": {200, world.Spend{Uncertain: hold}},
	} {
		t.Run(fault, func(t *testing.T) {
			before := c.Mark()
			marked := "[[fault:" + fault + "]]"
			got := c.post(embeddingsPath, embedding(`"`+marked+strings.Repeat("x", 300-len(marked))+`"`, ""))
			if got.status != test.status {
				t.Errorf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			c.booked(t, before, test.want)
		})
	}
	c.AnswerWith(answer(`{"object":"list","data":[{"embedding":[1]}],"usage":{"prompt_tokens":-1,"total_tokens":1}}`))
	before := c.Mark()
	c.post(embeddingsPath, embedding(`"`+strings.Repeat("x", 300)+`"`, "")).expectOK(t)
	c.booked(t, before, world.Spend{Uncertain: hold})
}

func TestATokenLimitCountsTheTokensOfEmbeddings(t *testing.T) {
	t.Parallel()
	limit := world.RateLimit(world.Consumer, 500, 3600)
	limit.Ref.Unit = ledgerpb.Unit_UNIT_TOKENS
	c := beginEmbeddings(t, limit)
	c.post(embeddingsPath, embedding(`"`+strings.Repeat("x", 400)+`"`, "")).expectOK(t)
	c.post(embeddingsPath, embedding(`"`+strings.Repeat("x", 600)+`"`, "")).expectFailure(t, http.StatusTooManyRequests, "rate_limit_exceeded")
}
