package openai

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// facts are what a Chat says of a request, without what it needs for itself.
type facts struct {
	Model                          string
	Stream, IncludeUsage           bool
	MaxTokens, MaxCompletionTokens *int64
	N                              int64
	Messages                       int
	UnboundedInput, Forbidden      string
}

func factsOf(c *Request) facts {
	forbidden, _ := ForbiddenField(c, false)
	return facts{
		Model: c.Model, Stream: c.Stream, IncludeUsage: c.IncludeUsage, MaxTokens: c.limits[1], MaxCompletionTokens: c.limits[0],
		N: c.N, Messages: c.Messages, UnboundedInput: c.UnboundedInput, Forbidden: forbidden,
	}
}

// chatWith returns a good body with further members.
func chatWith(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"model":"m","messages":[{"role":"user","content":"hi"}]` + members + `}`
}

// chatOf returns a good body with these messages.
func chatOf(messages string) string { return `{"model":"m","messages":[` + messages + `]}` }

func mustParse(t testing.TB, body string) *Request {
	t.Helper()
	c, problem := Chat.Parse([]byte(body))
	if problem != nil {
		t.Fatalf("Chat.Parse(%s): %v", body, problem)
	}
	return c
}

func TestParseReadsWhatBoundsARequest(t *testing.T) {
	plain := facts{Model: "m", N: 1, Messages: 1}
	tests := map[string]struct {
		reason string
		body   string
		want   func(f *facts)
	}{
		"Plain": {"the model page's request", chatWith(""), func(*facts) {}},
		"Spaced": {
			"white space may stand anywhere", " {\r\n\t\"model\" : \"m\" , \"messages\" : [ { \"role\" : \"user\" } ] } \n", func(*facts) {},
		},
		"EscapedKey":   {"a key is what it decodes to", `{"mod\u0065l":"m","messages":[{"role":"user"}]}`, func(*facts) {}},
		"EscapedModel": {"a name is what it decodes to", `{"model":"\u006d","messages":[{}]}`, func(*facts) {}},
		"Stream":       {"a stream is asked for", chatWith(`"stream":true`), func(f *facts) { f.Stream = true }},
		"StreamNull":   {"null is the default", chatWith(`"stream":null`), func(*facts) {}},
		"Usage": {
			"OpenAI's way to ask", chatWith(`"stream_options":{"include_usage":true}`), func(f *facts) { f.IncludeUsage = true },
		},
		"UsageFalse":       {"asked not to", chatWith(`"stream_options":{"include_usage":false,"x":[1]}`), func(*facts) {}},
		"UsageNull":        {"null is not asking", chatWith(`"stream_options":{"include_usage":null}`), func(*facts) {}},
		"NoStreamOptions":  {"null options are none", chatWith(`"stream_options":null`), func(*facts) {}},
		"OldUsage":         {"OpenRouter's older way to ask", chatWith(`"usage":{"include":true}`), func(f *facts) { f.IncludeUsage = true }},
		"OldUsageFalse":    {"asked not to", chatWith(`"usage":{"include":false}`), func(*facts) {}},
		"OldUsageNoObject": {"it is deprecated: no reason to refuse", chatWith(`"usage":true`), func(*facts) {}},
		"MaxTokens":        {"one limit", chatWith(`"max_tokens":7`), func(f *facts) { f.MaxTokens = new(int64(7)) }},
		"BothLimits":       {"both limits are seen", chatWith(`"max_tokens":7,"max_completion_tokens":9`), bothLimits},
		"NullLimit":        {"null names no limit", chatWith(`"max_tokens":null`), func(*facts) {}},
		"HugeLimit":        {"64 bits are read", chatWith(`"max_tokens":9223372036854775807`), func(f *facts) { f.MaxTokens = new(int64(1<<63 - 1)) }},
		"Choices":          {"n multiplies", chatWith(`"n":3`), func(f *facts) { f.N = 3 }},
		"ChoicesNull":      {"null is one choice", chatWith(`"n":null`), func(*facts) {}},
		"MostChoices":      {"OpenAI's maximum", chatWith(`"n":128`), func(f *facts) { f.N = 128 }},
		"Stop":             {"four are allowed", chatWith(`"stop":["a","b","c","d"]`), func(*facts) {}},
		"StopString":       {"one may stand alone", chatWith(`"stop":"a"`), func(*facts) {}},
		"StopNull":         {"null is none", chatWith(`"stop":null`), func(*facts) {}},
		"ManyMessages":     {"messages are counted", chatOf(`{},{"role":"a"},{"content":null}`), func(f *facts) { f.Messages = 3 }},
		"CaseInSchema":     {"a schema may have keys that differ in case", chatWith(`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"id":1,"ID":2}}}`), func(*facts) {}},
		"CaseInTools":      {"a schema may have keys that differ in case", chatWith(`"tools":[{"id":1,"ID":2}]`), func(*facts) {}},
		"UnknownField":     {"what is not known is passed on", chatWith(`"x_new":{"deep":[1,{"a":null}]}`), func(*facts) {}},
		"LoneSurrogate":    {"JSON allows half a pair", chatOf(`{"content":"\ud800"}`), func(*facts) {}},
		"NestedToTheLimit": {"256 levels are read", chatWith(`"x":` + nested(255)), func(*facts) {}},
		"ManyKeys":         {"an object may have many keys", chatWith(`"x":{` + manyKeys(1000) + `}`), func(*facts) {}},
		"SameKeyElsewhere": {"a key may be in two objects", chatWith(`"x":{"a":{"b":1},"b":{"a":1}},"a":1`), func(*facts) {}},
		"NumbersOfAllKinds": {
			"what is not known may be any number", chatWith(`"a":-0.5E+10,"b":0,"c":-12345678901234567890,"d":1e400`), func(*facts) {},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := plain
			test.want(&want)
			if diff := cmp.Diff(want, factsOf(mustParse(t, test.body))); diff != "" {
				t.Errorf("%s: %s\n(-want +got):\n%s", test.reason, test.body, diff)
			}
		})
	}
}

func bothLimits(f *facts) { f.MaxTokens, f.MaxCompletionTokens = new(int64(7)), new(int64(9)) }

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func manyKeys(count int) string {
	keys := make([]string, count)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return strings.Join(keys, ",")
}

func TestParseRefusesWhatReadersCouldTakeInTwoWays(t *testing.T) {
	type refusal struct{ Param, Code string }
	syntax := refusal{"", "invalid_json"}
	duplicate := func(key string) refusal { return refusal{key, "duplicate_key"} }
	wrong := func(param string) refusal { return refusal{param, "invalid_type"} }
	tests := map[string]struct {
		reason string
		body   string
		want   refusal
	}{
		"Empty":              {"nothing was sent", "", refusal{}},
		"OnlySpace":          {"nothing was sent", " \n", syntax},
		"ByteOrderMark":      {"JSON has none", "\ufeff" + chatWith(""), refusal{}},
		"BadUTF8":            {"readers replace it, or do not", chatOf("{\"content\":\"\xff\"}"), refusal{}},
		"Array":              {"a request is an object", "[]", refusal{}},
		"String":             {"a request is an object", `"model"`, refusal{}},
		"Cut":                {"the body ends too early", `{"model":"m"`, syntax},
		"CutString":          {"the body ends in a string", `{"model":"m`, syntax},
		"CutEscape":          {"the body ends in an escape", `{"model":"m\`, syntax},
		"Trailing":           {"something follows", chatWith("") + "{}", syntax},
		"TrailingNUL":        {"something follows", chatWith("") + "\x00", syntax},
		"TrailingComma":      {"some readers allow it", chatWith(`"x":1,`), syntax},
		"TrailingElement":    {"some readers allow it", chatWith(`"x":[1,]`), syntax},
		"NoColon":            {"a member has a value", chatWith(`"x" 1`), syntax},
		"NoComma":            {"members are separated", chatWith(`"x":1 "y":2`), syntax},
		"BareKey":            {"some readers allow it", chatWith(`x:1`), syntax},
		"Comment":            {"some readers allow it", chatWith(`"x":1/**/`), syntax},
		"SingleQuotes":       {"some readers allow it", chatWith(`'x':1`), syntax},
		"NaN":                {"Python's reader allows it", chatWith(`"temperature":NaN`), syntax},
		"LeadingZero":        {"some readers take it for octal", chatWith(`"x":01`), syntax},
		"Plus":               {"some readers allow it", chatWith(`"x":+1`), syntax},
		"BareFraction":       {"some readers allow it", chatWith(`"x":1.`), syntax},
		"BareExponent":       {"some readers allow it", chatWith(`"x":1e`), syntax},
		"LineFeedInString":   {"a control character is escaped", chatWith("\"x\":\"a\nb\""), syntax},
		"UnknownEscape":      {"some readers drop the backslash", chatWith(`"x":"\q"`), syntax},
		"BadHex":             {"no such escape", chatWith(`"x":"\u00g0"`), syntax},
		"WordRunsOn":         {"no such literal", chatWith(`"x":nullx`), syntax},
		"TooDeep":            {"a bomb", chatWith(`"x":` + nested(256)), syntax},
		"Bomb":               {"a bomb is refused before it is read", `{"x":` + strings.Repeat("[", 1<<20), syntax},
		"ModelTwice":         {"the first or the last counts", chatWith(`"model":"n"`), duplicate("model")},
		"ModelTwiceEscaped":  {"keys are what they decode to", chatWith(`"mod\u0065l":"n"`), duplicate("model")},
		"UnknownTwice":       {"whatever it is", chatWith(`"x":1,"x":1`), duplicate("x")},
		"CaseTwice":          {"Go's reader ignores case", chatWith(`"x":1,"X":1`), duplicate("X")},
		"KelvinTwice":        {"Go's reader folds the Kelvin sign", chatWith(`"k":1,"\u212a":1`), duplicate("\u212a")},
		"LongSTwice":         {"Go's reader folds the long s", chatWith(`"s":1,"ſ":1`), duplicate("ſ")},
		"ContentTwice":       {"one bounds, the other is sent", chatOf(`{"content":"a","content":"b"}`), duplicate("content")},
		"ContentCase":        {"one bounds, the other is sent", chatOf(`{"content":"a","Content":"b"}`), duplicate("Content")},
		"PartTypeTwice":      {"text for us, an image for them", chatOf(`{"content":[{"type":"text","Type":"image_url"}]}`), duplicate("Type")},
		"DeepTwice":          {"at any depth", chatWith(`"x":[{"y":{"z":1,"z":2}}]`), duplicate("z")},
		"ManyKeysTwice":      {"among many keys", chatWith(`"x":{` + manyKeys(100) + `,"k40":1}`), duplicate("k40")},
		"SeventeenthTwice":   {"where the way of comparing changes", chatWith(`"x":{` + manyKeys(17) + `,"k16":1}`), duplicate("k16")},
		"OtherCase":          {"some servers ignore case", `{"Model":"m","messages":[{}]}`, refusal{"Model", "unknown_parameter"}},
		"OtherCaseLimit":     {"a limit that we would not see", chatWith(`"MAX_TOKENS":9`), refusal{"MAX_TOKENS", "unknown_parameter"}},
		"OtherCaseForbidden": {"a detour around the route", chatWith(`"Models":["x"]`), refusal{"Models", "unknown_parameter"}},
		"NoModel":            {"OpenAI requires it", `{"messages":[{}]}`, refusal{"model", "missing_required_parameter"}},
		"NoMessages":         {"OpenAI requires it", `{"model":"m"}`, refusal{"messages", "missing_required_parameter"}},
		"EmptyModel":         {"no name", `{"model":"","messages":[{}]}`, refusal{"model", "empty_string"}},
		"EmptyMessages":      {"OpenAI requires one", chatOf(""), refusal{"messages", "empty_array"}},
		"ModelNumber":        {"wrong type", `{"model":4,"messages":[{}]}`, wrong("model")},
		"ModelNull":          {"wrong type", `{"model":null,"messages":[{}]}`, wrong("model")},
		"MessagesObject":     {"wrong type", `{"model":"m","messages":{}}`, wrong("messages")},
		"MessageString":      {"wrong type", chatOf(`{},"x"`), wrong("messages[1]")},
		"StreamString":       {"wrong type", chatWith(`"stream":"true"`), wrong("stream")},
		"StreamNumber":       {"wrong type", chatWith(`"stream":1`), wrong("stream")},
		"OptionsArray":       {"wrong type", chatWith(`"stream_options":[]`), wrong("stream_options")},
		"IncludeUsageString": {"wrong type", chatWith(`"stream_options":{"include_usage":"yes"}`), wrong("stream_options.include_usage")},
		"LimitString":        {"wrong type", chatWith(`"max_tokens":"9"`), wrong("max_tokens")},
		"LimitDecimal":       {"an integer to some", chatWith(`"max_tokens":9.0`), wrong("max_tokens")},
		"LimitExponent":      {"an integer to some", chatWith(`"max_completion_tokens":1e3`), wrong("max_completion_tokens")},
		"LimitZero":          {"at least one", chatWith(`"max_tokens":0`), refusal{"max_tokens", "integer_below_min_value"}},
		"LimitNegative":      {"no refund", chatWith(`"max_tokens":-1`), refusal{"max_tokens", "integer_below_min_value"}},
		"LimitVeryNegative":  {"beyond 64 bits", chatWith(`"max_tokens":-9999999999999999999`), refusal{"max_tokens", "integer_below_min_value"}},
		"LimitTooLarge":      {"beyond 64 bits", chatWith(`"max_tokens":9223372036854775808`), refusal{"max_tokens", "integer_above_max_value"}},
		"ChoicesZero":        {"at least one", chatWith(`"n":0`), refusal{"n", "integer_below_min_value"}},
		"ChoicesMany":        {"OpenAI's maximum", chatWith(`"n":129`), refusal{"n", "integer_above_max_value"}},
		"ChoicesBoolean":     {"true is 1 to Python", chatWith(`"n":true`), wrong("n")},
		"StopFive":           {"OpenAI's maximum", chatWith(`"stop":["a","b","c","d","e"]`), refusal{"stop", "array_above_max_length"}},
		"StopNumber":         {"wrong type", chatWith(`"stop":1`), wrong("stop")},
		"StopElement":        {"wrong type", chatWith(`"stop":["a",1]`), wrong("stop[1]")},
		"ToolsObject":        {"wrong type", chatWith(`"tools":{}`), wrong("tools")},
		"ToolString":         {"wrong type", chatWith(`"tools":["x"]`), wrong("tools[0]")},
		"ValueMissing":       {"no value", chatWith(`"n":`), syntax},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, problem := Chat.Parse([]byte(test.body))
			if problem == nil {
				t.Fatalf("%s: Parse accepts %.200s", test.reason, test.body)
			}
			if problem.Status != http.StatusBadRequest || problem.Type != TypeInvalidRequest || problem.Message == "" {
				t.Errorf("%s: is no plain 400: %+v", test.reason, problem)
			}
			if diff := cmp.Diff(test.want, refusal{problem.Param, problem.Code}); diff != "" {
				t.Errorf("%s: %.200s: %s\n(-want +got):\n%s", test.reason, test.body, problem.Message, diff)
			}
		})
	}
}

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	tests := map[string]struct{ reason, body, want string }{
		"Type": {
			"the type that was sent is named", chatWith(`"max_tokens":"9"`),
			"Invalid type for 'max_tokens': expected an integer, but got a string instead.",
		},
		"Offset":   {"the place is named", `{"model":x}`, "The body is not valid JSON: expected a JSON value at byte 9."},
		"UTF8":     {"the place is named", "{\"\xff\":1}", "The body is not valid UTF-8: the first bad byte is at 2."},
		"Array":    {"what was sent is named", "[1]", "The body must be a JSON object with model and messages, but it is an array."},
		"Spelling": {"the right name is given", chatWith(`"Stream":true`), "Unknown parameter: 'Stream'. Did you mean 'stream'?"},
		"Twice": {
			"the key is named", chatWith(`"n":1,"n":2`),
			`A reader of the body could take either value: the key "n" appears twice in one object at byte 63.`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, problem := Chat.Parse([]byte(test.body))
			if problem == nil || problem.Message != test.want {
				t.Errorf("%s: got %v, want %s", test.reason, problem, test.want)
			}
		})
	}
}

func TestForbiddenFieldFindsWhatChangesPriceOrModel(t *testing.T) {
	tool := func(kind string) string {
		return chatWith(`"tools":[{"type":"function","function":{"name":"f"}},{"type":` + kind + `}]`)
	}
	tests := map[string]struct{ reason, body, want string }{
		"None":            {"an honest request", chatWith(`"temperature":1,"reasoning":{"effort":"low"},"seed":1`), ""},
		"Models":          {"another model may answer", chatWith(`"models":["gpt-5"]`), "models"},
		"Route":           {"routing", chatWith(`"route":"fallback"`), "route"},
		"Provider":        {"another provider, another price", chatWith(`"provider":{"sort":"latency"}`), "provider"},
		"Plugins":         {"they cost", chatWith(`"plugins":[{"id":"web"}]`), "plugins"},
		"Transforms":      {"routing", chatWith(`"transforms":["middle-out"]`), "transforms"},
		"Search":          {"it costs", chatWith(`"web_search_options":{}`), "web_search_options"},
		"Prediction":      {"rejected tokens are billed", chatWith(`"prediction":{}`), "prediction"},
		"Preset":          {"it may name a model", chatWith(`"preset":"x"`), "preset"},
		"Tier":            {"priority costs more", chatWith(`"service_tier":"priority"`), "service_tier"},
		"TierAuto":        {"auto is what leaving it out is", chatWith(`"service_tier":"auto"`), ""},
		"TierDefault":     {"default is the price that we know", chatWith(`"service_tier":"default"`), ""},
		"ModalitiesText":  {"text is what leaving it out is", chatWith(`"modalities":[ "text" ]`), ""},
		"ModalitiesAudio": {"audio costs more", chatWith(`"modalities":["text","audio"]`), "modalities"},
		"Audio":           {"audio costs more", chatWith(`"audio":{"voice":"x"}`), "audio"},
		"Null":            {"null is what leaving it out is", chatWith(`"models":null,"provider":null,"prediction":null`), ""},
		"First":           {"the first is named", chatWith(`"route":1,"models":[1]`), "route"},
		"Escaped":         {"a key is what it decodes to", chatWith(`"\u006dodels":["x"]`), "models"},
		"FunctionTool":    {"the client runs it", tool(`"function"`), ""},
		"CustomTool":      {"the client runs it", tool(`"custom"`), ""},
		"ServerTool":      {"the upstream runs it, for a fee", tool(`"openrouter:web_search"`), "tools[1].type"},
		"OddTool":         {"not known to be the client's", tool(`{}`), "tools[1].type"},
		"CacheMark":       {"writing a cache costs more than the prompt", chatWith(`"cache_control":{"type":"ephemeral"}`), "cache_control"},
		"CacheMarkPart": {
			"the same in a part", chatOf(`{"content":[{"type":"text","text":"a","cache_control":{}}]}`), "messages[0].content[0].cache_control",
		},
		"CacheMarkMessage":  {"the same in a message", chatOf(`{},{"cache_control":{}}`), "messages[1].cache_control"},
		"CacheMarkTool":     {"the same in a tool", chatWith(`"tools":[{"type":"function","cache_control":{}}]`), "tools[0].cache_control"},
		"CacheMarkNull":     {"null is no mark", chatOf(`{"content":[{"type":"text","cache_control":null}],"cache_control":null}`), ""},
		"CacheWordInPrompt": {"text is no mark", chatOf(`{"content":"cache_control"}`), ""},
		"Template":          {"it can repeat the prompt", chatWith(`"chat_template":"x"`), "chat_template"},
		"BestOf":            {"it multiplies", chatWith(`"best_of":5`), "best_of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, bad := ForbiddenField(mustParse(t, test.body), false)
			if got != test.want || bad != (test.want != "") {
				t.Errorf("%s: %s: got %q, %v, want %q", test.reason, test.body, got, bad, test.want)
			}
		})
	}
}

func TestUnboundedInputIsInputThatIsNoText(t *testing.T) {
	tests := map[string]struct{ reason, messages, want string }{
		"Text":      {"bytes bound text", `{"content":"x"}`, ""},
		"Null":      {"nothing", `{"content":null}`, ""},
		"TextParts": {"bytes bound text", `{"content":[{"type":"text","text":"x"},"y",{"type":"refusal"}]}`, ""},
		"Image": {
			"an image's price is not in its URL", `{"content":"x"},{"content":[{"type":"text"},{"type":"image_url","image_url":{"url":"x"}}]}`,
			"messages[1].content[1]",
		},
		"Audio":          {"nor is a sound's", `{"content":[{"type":"input_audio"}]}`, "messages[0].content[0]"},
		"File":           {"nor is a file's", `{"content":[{"type":"file"}]}`, "messages[0].content[0]"},
		"Video":          {"nor is a film's", `{"content":[{"type":"video_url"}]}`, "messages[0].content[0]"},
		"Unknown":        {"what is not known may be anything", `{"content":[{"type":"hologram"}]}`, "messages[0].content[0]"},
		"EscapedType":    {"a type is what it decodes to", `{"content":[{"type":"\u0074ext"}]}`, ""},
		"NoType":         {"vLLM guesses the type from the keys", `{"content":[{"image_url":"x"}]}`, "messages[0].content[0]"},
		"OddType":        {"no type", `{"content":[{"type":1}]}`, "messages[0].content[0]"},
		"OddPart":        {"no part", `{"content":[7]}`, "messages[0].content[0]"},
		"OddContent":     {"no content", `{"content":{"image_url":"x"}}`, "messages[0].content"},
		"EarlierAudio":   {"an assistant's audio by its id", `{"role":"assistant","audio":{"id":"x"}}`, "messages[0].audio"},
		"NoEarlierAudio": {"null as SDKs send it", `{"role":"assistant","audio":null}`, ""},
		"EarlierImages":  {"OpenRouter's pictures of an assistant", `{"role":"assistant","images":[{}]}`, "messages[0].images"},
		"First":          {"the first is named", `{"content":[{"type":"a"},{"type":"b"}]},{"audio":1}`, "messages[0].content[0]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := mustParse(t, chatOf(test.messages)).UnboundedInput; got != test.want {
				t.Errorf("%s: %s: got %q, want %q", test.reason, test.messages, got, test.want)
			}
		})
	}
}
