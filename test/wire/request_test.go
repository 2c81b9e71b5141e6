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

func TestCase01UnknownMembersPassByteForByte(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const usage = `{"prompt_tokens":3,"completion_tokens":2,"cost":0.000018}`
	const chunk = `data: {"id":"gen-1","obfuscation":"aX","provider":"Mistral","choices":[{"index":0,"delta":{"content":"h\u00e9<&","images":[{"x":1e3}],` +
		`"reasoning_details":[{"type":"reasoning.text","text":" 1.0 "}],"tool_calls":[{"index":1,"function":{"arguments":"{\"a"}}]},` +
		`"native_finish_reason":null,"finish_reason":null}] , "new": 1.50}` + "\n\n"
	const plain = "{ \"id\":\"gen-1\",\n\t\"choices\":[{\"message\":{\"content\":\"h\\u00e9\",\"reasoning_details\":[{\"x\":1e3}]}," +
		"\"native_finish_reason\":\"eos\"}] , \"provider\":\"Mistral\", \"usage\": " + usage + " }\n"
	cases := map[string]struct {
		members, sent string
		upstream      http.HandlerFunc
		want          string
	}{
		"plain":  {` , "new_thing" : {"b":1.0,"a":1e2, "c":"\u00e9<"}`, ` , "new_thing" : {"b":1.0,"a":1e2, "c":"\u00e9<"}`, answer(plain), plain},
		"stream": {withUsage + `,"new":[ ]`, withUsage + `,"new":[ ]`, events(chunk, usageEvent(usage), done), chunk + usageEvent(usage) + done},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c.AnswerWith(test.upstream)
			got := c.ask(asking("", test.members)).expectOK(t)
			if diff := cmp.Diff(test.want, got.body); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(upstreamBody(asking("", test.sent)), c.Last().Body); diff != "" {
				t.Errorf("the request upstream (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCase01AWholeConversationPassesByteForByte(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	const body = `{"model":"mixtral-8x22b-instruct","messages":[{"role":"system","content":"Be brief.","name":"x"},
		{"role":"user","content":[{"type":"text","text":"caf\u00e9 \ud83d\ude00 <&> "}]},
		{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{ \"a\" : 1.0 }"}}]},
		{"role":"tool","tool_call_id":"c1","content":"1e3"}],
		"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"a":{"type":"number","minimum":1.00}}}}}]}`
	c.ask(body).expectOK(t)
	if diff := cmp.Diff(upstreamBody(body), c.Last().Body); diff != "" {
		t.Errorf("the request upstream (-want +got):\n%s", diff)
	}
	c.BooksAgree()
}

func TestCase02DefaultsAreSetOnlyWhereTheKeyIsAbsentAndNullIsTheClientsChoice(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Edit: func(config *routeconfig.Config) {
		config.Routes[0].Defaults = []routeconfig.Parameter{
			{Name: "temperature", Value: json.RawMessage(`0.70`)}, {Name: "top_p", Value: json.RawMessage(`0.9`)},
		}
	}})
	cases := map[string]struct{ members, want string }{
		"absent":      {"", `,"temperature":0.70,"top_p":0.9`},
		"null":        {`,"temperature":null`, `,"temperature":null,"top_p":0.9`},
		"zero":        {`,"temperature":0,"top_p":0`, `,"temperature":0,"top_p":0`},
		"in a string": {`,"user":"\"temperature\":1"`, `,"user":"\"temperature\":1","temperature":0.70,"top_p":0.9`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c.ask(asking("", test.members)).expectOK(t)
			if diff := cmp.Diff(upstreamBody(asking("", test.want)), c.Last().Body); diff != "" {
				t.Errorf("the request upstream (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCase03OfTwoCompletionLimitsTheLargerIsReserved(t *testing.T) {
	t.Parallel()
	// Ten tokens cost 60,000 nano-USD and a thousand 6,000,000; the prompt is well below a million.
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Monthly("", 3_000_000)}})
	for _, members := range []string{`,"max_tokens":10,"max_completion_tokens":1000`, `,"max_completion_tokens":10,"max_tokens":1000`} {
		c.ask(asking("", members)).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
	}
	c.ask(asking("", `,"max_tokens":10,"max_completion_tokens":11`)).expectOK(t)
	c.BooksAgree()
}

func TestCase03BothCompletionLimitsAreClamped(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	c.ask(asking("", `,"max_tokens":20000,"max_completion_tokens":30000`)).expectOK(t)
	want := upstreamBody(asking("", `,"max_tokens":16384,"max_completion_tokens":16384`))
	if diff := cmp.Diff(want, c.Last().Body); diff != "" {
		t.Errorf("the request upstream (-want +got):\n%s", diff)
	}
	c.BooksAgree()
}

func TestCase04FiveStopSequencesAreABadRequest(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	found := c.ask(asking("", `,"stop":["a","b","c","d","e"]`)).expectFailure(t, http.StatusBadRequest, "array_above_max_length")
	if found.Type != "invalid_request_error" || found.Param == nil || *found.Param != "stop" {
		t.Errorf("the error is %+v", found)
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
	for _, stop := range []string{`["a","b","c","d"]`, `"a"`, `null`} {
		c.ask(asking("", `,"stop":`+stop)).expectOK(t)
	}
	c.BooksAgree()
}

func TestCase08AStreamIsMeteredWhateverItsOptionsSay(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Plenty("")}})
	for _, options := range []string{
		"", `,"stream_options":null`, `,"stream_options":{}`, `,"stream_options":{"include_usage":false}`,
		`,"stream_options":{"include_usage":null}`, `,"stream_options":{"include_obfuscation":false}`,
		`,"stream_options":{ "include_obfuscation" : false , "include_usage" : false }`, `,"usage":{"include":false}`,
	} {
		t.Run(options, func(t *testing.T) {
			before := c.Mark()
			chunks, done := c.ask(asking("usage=null-others", streamed+options)).expectOK(t).chunks(t)
			if !done || textOf(chunks) == "" {
				t.Error("the stream lacks its text or its end")
			}
			for _, one := range chunks {
				if one.Usage != nil || len(one.Choices) == 0 {
					t.Errorf("the client did not ask for usage and got a chunk with %s", one.Usage)
				}
			}
			var sent struct {
				Options map[string]bool `json:"stream_options"`
			}
			c.must(json.Unmarshal([]byte(c.Last().Body), &sent))
			if !sent.Options["include_usage"] {
				t.Errorf("usage was not asked for: %s", c.Last().Body)
			}
			if _, kept := sent.Options["include_obfuscation"]; kept != strings.Contains(options, "obfuscation") {
				t.Errorf("the other options are not the client's: %s", c.Last().Body)
			}
			c.bookedAsBilled(t, before)
		})
	}
}

func TestCase11ThreeChoicesAreReservedThreefold(t *testing.T) {
	t.Parallel()
	// A thousand tokens cost 6,000,000 nano-USD; the prompt is well below a million.
	c := begin(t, world.Setup{Budgets: []*ledgerpb.Budget{world.Monthly("", 13_000_000)}})
	const limit = `,"max_tokens":1000`
	c.ask(asking("answer=5", limit+`,"n":3`)).expectFailure(t, http.StatusPaymentRequired, "budget_exhausted")
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
	c.ask(asking("answer=5", limit+`,"n":2`)).expectOK(t)
	c.ask(asking("answer=5", limit+`,"n":null`)).expectOK(t)
	c.BooksAgree()
}

func TestCase11SeveralAnswersBehindOneAreRefused(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	if got := c.ask(asking("", `,"best_of":3`)); got.status != http.StatusBadRequest || !strings.Contains(got.body, `"param":"best_of"`) {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestWhatCouldChangeThePriceOrTheModelIsNotTheClientsToSet(t *testing.T) {
	t.Parallel()
	c := begin(t, world.Setup{})
	for member, value := range map[string]string{
		"models": `["openai/gpt-4o"]`, "route": `"fallback"`, "provider": `{"order":["x"]}`, "plugins": `[{"id":"web"}]`,
		"transforms": `["middle-out"]`, "web_search_options": `{}`, "service_tier": `"priority"`, "prediction": `{"type":"content","content":"x"}`,
		"modalities": `["text","audio"]`, "fallbacks": `["x"]`, "preset": `"x"`, "best_of": `2`,
		"tools": `[{"type":"web_search"}]`,
	} {
		t.Run(member, func(t *testing.T) {
			got := c.ask(asking("", `,"`+member+`":`+value))
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"param":"`+member) {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
	for _, variant := range []string{":free", ":floor", ":nitro", ":online", ":thinking", ":extended", ":exacto"} {
		got := c.ask(strings.Replace(asking("", ""), world.Model, world.Model+variant, 1))
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"param":"model"`) {
			t.Errorf("%s: status %d: %s", variant, got.status, got.body)
		}
	}
	if got := len(c.Received()); got != 0 {
		t.Errorf("the upstream got %d requests", got)
	}
}
