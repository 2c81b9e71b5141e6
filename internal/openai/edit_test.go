package openai

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawChat draws a good request in odd clothes.
func drawChat(t *rapid.T) text {
	members := map[string]string{
		"model":    drawString(t, "some/model"),
		"messages": `[` + drawSpace(t) + `{"role":"user","content":` + drawString(t, drawText(t)) + `}` + drawSpace(t) + `]`,
	}
	if rapid.Bool().Draw(t, "limited") {
		members["max_tokens"] = rapid.SampledFrom([]string{"null", "1", "5000"}).Draw(t, "limit")
	}
	return drawObject(t, members, 4)
}

func TestSetReplacesAValueAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chat := drawChat(t)
		c := parsed(t, chat.render(nil))
		values, added, order := map[string]string{}, map[string]string{}, []string{}
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			names := []string{"new", "new \"one\"", "another"}
			for _, p := range chat.pieces {
				if p.name != "messages" && p.name != "model" && p.name != "max_tokens" {
					names = append(names, p.name)
				}
			}
			name, value := rapid.SampledFrom(names).Draw(t, "name"), drawValue(t, 2)
			if err := c.Set(name, json.RawMessage(value)); err != nil {
				t.Fatalf("Set(%q, %s): %v", name, value, err)
			}
			switch {
			case has(chat, name):
				values[name] = value
			case added[name] == "":
				order = append(order, name)
				fallthrough
			default:
				added[name] = value
			}
		}
		var members []string
		for _, name := range order {
			members = append(members, string(quote(name))+":"+added[name])
		}
		want := chat.render(values, members...)
		if diff := cmp.Diff(want, string(c.Body())); diff != "" {
			t.Fatalf("body after the edits (-want +got):\n%s", diff)
		}
		if again := parsed(t, want); again.PromptBytes != c.PromptBytes {
			t.Fatalf("PromptBytes is %d after the edits, %d when read anew", c.PromptBytes, again.PromptBytes)
		}
	})
}

func has(object text, name string) bool {
	for _, p := range object.pieces {
		if p.name == name {
			return true
		}
	}
	return false
}

func TestSetModelReplacesTheModelAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chat := drawChat(t)
		c := parsed(t, chat.render(nil))
		for _, id := range []string{"first/upstream", "second \"upstream\" <é>"} { // as failover does
			c.SetModel(id)
			want := chat.render(map[string]string{"model": string(quote(id))})
			if diff := cmp.Diff(want, string(c.Body())); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if again := parsed(t, want); again.Model != id || c.Model != id {
				t.Fatalf("the model is %q in the body and %q in the Chat, want %q", again.Model, c.Model, id)
			}
		}
	})
}

func TestAnUneditedBodyIsTheVerySameBytes(t *testing.T) {
	body := []byte(chatWith(`"x":1`))
	c, problem := Chat.Parse(body)
	if problem != nil {
		t.Fatal(problem)
	}
	if got := c.Body(); &got[0] != &body[0] || len(got) != len(body) {
		t.Error("the body was copied")
	}
}

func TestAnEditLeavesTheClientsBytesAlone(t *testing.T) {
	body := chatWith(`"temperature":1`)
	c := mustParse(t, body)
	first := c.Body()
	c.SetModel("a much longer name than before")
	second := string(c.Body())
	c.SetModel("b")
	if string(first) != body {
		t.Errorf("the client's body became %s", first)
	}
	if c.SetModel("a much longer name than before"); string(c.Body()) != second {
		t.Errorf("the same edit made %s, then %s", second, c.Body())
	}
}

func TestSetDefaultLeavesTheClientsChoiceAlone(t *testing.T) {
	tests := map[string]struct{ reason, members, name, value, want string }{
		"Absent":    {"nothing was chosen", ``, "temperature", `0.7`, `"temperature":0.7`},
		"Present":   {"it was chosen", `"temperature":1`, "temperature", `0.7`, `"temperature":1`},
		"Null":      {"null was chosen", `"temperature":null`, "temperature", `0.7`, `"temperature":null`},
		"Escaped":   {"a key is what it decodes to", `"\u0074op_p":1`, "top_p", `0.7`, `"\u0074op_p":1`},
		"Limit":     {"no limit was named", ``, "max_completion_tokens", `9`, `"max_completion_tokens":9`},
		"LimitNull": {"null names no limit", `"max_completion_tokens":null`, "max_completion_tokens", `9`, `"max_completion_tokens":9`},
		"LimitOtherNull": {
			"null names no limit", `"max_tokens":null`, "max_completion_tokens", `9`, `"max_tokens":null,"max_completion_tokens":9`,
		},
		"LimitOther": {"a limit was named, if by its other name", `"max_tokens":5`, "max_completion_tokens", `9`, `"max_tokens":5`},
		"LimitSame":  {"a limit was named", `"max_completion_tokens":5`, "max_completion_tokens", `9`, `"max_completion_tokens":5`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(test.members))
			apply(t, c, Policy{Provider: OpenRouter, Defaults: []Setting{{test.name, json.RawMessage(test.value)}}})
			if got, want := string(c.Body()), chatWith(test.want); got != want {
				t.Errorf("%s: got %s, want %s", test.reason, got, want)
			}
		})
	}
}

// apply holds a request to a policy that accepts it.
func apply(t testing.TB, c *Request, policy Policy) {
	t.Helper()
	rules, err := NewRules(policy)
	if err != nil {
		t.Fatal(err)
	}
	if problem := c.Apply(rules); problem != nil {
		t.Fatal(problem)
	}
}

func TestSetKeepsTheChatInStep(t *testing.T) {
	c := mustParse(t, chatWith(`"models":["x"],"n":2`))
	for name, value := range map[string]string{
		"max_tokens": "10", "max_completion_tokens": "20", "n": "null", "stream": "true", "model": `"other"`, "provider": `{"order":["x"]}`,
		"stream_options": `{"include_usage":true}`,
	} {
		if err := c.Set(name, json.RawMessage(value)); err != nil {
			t.Fatalf("Set(%s): %v", name, err)
		}
	}
	// The route's own provider is no forbidden field, and its stream_options are not the client's asking.
	want := facts{Model: "other", Stream: true, MaxTokens: new(int64(10)), MaxCompletionTokens: new(int64(20)), N: 1, Messages: 1, Forbidden: "models"}
	if diff := cmp.Diff(want, factsOf(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !c.Has("provider") || c.Has("seed") {
		t.Error("Has does not see what was set")
	}
}

func TestSetRefusesWhatARouteMustNotSay(t *testing.T) {
	tests := map[string]struct{ reason, name, value string }{
		"NoJSON":     {"a route's mistake", "temperature", `nope`},
		"Nothing":    {"a route's mistake", "temperature", ``},
		"TwoValues":  {"it would break the body", "temperature", `1,"model":"x"`},
		"Twice":      {"two readers", "provider", `{"a":1,"a":2}`},
		"WrongType":  {"the upstream would refuse every request", "max_tokens", `"9"`},
		"BelowOne":   {"the upstream would refuse every request", "max_tokens", `0`},
		"FiveStops":  {"the upstream would refuse every request", "stop", `["a","b","c","d","e"]`},
		"Messages":   {"they are the client's", "messages", `[{}]`},
		"NoModel":    {"a route has one", "model", `null`},
		"ManyCopies": {"more than can be asked for", "n", `129`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(`"max_tokens":5`))
			if err := c.Set(test.name, json.RawMessage(test.value)); err == nil {
				t.Errorf("%s: Set(%s, %s) succeeds", test.reason, test.name, test.value)
			}
			if got := string(c.Body()); got != chatWith(`"max_tokens":5`) || *c.limits[1] != 5 {
				t.Errorf("a failed Set changed the request to %s", got)
			}
		})
	}
}

func TestRequestUsageAsksWhateverTheClientSaid(t *testing.T) {
	tests := map[string]struct{ reason, members, want string }{
		"Absent":     {"nothing was said", ``, `"stream_options":{"include_usage":true}`},
		"Null":       {"nothing was said", `"stream_options":null`, `"stream_options":{"include_usage":true}`},
		"Empty":      {"an empty object is no way around the meter", `"stream_options":{}`, `"stream_options":{"include_usage":true}`},
		"False":      {"nor is false", `"stream_options":{"include_usage":false}`, `"stream_options":{"include_usage":true}`},
		"NullMember": {"nor is null", `"stream_options":{"include_usage":null}`, `"stream_options":{"include_usage":true}`},
		"True": {
			"the client asked: not a byte changes", `"stream_options":{ "include_usage" : true }`, `"stream_options":{ "include_usage" : true }`,
		},
		"Others": {
			"other options stay", `"stream_options":{ "include_obfuscation":false }`,
			`"stream_options":{ "include_obfuscation":false ,"include_usage":true}`,
		},
		"OthersFalse": {
			"other options stay", `"stream_options":{"a":1, "include_usage" : false, "b":2}`,
			`"stream_options":{"a":1, "include_usage" : true, "b":2}`,
		},
		"OldUsage": {
			"OpenRouter's older way is not every upstream's", `"usage":{"include":true}`,
			`"usage":{"include":true},"stream_options":{"include_usage":true}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(test.members))
			asked := c.IncludeUsage
			c.RequestUsage()
			c.RequestUsage()
			if got, want := string(c.Body()), chatWith(test.want); got != want {
				t.Errorf("%s: got %s, want %s", test.reason, got, want)
			}
			if c.IncludeUsage != asked {
				t.Error("RequestUsage changed what the client asked")
			}
		})
	}
}

func TestLimitCompletionBoundsEveryNameOfTheLimit(t *testing.T) {
	tests := map[string]struct{ reason, members, want string }{
		"None":    {"a limit is set where there is none", ``, `"max_completion_tokens":100`},
		"Null":    {"null is no limit", `"max_completion_tokens":null`, `"max_completion_tokens":100`},
		"Smaller": {"a smaller one stays", `"max_tokens":7`, `"max_tokens":7`},
		"Larger":  {"a larger one is lowered", `"max_tokens":700`, `"max_tokens":100`},
		"BothLarger": {
			"upstreams differ in which they obey", `"max_tokens":700,"max_completion_tokens":800`, `"max_tokens":100,"max_completion_tokens":100`,
		},
		"OneLarger": {"only the larger is lowered", `"max_tokens":7,"max_completion_tokens":800`, `"max_tokens":7,"max_completion_tokens":100`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatWith(test.members))
			c.LimitCompletion(100, OpenAI)
			if got, want := string(c.Body()), chatWith(test.want); got != want {
				t.Errorf("%s: got %s, want %s", test.reason, got, want)
			}
			if limit := c.CompletionLimit(); limit == nil || *limit > 100 {
				t.Errorf("the limit is %v", limit)
			}
		})
	}
}

func TestCompletionLimitIsTheLargerOfTheTwo(t *testing.T) {
	for members, want := range map[string]*int64{
		``: nil, `"max_tokens":null`: nil, `"max_tokens":3`: new(int64(3)), `"max_completion_tokens":3`: new(int64(3)),
		`"max_tokens":3,"max_completion_tokens":4`: new(int64(4)), `"max_tokens":4,"max_completion_tokens":3`: new(int64(4)),
	} {
		if diff := cmp.Diff(want, mustParse(t, chatWith(members)).CompletionLimit()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", members, diff)
		}
	}
}

func TestEmptyObjectsGetTheirFirstMember(t *testing.T) {
	object := parseObject([]byte("{ \n}"))
	object.set("a", []byte("1"))
	object.set("b", []byte("2"))
	if got, want := string(object.bytes()), "{ \n\"a\":1,\"b\":2}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func parsed(t *rapid.T, body string) *Request {
	c, problem := Chat.Parse([]byte(body))
	if problem != nil {
		t.Fatalf("Chat.Parse(%s): %v", body, problem)
	}
	return c
}
