package upstream

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	weatherTools = `"tools":[{"type":"function","function":{"name":"get_weather","description":"Current weather of a city","parameters":` +
		`{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["celsius","fahrenheit"]}},"required":["city","unit"]}}}]`
	personFormat = `"response_format":{"type":"json_schema","json_schema":{"name":"person","strict":true,"schema":{"type":"object",` +
		`"properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":18}},"required":["name","age"],` +
		`"additionalProperties":false}}}`
)

func TestInstancesAreValid(t *testing.T) {
	cases := map[string]struct{ reason, schema string }{
		"Object": {"required members",
			`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["b","a"]}`},
		"Optional": {"nothing is required", `{"type":"object","properties":{"a":{"type":"boolean"}}}`},
		"Nested": {"objects in lists",
			`{"type":"array","minItems":2,"items":{"type":"object","properties":{"x":{"type":"null"}},"required":["x"]}}`},
		"Tuple": {"a list of kinds",
			`{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"boolean"},"minItems":3}`},
		"NoItems":    {"an empty list", `{"type":"array","maxItems":0}`},
		"Enum":       {"one of", `{"enum":["x","y"]}`},
		"Const":      {"exactly", `{"const":{"a":[1]}}`},
		"Length":     {"long enough", `{"type":"string","minLength":30,"maxLength":31}`},
		"Short":      {"short enough", `{"type":"string","maxLength":2}`},
		"Pattern":    {"a pattern", `{"type":"string","pattern":"^[A-Z]{3}-\\d{2,4}(x|y)$"}`},
		"PatternSet": {"a pattern with a negated class", `{"type":"string","pattern":"^[^a-z]+\\.\\w+$"}`},
		"Bounds":     {"between", `{"type":"integer","minimum":5,"maximum":7}`},
		"Exclusive":  {"strictly between", `{"type":"integer","exclusiveMinimum":5,"exclusiveMaximum":7}`},
		"Negative":   {"below zero", `{"type":"number","maximum":-2.5}`},
		"Multiple":   {"a multiple", `{"type":"integer","minimum":1,"multipleOf":25}`},
		"Fraction":   {"between two whole numbers", `{"type":"number","minimum":0.2,"maximum":0.4}`},
		"AnyOf":      {"either", `{"anyOf":[{"type":"integer"},{"type":"string"}]}`},
		"OneOf": {"either, beside more",
			`{"type":"object","required":["k"],"oneOf":[{"properties":{"k":{"const":1}}},{"properties":{"k":{"const":2}}}]}`},
		"AllOf": {"both",
			`{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},` +
				`{"properties":{"b":{"type":"string"}},"required":["b"]}]}`},
		"Nullable": {"two kinds", `{"type":["string","null"]}`},
		"Ref": {"a definition",
			`{"$defs":{"p":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},` +
				`"type":"array","items":{"$ref":"#/$defs/p"}}`},
		"Recursive": {"a tree that must end", `{"$defs":{"t":{"type":"object","properties":{"v":{"type":"integer"},` +
			`"next":{"anyOf":[{"$ref":"#/$defs/t"},{"type":"null"}]}},"required":["v","next"]}},"$ref":"#/$defs/t"}`},
		"RecursiveList": {"a tree of lists that must end",
			`{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"]}`},
		"Huge":   {"an integer beyond 64 bits", `{"type":"integer","minimum":1e300}`},
		"True":   {"anything", `true`},
		"NoType": {"a schema that says little", `{}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var schema, value any
			if err := json.Unmarshal([]byte(tc.schema), &schema); err != nil {
				t.Fatal(err)
			}
			text, err := instance(schema, "Some word")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatalf("%s: %q is no JSON: %v", tc.reason, text, err)
			}
			if err := (checker{schema}).check(schema, value); err != nil {
				t.Errorf("%s: %s: %v", tc.reason, text, err)
			}
		})
	}
}

func TestSchemasWithoutInstanceAreRefused(t *testing.T) {
	const list = `{"type":"array","minItems":500,"items":`
	cases := map[string]struct{ reason, schema, message string }{
		"NoSchema":     {"a number is no schema", `5`, "expected a JSON schema"},
		"Required":     {"an object that must hold itself", `{"required":["a"],"properties":{"a":{"$ref":"#"}}}`, "endless"},
		"Loop":         {"a choice of itself", `{"anyOf":[{"$ref":"#"}]}`, "endless"},
		"Bush":         {"ten of itself at once", `{"allOf":[` + strings.Repeat(`{"$ref":"#"},`, 9) + `{"$ref":"#"}]}`, "endless"},
		"Lists":        {"lists of lists", list + list + list + `{}}}}`, "too large"},
		"LongString":   {"a string of a gigabyte", `{"type":"string","minLength":1000000000}`, "too large"},
		"LongList":     {"a list beyond any integer", `{"type":"array","minItems":1e300}`, "too large"},
		"NegativeList": {"fewer than no items", `{"type":"array","maxItems":-1}`, "maxItems must not be negative"},
		"NegativeText": {"shorter than empty", `{"type":"string","maxLength":-1}`, "maxLength must not be negative"},
		"Zero":         {"a multiple of nothing", `{"type":"number","multipleOf":0}`, "multipleOf must be above 0"},
		"Empty":        {"no number is both", `{"type":"number","minimum":5,"maximum":3}`, "its bounds leave no number"},
		"Overflow":     {"no such number", `{"type":"number","minimum":1e308,"maximum":1e308,"multipleOf":1e-300}`, "no number"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			format := `"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":` + tc.schema + `}}`
			tool := `"tools":[{"type":"function","function":{"name":"f","parameters":` + tc.schema + `}}],"tool_choice":"required"`
			for _, members := range []string{format, tool} {
				a := w.chat(t, body("a", members))
				wantError(400, "invalid_request", 400.0)(t, a)
				if !strings.Contains(string(a.raw), tc.message) {
					t.Errorf("%s: got %s, want %q", tc.reason, a.raw, tc.message)
				}
			}
			if n := w.Billed(Filter{}).Count; n != 0 {
				t.Errorf("%s: a refusal was billed", tc.reason)
			}
		})
	}
}

func TestFormatsAreNamed(t *testing.T) {
	for _, format := range []string{"date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"} {
		got, err := instance(map[string]any{"type": "string", "format": format}, "word")
		if err != nil || got == `"word"` {
			t.Errorf("format %q is not honoured: %s, %v", format, got, err)
		}
	}
}

func TestResponseFormats(t *testing.T) {
	w := start(t, Options{})
	var object map[string]any
	text := w.chat(t, body("Explain gravity as JSON", `"response_format":{"type":"json_object"}`)).completion(t).text()
	if err := json.Unmarshal([]byte(text), &object); err != nil || len(object) == 0 {
		t.Errorf("json_object gave %q", text)
	}
	person := decode[struct {
		Name string
		Age  int
	}](t, []byte(w.chat(t, body("Who is Ada?", personFormat)).completion(t).text()))
	if person.Name == "" || person.Age < 18 {
		t.Errorf("json_schema gave %+v", person)
	}
	cut := w.chat(t, body("Who is Ada?", personFormat, `"max_tokens":2`)).completion(t)
	if *cut.Choices[0].Finish != "length" || json.Valid([]byte(cut.text())) {
		t.Errorf("a limit cuts JSON too, got %q", cut.text())
	}
}

func TestToolCalls(t *testing.T) {
	const named = `"tool_choice":{"type":"function","function":{"name":"get_weather"}}`
	cases := map[string]struct {
		reason, prompt, members string
		called                  bool
		finish                  string
	}{
		"Auto":      {"the prompt speaks of it", "What is the weather in Oslo?", weatherTools, true, "tool_calls"},
		"AutoOther": {"the prompt speaks of something else", "Explain gravity", weatherTools, false, "stop"},
		"None":      {"no call is allowed", "What is the weather in Oslo?", weatherTools + `,"tool_choice":"none"`, false, "stop"},
		"Required":  {"a call is demanded", "Explain gravity", weatherTools + `,"tool_choice":"required"`, true, "tool_calls"},
		"Any":       {"Mistral's word for required", "Explain gravity", weatherTools + `,"tool_choice":"any"`, true, "tool_calls"},
		"Named":     {"this call is demanded", "Explain gravity", weatherTools + "," + named, true, "tool_calls"},
		"Cut":       {"a limit cuts a call too", "Explain gravity", weatherTools + `,"max_tokens":5,` + named, true, "length"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			c := w.chat(t, body(tc.prompt, tc.members, `"seed":1`)).completion(t)
			message := c.Choices[0].Message
			if *c.Choices[0].Finish != tc.finish || (len(message.Calls) == 1) != tc.called || (message.Content == nil) != tc.called {
				t.Fatalf("%s: %+v", tc.reason, c)
			}
			if tc.called {
				checkCall(t, message.Calls[0], tc.finish == "length")
				if cut := tc.finish == "length"; cut != (c.Usage.Completion == 5) {
					t.Errorf("%s: %d tokens", tc.reason, c.Usage.Completion)
				}
				streamedCall(t, w, body(tc.prompt, tc.members, `"seed":1`, streaming), message.Calls[0])
			}
		})
	}
}

func checkCall(t *testing.T, call wireCall, cut bool) {
	t.Helper()
	if call.Type != "function" || call.Function.Name != "get_weather" || !strings.HasPrefix(call.ID, "call_") || call.Index != nil {
		t.Errorf("%+v", call)
	}
	if cut {
		if json.Valid([]byte(call.Function.Arguments)) {
			t.Errorf("a limit should cut the arguments: %+v", call)
		}
		return
	}
	if args := decode[map[string]string](t, []byte(call.Function.Arguments)); args["city"] == "" || args["unit"] != "celsius" {
		t.Errorf("arguments %v", args)
	}
}

// streamedCall checks that a stream brings the same call in fragments: its name first, then its arguments in order.
func streamedCall(t *testing.T, w world, request string, want wireCall) {
	t.Helper()
	var fragments []wireCall
	for _, chunk := range w.chat(t, request).events(t).chunks {
		for _, choice := range chunk.Choices {
			fragments = append(fragments, choice.Delta.Calls...)
		}
	}
	if len(fragments) < 3 {
		t.Fatalf("only %d fragments", len(fragments))
	}
	got := fragments[0]
	for i, call := range fragments {
		if call.Index == nil || *call.Index != 0 {
			t.Errorf("a fragment without its index: %+v", call)
		}
		if i > 0 {
			got.Function.Arguments += call.Function.Arguments
			got.Function.Name += call.Function.Name
			got.ID += call.ID
		}
	}
	if got.ID != want.ID || got.Function != want.Function {
		t.Errorf("%d fragments made %+v, want %+v", len(fragments), got, want)
	}
}

func TestToolResultIsAnsweredInWords(t *testing.T) {
	w := start(t, Options{})
	c := w.chat(t, `{"model":"`+mixtral+`",`+weatherTools+`,"messages":[{"role":"user","content":"weather in Oslo"},`+
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",`+
		`"function":{"name":"get_weather","arguments":"{}"}}]},`+
		`{"role":"tool","tool_call_id":"call_1","content":"4 degrees"}]}`).completion(t)
	if *c.Choices[0].Finish != "stop" || !strings.Contains(c.text(), "4 degrees") {
		t.Errorf("got %+v", c)
	}
}

func TestArgumentsTakeTheNameInThePrompt(t *testing.T) {
	w := start(t, Options{})
	c := w.chat(t, body("What is the weather in Oslo?", weatherTools)).completion(t)
	if args := c.Choices[0].Message.Calls[0].Function.Arguments; args != `{"city":"Oslo","unit":"celsius"}` {
		t.Errorf("got %s", args)
	}
}

// checker validates a value against a schema, written apart from what makes instances.
type checker struct{ root any }

func (c checker) check(schema, value any) error {
	s, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	if ref, ok := s["$ref"].(string); ok {
		target := c.root
		for _, name := range strings.Split(ref, "/")[1:] {
			target = target.(map[string]any)[name]
		}
		return c.check(target, value)
	}
	checks := []func(map[string]any, any) error{checkType, checkFixed, checkNumber, checkString, c.checkObject, c.checkArray, c.checkChoice}
	for _, check := range checks {
		if err := check(s, value); err != nil {
			return err
		}
	}
	return nil
}

func checkType(s map[string]any, value any) error {
	kinds, isList := s["type"].([]any)
	if !isList {
		if s["type"] == nil {
			return nil
		}
		kinds = []any{s["type"]}
	}
	kind := map[string]string{"string": "string", "float64": "number", "bool": "boolean", "<nil>": "null",
		"map[string]interface {}": "object", "[]interface {}": "array"}[fmt.Sprintf("%T", value)]
	if n, ok := value.(float64); ok && n == math.Trunc(n) && slices.Contains(kinds, any("integer")) {
		return nil
	}
	if !slices.Contains(kinds, any(kind)) {
		return fmt.Errorf("%v is %s, not of %v", value, kind, kinds)
	}
	return nil
}

func checkFixed(s map[string]any, value any) error {
	same := func(other any) bool { return string(marshal(other)) == string(marshal(value)) }
	if fixed, ok := s["const"]; ok && !same(fixed) {
		return fmt.Errorf("%v is not %v", value, fixed)
	}
	if options, ok := s["enum"].([]any); ok && !slices.ContainsFunc(options, same) {
		return fmt.Errorf("%v is none of %v", value, options)
	}
	return nil
}

func checkNumber(s map[string]any, value any) error {
	n, ok := value.(float64)
	if !ok {
		return nil
	}
	rules := map[string]func(limit float64) bool{
		"minimum":          func(l float64) bool { return n >= l },
		"maximum":          func(l float64) bool { return n <= l },
		"exclusiveMinimum": func(l float64) bool { return n > l },
		"exclusiveMaximum": func(l float64) bool { return n < l },
		"multipleOf":       func(l float64) bool { return math.Mod(n, l) == 0 },
	}
	for name, holds := range rules {
		if limit, ok := s[name].(float64); ok && !holds(limit) {
			return fmt.Errorf("%v breaks %s %v", n, name, limit)
		}
	}
	return nil
}

func checkString(s map[string]any, value any) error {
	text, ok := value.(string)
	if !ok {
		return nil
	}
	length := float64(utf8.RuneCountInString(text))
	if low, ok := s["minLength"].(float64); ok && length < low {
		return fmt.Errorf("%q is shorter than %v", text, low)
	}
	if high, ok := s["maxLength"].(float64); ok && length > high {
		return fmt.Errorf("%q is longer than %v", text, high)
	}
	if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
		return fmt.Errorf("%q does not match %s", text, pattern)
	}
	return nil
}

func (c checker) checkObject(s map[string]any, value any) error {
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%v has no %v", object, name)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, member := range object {
		if err := c.check(properties[name], member); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (c checker) checkArray(s map[string]any, value any) error {
	array, ok := value.([]any)
	if !ok {
		return nil
	}
	if low, ok := s["minItems"].(float64); ok && float64(len(array)) < low {
		return fmt.Errorf("%v has fewer than %v items", array, low)
	}
	if high, ok := s["maxItems"].(float64); ok && float64(len(array)) > high {
		return fmt.Errorf("%v has more than %v items", array, high)
	}
	prefix, _ := s["prefixItems"].([]any)
	for i, item := range array {
		schema := s["items"]
		if i < len(prefix) {
			schema = prefix[i]
		}
		if err := c.check(schema, item); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

func (c checker) checkChoice(s map[string]any, value any) error {
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		options, ok := s[word].([]any)
		if !ok {
			continue
		}
		valid := 0
		for _, option := range options {
			if c.check(option, value) == nil {
				valid++
			}
		}
		if want := map[string]bool{"anyOf": valid > 0, "oneOf": valid == 1, "allOf": valid == len(options)}; !want[word] {
			return fmt.Errorf("%v fits %d of %s", value, valid, word)
		}
	}
	return nil
}
