package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// conversation is what a client means, apart from how it writes it down.
type conversation struct {
	messages []message
	tools    []any
	format   any
}

type message struct {
	role, text string
	parts      []string
	calls      []any
}

// worstTokens counts the tokens that the worst of tokenizers makes of text: one for each byte, but a run of spaces is one, as it is in
// every vocabulary that was made with code in mind.
func worstTokens(text string) int64 {
	var count int64
	for i := range len(text) {
		if text[i] != ' ' || i == 0 || text[i-1] != ' ' {
			count++
		}
	}
	return count
}

// writer is how a template writes JSON.
type writer struct {
	name  string
	write func(v any) string
}

func marshal(v any, indent string, html bool) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(html)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// asciiOnly escapes as Python's json.dumps does: everything outside of printable ASCII.
func asciiOnly(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		case r >= 0x7f:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// spaced writes ", " and ": " as Python's json.dumps does: an indented text with its line feeds and indents taken out.
func spaced(v any) string {
	lines := strings.Split(marshal(v, " ", false), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, " ")
		if strings.HasSuffix(line, ",") {
			lines[i] += " "
		}
	}
	return strings.Join(lines, "")
}

var writers = []writer{
	{"compact", func(v any) string { return marshal(v, "", false) }},
	{"Python", func(v any) string { return asciiOnly(spaced(v)) }},
	{"Hugging Face", spaced},
	{"Llama 3.1, indented", func(v any) string { return marshal(v, "    ", false) }},
	{"Go, for HTML", func(v any) string { return marshal(v, "", true) }},
	{"Jinja, for HTML", func(v any) string { return strings.ReplaceAll(asciiOnly(marshal(v, "", true)), "'", `\u0027`) }},
}

// promptTokens counts the tokens of a prompt in ChatML, as the worst of tokenizers makes them, where tools and the answers of tools are
// written as JSON, in normal form C. It has the largest preamble known, that of Claude 3 Opus for tools, and gpt-oss's for every request.
func (c conversation) promptTokens(w writer) int64 {
	total := int64(100)
	for _, m := range c.messages {
		text := m.text
		if m.parts != nil {
			text = strings.Join(m.parts, "\n")
		}
		if m.role == "tool" {
			text = w.write(map[string]any{"content": text})
		}
		total += 4 + worstTokens(norm.NFC.String(m.role+"\n"+text+"\n"))
		for _, call := range m.calls {
			total += 2 + worstTokens(norm.NFC.String(w.write(call)))
		}
	}
	if c.tools != nil || c.format != nil {
		total += 530
	}
	for _, tool := range c.tools {
		total += 2 + worstTokens(norm.NFC.String(w.write(tool)))
	}
	if c.format != nil {
		total += worstTokens(norm.NFC.String(w.write(c.format)))
	}
	return total
}

func drawConversation(t *rapid.T) conversation {
	var c conversation
	for range rapid.IntRange(1, 6).Draw(t, "messages") {
		m := message{role: rapid.SampledFrom([]string{"system", "user", "assistant", "tool"}).Draw(t, "role"), text: drawLongText(t)}
		if rapid.IntRange(0, 3).Draw(t, "parts") == 0 {
			m.parts = []string{m.text, drawLongText(t)}
		}
		if m.role == "assistant" && rapid.Bool().Draw(t, "calls") {
			m.calls = append(m.calls, drawJSON(t, 2))
		}
		c.messages = append(c.messages, m)
	}
	if rapid.Bool().Draw(t, "tools") {
		for range rapid.IntRange(1, 8).Draw(t, "count") {
			c.tools = append(c.tools, map[string]any{"type": "function", "function": drawJSON(t, 4)})
		}
	}
	if rapid.Bool().Draw(t, "format") {
		c.format = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "n", "schema": drawJSON(t, 4)}}
	}
	return c
}

// drawLongText draws a text that is long enough to outweigh the overheads: what it repeats could be an attacker's choice.
func drawLongText(t *rapid.T) string {
	return strings.Repeat(drawText(t), rapid.SampledFrom([]int{1, 1, 1, 150}).Draw(t, "repeat"))
}

func drawJSON(t *rapid.T, depth int) any {
	object := map[string]any{}
	for i := range rapid.IntRange(0, 4).Draw(t, "members") {
		key := fmt.Sprintf("%s%d", drawText(t), i)
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0:
			object[key] = drawLongText(t)
		case kind == 1:
			object[key] = rapid.SampledFrom([]any{nil, true, 1, json.Number("1e20"), json.Number("1E15"), json.Number("0.5")}).Draw(t, "scalar")
		case kind == 2:
			element := rapid.SampledFrom([]any{"", []any{}, json.Number("1e20"), nil}).Draw(t, "element")
			object[key] = slices.Repeat([]any{element}, rapid.SampledFrom([]int{0, 1, 250}).Draw(t, "elements"))
		case depth > 0:
			object[key] = []any{drawJSON(t, depth-1), drawJSON(t, depth-1)}
		}
	}
	return object
}

// body writes the conversation down as a client does.
func (c conversation) body(ascii bool) string {
	messages := make([]any, 0, len(c.messages))
	for _, m := range c.messages {
		object := map[string]any{"role": m.role, "content": m.text}
		if m.parts != nil {
			object["content"] = []any{map[string]any{"type": "text", "text": m.parts[0]}, m.parts[1]}
		}
		if m.calls != nil {
			object["tool_calls"] = m.calls
		}
		messages = append(messages, object)
	}
	request := map[string]any{"model": "m", "messages": messages}
	if c.tools != nil {
		request["tools"] = c.tools
	}
	if c.format != nil {
		request["response_format"] = c.format
	}
	text := marshal(request, "", false)
	if ascii {
		text = asciiOnly(text)
	}
	return text
}

// numbersWrittenOut is the conversation with its numbers as a reader and writer of floating-point numbers has them.
func numbersWrittenOut(v any) any {
	var out any
	if err := json.Unmarshal([]byte(marshal(v, "", false)), &out); err != nil {
		panic(err)
	}
	return out
}

func TestNoTemplateMakesMoreOfARequestThanItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConversation(t)
		bodies := []string{c.body(false), c.body(true)}
		for i := range c.tools {
			c.tools[i] = numbersWrittenOut(c.tools[i])
		}
		if c.format != nil {
			c.format = numbersWrittenOut(c.format)
		}
		for _, body := range bodies {
			bound := PromptTokensBound(parsed(t, body), 0)
			for _, w := range writers {
				if tokens := c.promptTokens(w); tokens > bound {
					t.Fatalf("%d tokens written the way of %s, but the bound is %d:\n%s", tokens, w.name, bound, body)
				}
			}
		}
	})
}

func TestPlainTextIsBoundedByItsBytes(t *testing.T) {
	tests := map[string]struct {
		reason, members string
		want            int64
	}{
		"ASCII":         {"a byte each", `"content":"abcd"`, 4},
		"Escaped":       {"an escape is what it stands for", `"content":"a\n\"\u0062"`, 4},
		"UTF8":          {"a byte each", `"content":"é漢😀"`, 9},
		"EscapedUTF8":   {"an escape is what it stands for", `"content":"\u00e9\u6f22\ud83d\ude00"`, 9},
		"Expanding":     {"normal form C makes two characters of it", `"content":"\u0958"`, 9},
		"ExpandingText": {"the same unescaped", "\"content\":\"\u0958\"", 9},
		"Parts":         {"a server may write the list out", `"content":[{"type":"text","text":"ab"}]`, 29 + partOverhead},
		"Null":          {"null may be written out", `"content":null`, 4},
		"Name":          {"a name is in the prompt", `"content":"ab","name":"xyz"`, 5},
		"OtherText":     {"so is other text, in normal form C too", `"content":"ab","reasoning_content":"\u0958"`, 11},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, chatOf(`{"role":"user",`+test.members+`}`))
			if got := c.PromptBytes - int64(len("user")); got != test.want {
				t.Errorf("%s: %s: got %d bytes, want %d", test.reason, test.members, got, test.want)
			}
			if want := c.PromptBytes + requestOverhead + messageOverhead; PromptTokensBound(c, 0) != want {
				t.Errorf("the bound is %d tokens, want %d", PromptTokensBound(c, 0), want)
			}
		})
	}
}

func TestTheBoundIsAtMostTheContext(t *testing.T) {
	long := chatOf(`{"role":"user","content":"` + strings.Repeat("x", 5000) + `"}`)
	tests := map[string]struct {
		reason, body string
		context      int64
		want         int64
	}{
		"Short":     {"the bytes bound it", chatOf(`{"role":"user","content":"abc"}`), 65536, 7 + messageOverhead + requestOverhead},
		"Long":      {"no prompt exceeds the context", long, 4096, 4096},
		"Image":     {"only the context bounds an image", chatOf(`{"content":[{"type":"image_url"}]}`), 65536, 65536},
		"NoContext": {"a context that is not known bounds nothing", long, 0, 5004 + messageOverhead + requestOverhead},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := PromptTokensBound(mustParse(t, test.body), test.context); got != test.want {
				t.Errorf("%s: got %d, want %d", test.reason, got, test.want)
			}
		})
	}
}

func TestOnlyWhatIsKnownToBeNoPromptIsNotCounted(t *testing.T) {
	base := mustParse(t, chatWith("")).PromptBytes
	values := map[string]string{"tools": "[{}]", "functions": "[{}]", "n": "100", "max_tokens": "100", "max_completion_tokens": "100"}
	for _, known := range Chat.parameters.list {
		name, use := known.name, known.role
		if name == "messages" || name == "model" {
			continue
		}
		value, special := values[name]
		if !special {
			value = "null"
		}
		counted := mustParse(t, chatWith(`"`+name+`":`+value)).PromptBytes > base
		if counted == (use == inert) {
			t.Errorf("%s: counted is %v", name, counted)
		}
	}
	if got := mustParse(t, chatWith(`"documents":["abcdef"]`)).PromptBytes - base; got < int64(len(`["abcdef"]`)) {
		t.Errorf("a parameter that is not known counts as %d bytes only", got)
	}
}

func TestDecodedLengthIsTheLengthOfTheDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := drawText(t)
		s := &scanner{data: []byte(drawString(t, value))}
		token := s.text()
		if s.err != nil || string(token.decode()) != value || token.decoded != len(value) || !utf8.Valid(token.decode()) {
			t.Fatalf("%s decodes to %q of %d bytes, want %q", s.data, token.decode(), token.decoded, value)
		}
	})
}
