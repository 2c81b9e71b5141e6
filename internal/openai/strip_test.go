package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// only reads a stream that is one event.
func only(t testing.TB, stream string) Event {
	t.Helper()
	events, err := readAll(strings.NewReader(stream))
	if err != nil || len(events) != 1 {
		t.Fatalf("%q is %d events, error %v", stream, len(events), err)
	}
	return events[0]
}

func TestStripUsage(t *testing.T) {
	const chunk = `"choices":[{"index":0,"delta":{"content":"usage"}}]`
	tests := map[string]struct {
		reason, event string
		want          string // empty if the event is to be dropped
	}{
		"Content":     {"nothing to strip", "data: {" + chunk + "}\n\n", "data: {" + chunk + "}\n\n"},
		"UsageChunk":  {"OpenAI's last chunk", `data: {"id":"x","choices":[],"usage":{"prompt_tokens":1}}` + "\n\n", ""},
		"SpacedChunk": {"the same in odd clothes", `data: { "choices" : [ ] , "usage" : { } }` + "\n\n", ""},
		"NoChoices":   {"the same without choices", `data: {"usage":{"prompt_tokens":1}}` + "\n\n", ""},
		"NullChoices": {"the same with null choices", `data: {"choices":null,"usage":{"prompt_tokens":1}}` + "\n\n", ""},
		"Null": {
			"OpenAI's other chunks, if asked for usage", "data: {" + chunk + `,"usage":null}` + "\n\n", "data: {" + chunk + "}\n\n",
		},
		"NullFirst":   {"the comma behind goes with it", `data: {"usage":null,` + chunk + "}\n\n", "data: {" + chunk + "}\n\n"},
		"NullBetween": {"the comma before goes with it", `data: {"id":1,"usage":null,` + chunk + "}\n\n", `data: {"id":1,` + chunk + "}\n\n"},
		"NullEmpty":   {"Azure's first chunk is no usage chunk", `data: {"choices":[],"usage":null}` + "\n\n", `data: {"choices":[]}` + "\n\n"},
		"Alone":       {"null alone is no usage chunk", `data: { "usage" : null }` + "\n\n", "data: {  }\n\n"},
		"WithContent": {
			"vLLM's usage on every chunk", "data: {" + chunk + `,"usage":{"a":[1,"}"]},"z":1}` + "\n\n", "data: {" + chunk + `,"z":1}` + "\n\n",
		},
		"EmptyDelta": {
			"OpenRouter's earlier last chunk has a choice", `data: {"choices":[{}],"usage":{"a":1}}` + "\n\n", `data: {"choices":[{}]}` + "\n\n",
		},
		"Spaces":  {"other spaces stay", "data: { \"a\" : 1 , \"usage\" : 0 , \"b\" : 2 }\n\n", "data: { \"a\" : 1 , \"b\" : 2 }\n\n"},
		"Escaped": {"a key is what it decodes to", `data: {"a":1,"us\u0061ge":null}` + "\n\n", `data: {"a":1}` + "\n\n"},
		"Inner": {
			"only the chunk's own usage is the usage", `data: {"choices":[{"usage":1}],"x":{"usage":2}}` + "\n\n",
			`data: {"choices":[{"usage":1}],"x":{"usage":2}}` + "\n\n",
		},
		"Twice":      {"all of them go", `data: {"usage":1,"usage":2,"a":1,"usage":3,"usage":4}` + "\n\n", `data: {"a":1}` + "\n\n"},
		"TwiceAlone": {"all of them go", `data: {"usage":1,"usage":2}` + "\n\n", "data: {}\n\n"},
		"Comments": {
			"comments and fields stay", ": hi\nid: 7\ndata: {\"a\":1,\"usage\":null}\nretry: 1\n\n", ": hi\nid: 7\ndata: {\"a\":1}\nretry: 1\n\n",
		},
		"CommentOnly": {"a comment is no chunk", ": usage\n\n", ": usage\n\n"},
		"Done":        {"the end stays", "data: [DONE]\n\n", "data: [DONE]\n\n"},
		"LineEnds":    {"line ends stay", "data: {\"a\":1,\"usage\":null}\r\n\r\n", "data: {\"a\":1}\r\n\r\n"},
		"Mark":        {"a byte order mark stays", "\ufeffdata: {\"a\":1,\"usage\":null}\n\n", "\ufeffdata: {\"a\":1}\n\n"},
		"ManyLines": {
			"a usage over several lines goes from each", "data: {\"a\":1,\ndata:\"usage\":\r\ndata: null,\"b\":2}\n\n",
			"data: {\"a\":1\ndata:\r\ndata: ,\"b\":2}\n\n",
		},
		"Error": {
			"an error is not dropped", `data: {"choices":[],"error":{"code":1},"usage":{"a":1}}` + "\n\n",
			`data: {"choices":[],"error":{"code":1}}` + "\n\n",
		},
		"NoJSON":        {"what is no JSON stays", "data: {\"a\":1,\"usage\":nul}\n\n", "data: {\"a\":1,\"usage\":nul}\n\n"},
		"NoObject":      {"what is no object stays", "data: [\"usage\"]\n\n", "data: [\"usage\"]\n\n"},
		"NoBlankLine":   {"a last event without its blank line", `data: {"a":1,"usage":null}`, `data: {"a":1}`},
		"UsageIsString": {"whatever it is", `data: {"choices":[],"usage":"x"}` + "\n\n", `data: {"choices":[]}` + "\n\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			event := only(t, test.event)
			out, drop := StripUsage(event)
			if drop != (test.want == "") || string(out) != test.want {
				t.Errorf("%s: got %q, drop %v, want %q", test.reason, out, drop, test.want)
			}
			if string(event.Raw) != test.event {
				t.Errorf("the event itself became %q", event.Raw)
			}
		})
	}
}

func TestStripUsageTakesTheUsageAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunk := drawObject(t, map[string]string{"choices": `[{"delta":{}}]`}, 4)
		chunk.pieces = append(chunk.pieces, piece{name: "usage", key: drawString(t, "usage"), value: drawValue(t, 2)})
		chunk.separators = append(chunk.separators, drawSpace(t)+","+drawSpace(t))
		at := rapid.IntRange(0, len(chunk.pieces)-1).Draw(t, "at")
		last := len(chunk.pieces) - 1
		chunk.pieces[at], chunk.pieces[last] = chunk.pieces[last], chunk.pieces[at]
		data := chunk.render(nil)

		// The object may have line feeds between its tokens: then it comes on several data lines.
		end := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "end")
		lines := strings.Split(strings.ReplaceAll(data, "\r\n", "\n"), "\n")
		out, drop := StripUsage(drawnEvent(t, "data: "+strings.Join(lines, end+"data: ")+end+end))
		if drop {
			t.Fatalf("%q is dropped", data)
		}
		want := membersOf(t, []byte(data))
		delete(want, "usage")
		if diff := cmp.Diff(want, membersOf(t, drawnEvent(t, string(out)).Data)); diff != "" {
			t.Fatalf("%q became %q (-want +got):\n%s", data, out, diff)
		}
	})
}

// drawnEvent reads a stream that is one event.
func drawnEvent(t *rapid.T, stream string) Event {
	events, err := readAll(strings.NewReader(stream))
	if err != nil || len(events) != 1 {
		t.Fatalf("%q is %d events, error %v", stream, len(events), err)
	}
	return events[0]
}

// membersOf returns an object's members with their values as they are written, except for line ends.
func membersOf(t *rapid.T, data []byte) map[string]string {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	members := map[string]string{}
	for name, value := range raw {
		members[name] = strings.ReplaceAll(string(value), "\r\n", "\n")
	}
	return members
}

func FuzzStripUsage(f *testing.F) {
	f.Add("data: {\"choices\":[],\"usage\":{}}\n\n")
	f.Add("data: {\"a\":1,\ndata:\"usage\":\r\ndata: null,\"b\":2}\n\n: x\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		events, err := readAll(strings.NewReader(stream))
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			out, drop := StripUsage(event)
			if drop || len(event.Data) == 0 {
				continue
			}
			if !isSubsequence(out, event.Raw) {
				t.Errorf("%q has bytes that %q has not", out, event.Raw)
			}
			stripped, err := readAll(strings.NewReader(string(out)))
			if err != nil || len(stripped) != 1 {
				t.Fatalf("%q became %d events", event.Raw, len(stripped))
			}
			var object map[string]any
			if json.Unmarshal(event.Data, &object) != nil || object == nil {
				continue
			}
			delete(object, "usage")
			var left map[string]any
			if err := json.Unmarshal(stripped[0].Data, &left); err != nil {
				t.Fatalf("%q became %q: %v", event.Raw, out, err)
			}
			if diff := cmp.Diff(object, left); diff != "" {
				t.Errorf("%q became %q (-want +got):\n%s", event.Raw, out, diff)
			}
		}
	})
}

func isSubsequence(part, whole []byte) bool {
	for _, c := range whole {
		if len(part) > 0 && part[0] == c {
			part = part[1:]
		}
	}
	return len(part) == 0
}
