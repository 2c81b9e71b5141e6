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

const completionsPath = "/v1/completions"

// completing is a request to go on with a prompt, which is JSON, with further members, which begin with a comma.
func completing(prompt, members string) string {
	return fmt.Sprintf(`{"model":%q,"prompt":%s%s}`, world.Model, prompt, members)
}

// has lets the route's upstream have these endpoints.
func has(endpoints ...routeconfig.Endpoint) func(*routeconfig.Config) {
	return func(config *routeconfig.Config) { config.Routes[0].Upstreams[0].Endpoints = endpoints }
}

// beginCompletions begins a world whose model completes texts, under budgets.
func beginCompletions(t *testing.T, budgets ...*ledgerpb.Budget) *client {
	t.Helper()
	return begin(t, world.Setup{Budgets: budgets, Edit: has(routeconfig.ChatCompletions, routeconfig.Completions)})
}

// textAnswer is what tests read of an answer or of a chunk.
type textAnswer struct {
	Object  string
	Choices []struct {
		Index        int
		Text         string
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	}
	Error json.RawMessage
}

func (r reply) textAnswer(t *testing.T) textAnswer {
	t.Helper()
	var got textAnswer
	if err := json.Unmarshal([]byte(r.expectOK(t).body), &got); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return got
}

// textChunks are the events of a stream of texts, and whether it ends with [DONE].
func (r reply) textChunks(t *testing.T) (chunks []textAnswer, done bool) {
	t.Helper()
	_, done = r.expectOK(t).chunks(t)
	for block := range strings.SplitSeq(strings.TrimSuffix(r.body, "\n\n"), "\n\n") {
		var one textAnswer
		if data := strings.TrimPrefix(block, "data: "); data != "[DONE]" {
			if err := json.Unmarshal([]byte(data), &one); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			chunks = append(chunks, one)
		}
	}
	return chunks, done
}

func TestEveryKindOfCompletionIsBookedAsItIsBilled(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	many := `["one",` + strings.Repeat(`"another",`, 19) + `"last"]`
	cases := map[string]struct {
		prompt, members string
		choices         int
	}{
		"a text":                  {`"Once upon a time"`, ``, 1},
		"an empty text":           {`""`, ``, 1},
		"several texts":           {many, ``, 21},
		"the ids of its tokens":   {`[1,2,3,50256]`, ``, 1},
		"those of several texts":  {`[[1,2,3],[4],[5,6]]`, ``, 3},
		"a list of one":           {`["Once"]`, ``, 1},
		"choices of several":      {`["One","Two","Three"]`, `,"n":3`, 9},
		"the best of several":     {`["One","Two"]`, `,"n":2,"best_of":5`, 4},
		"more than the default":   {`"Once"`, `,"max_tokens":200`, 1},
		"with all that it can be": {`"Once"`, `,"echo":true,"suffix":"The end.","logprobs":5,"stop":["x"],"seed":1,"user":"u"`, 1},
		"with log probabilities":  {`[[1,2],[3,4]]`, `,"echo":true,"logprobs":1,"max_tokens":1,"temperature":0`, 2},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			got := c.post(completionsPath, completing(test.prompt, test.members)).textAnswer(t)
			if got.Object != "text_completion" || len(got.Choices) != test.choices || got.Usage == nil {
				t.Errorf("got %+v, want %d choices and a usage", got, test.choices)
			}
			c.bookedAsBilled(t, before)
			if strings.Contains(test.members, "best_of") {
				return // No stream can have that.
			}
			before = c.Mark()
			chunks, done := c.post(completionsPath, completing(test.prompt, test.members+streamed)).textChunks(t)
			seen := map[int]bool{}
			for _, one := range chunks {
				if one.Usage != nil || len(one.Choices) == 0 || one.Object != "text_completion" {
					t.Errorf("a chunk of a stream without usage: %+v", one)
				}
				for _, choice := range one.Choices {
					seen[choice.Index] = true
				}
			}
			if !done || len(seen) != test.choices {
				t.Errorf("ended: %t, with %d choices of %d", done, len(seen), test.choices)
			}
			c.bookedAsBilled(t, before)
		})
	}
}

func TestACompletionIsHeldForAllChoicesOfAllPrompts(t *testing.T) {
	t.Parallel()
	// A thousand tokens cost 6,000,000 nano-USD; four prompts are held for less than 2,400,000.
	c := beginCompletions(t, world.Monthly("", 27_000_000))
	const four = `["a","b","c","d"]`
	for name, body := range map[string]string{
		"prompts":             completing(`["a","b","c","d","e"]`, `,"max_tokens":1000`),
		"prompts and choices": completing(four, `,"max_tokens":500,"n":3`),
		"prompts and best of": completing(four, `,"max_tokens":500,"best_of":3`),
		"prompts of ids":      completing(`[[1],[2],[3],[4],[5]]`, `,"max_tokens":1000`),
		"a long completion":   completing(`"a"`, `,"max_tokens":5000`),
	} {
		t.Run(name, func(t *testing.T) {
			c.post(completionsPath, body).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
		})
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
	c.post(completionsPath, completing(four, `,"max_tokens":1000,"user":"fault:answer=5"`)).expectOK(t)
	c.BooksAgree()
}

func TestACompletionWithoutALimitHasSixteenTokensWhereABudgetDenies(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		budget        *ledgerpb.Budget
		most          int64
		members, want string
	}{
		"no budget, so the upstream decides":    {nil, 0, ``, ``},
		"a budget that denies":                  {world.Plenty(""), 0, ``, `,"max_tokens":16`},
		"null names none":                       {world.Plenty(""), 0, `,"max_tokens":null`, `,"max_tokens":16`},
		"the client's own":                      {world.Plenty(""), 0, `,"max_tokens":500`, `,"max_tokens":500`},
		"none at all, for the prompt's own":     {world.Plenty(""), 0, `,"echo":true,"max_tokens":0`, `,"echo":true,"max_tokens":0`},
		"a limit of the route, which is larger": {nil, 100, ``, `,"max_tokens":16`},
		"a limit of the route, which is lower":  {nil, 10, `,"max_tokens":500`, `,"max_tokens":10`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setup := world.Setup{Edit: func(config *routeconfig.Config) {
				has(routeconfig.Completions)(config)
				config.Routes[0].MaxCompletionTokens = test.most
			}}
			if test.budget != nil {
				setup.Budgets = []*ledgerpb.Budget{test.budget}
			}
			c := begin(t, setup)
			c.post(completionsPath, completing(`"Once"`, test.members))
			if diff := cmp.Diff(upstreamBody(completing(`"Once"`, test.want)), c.Last().Body); diff != "" {
				t.Errorf("the request upstream (-want +got):\n%s", diff)
			}
			c.BooksAgree()
		})
	}
}

func TestARoutesParametersAreThoseOfCompletionsToo(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: func(config *routeconfig.Config) {
		has(routeconfig.Completions)(config)
		config.Routes[0].Defaults = []routeconfig.Parameter{
			{Name: "max_completion_tokens", Value: json.RawMessage(`7`)}, {Name: "response_format", Value: json.RawMessage(`{"type":"text"}`)},
			{Name: "temperature", Value: json.RawMessage(`0.70`)},
		}
		config.Routes[0].Overrides = []routeconfig.Parameter{{Name: "seed", Value: json.RawMessage(`3`)}}
	}})
	c.post(completionsPath, completing(`"Once"`, `,"seed":5,"top_p":0.10`)).expectOK(t)
	want := upstreamBody(completing(`"Once"`, `,"seed":3,"top_p":0.10,"max_tokens":7,"temperature":0.70`))
	if diff := cmp.Diff(want, c.Last().Body); diff != "" {
		t.Errorf("the request upstream (-want +got):\n%s", diff)
	}
	c.BooksAgree()
}

func TestABadCompletionIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	for body, want := range map[string]struct{ code, param string }{
		`{"model":"m"}`:                                            {"missing_required_parameter", "prompt"},
		completing(`null`, ``):                                     {"invalid_type", "prompt"},
		completing(`[]`, ``):                                       {"empty_array", "prompt"},
		completing(`[[]]`, ``):                                     {"empty_array", "prompt[0]"},
		completing(`["a",[1]]`, ``):                                {"invalid_type", "prompt[1]"},
		completing(`[1,"a"]`, ``):                                  {"invalid_type", "prompt[1]"},
		completing(`[1.5]`, ``):                                    {"invalid_type", "prompt"},
		completing(`[{"text":"a"}]`, ``):                           {"invalid_type", "prompt[0]"},
		completing(`["a"`+strings.Repeat(`,"a"`, 2048)+`]`, ``):    {"array_above_max_length", "prompt"},
		completing(`"a"`, `,"best_of":21`):                         {"integer_above_max_value", "best_of"},
		completing(`"a"`, `,"best_of":2,"n":3`):                    {"invalid_value", "best_of"},
		completing(`"a"`, `,"best_of":2`+streamed):                 {"invalid_value", "best_of"},
		completing(`"a"`, `,"n":129`):                              {"integer_above_max_value", "n"},
		completing(`"a"`, `,"logprobs":true`):                      {"invalid_type", "logprobs"},
		completing(`"a"`, `,"logprobs":6`):                         {"integer_above_max_value", "logprobs"},
		completing(`"a"`, `,"max_tokens":-1`):                      {"integer_below_min_value", "max_tokens"},
		completing(`"a"`, `,"suffix":5`):                           {"invalid_type", "suffix"},
		completing(`"a"`, `,"temperature":3`):                      {"decimal_above_max_value", "temperature"},
		completing(`"`+strings.Repeat("word ", 2_200_000)+`"`, ``): {"context_length_exceeded", "prompt"},
	} {
		t.Run(fmt.Sprintf("%.60s", body), func(t *testing.T) {
			found := c.post(completionsPath, body).expectFailure(t, http.StatusBadRequest, want.code)
			if found.Param == nil || *found.Param != want.param {
				t.Errorf("the error is %+v, want the parameter %s", found, want.param)
			}
		})
	}
	for _, member := range []string{`"prompt_embeds":["x"]`, `"n_predict":100000`, `"provider":{}`, `"models":["x"]`, `"use_beam_search":true`} {
		got := c.post(completionsPath, completing(`"a"`, ","+member))
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "not the client's to set") {
			t.Errorf("%s: status %d: %s", member, got.status, got.body)
		}
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
}

func TestACompletionsStreamShowsItsUsageToWhoAskedForIt(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	for _, fault := range []string{"usage=first", "usage=every", "usage=null-others", "usage=with-choices", "crlf", "split", "json"} {
		for members, asked := range map[string]bool{streamed: false, withUsage: true} {
			t.Run(fmt.Sprintf("%s, asked for: %t", fault, asked), func(t *testing.T) {
				before := c.Mark()
				got := c.post(completionsPath, completing(`"Once [[fault:`+fault+`]]"`, members)).expectOK(t)
				if shown := strings.Contains(got.body, `"completion_tokens"`); shown != asked {
					t.Errorf("the usage is shown: %t: %s", shown, got.body)
				}
				if _, done := got.chunks(t); !done || !strings.Contains(got.body, `"text":`) {
					t.Errorf("the stream lacks its text or its end: %s", got.body)
				}
				c.bookedAsBilled(t, before)
			})
		}
	}
}

func TestACompletionThatFailsIsAnErrorAndSettledOnce(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	for name, test := range map[string]struct {
		fault, members string
		status         int
		code, books    string
	}{
		"refused":                {"status=400", short, 400, "invalid_request", free},
		"overloaded":             {"status=503", short + streamed, 503, "upstream_overloaded", free},
		"an error with 200":      {"error-200", short, 502, "upstream_error", free},
		"an error at once":       {"error-chunk=0", short + streamed, 502, "upstream_error", free},
		"lost":                   {"lost", short, 502, "upstream_disconnected", uncertain},
		"an end before anything": {"cut=0", short + streamed, 502, "upstream_disconnected", uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			c.post(completionsPath, completing(`"Once [[fault:`+test.fault+`]]"`, test.members)).expectFailure(t, test.status, test.code)
			c.bookedAs(t, test.books, before)
		})
	}
	for name, test := range map[string]struct{ fault, code, books string }{
		"an error in mid-stream":     {"error-chunk=3", "502", uncertain},
		"a broken connection":        {"cut=3", "upstream_disconnected", uncertain},
		"a clean end without [DONE]": {"no-done", "upstream_disconnected", billed},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Mark()
			chunks, done := c.post(completionsPath, completing(`"Once [[fault:`+test.fault+`]]"`, short+streamed)).textChunks(t)
			end := chunks[len(chunks)-1]
			if done || len(chunks) < 2 || !strings.Contains(string(end.Error), test.code) || end.Object != "text_completion" {
				t.Errorf("ended well: %t, and the last chunk is %+v", done, end)
			}
			c.bookedAs(t, test.books, before)
		})
	}
}

func TestWhoHangsUpOnACompletionPaysForIt(t *testing.T) {
	t.Parallel()
	c := beginCompletions(t, world.Plenty(""))
	before := c.Mark()
	request := c.request(t.Context(), http.MethodPost, completionsPath, completing(`"Once [[fault:chunk-delay=5ms,answer=60]]"`, short+streamed))
	response, err := c.Client.Do(request)
	c.must(err)
	first := make([]byte, 1)
	_, err = response.Body.Read(first)
	c.must(err)
	c.must(response.Body.Close())
	c.bookedAsBilled(t, before)
	if got := c.Settlements(); got != 1 {
		t.Errorf("%d settlements, want 1", got)
	}
}
