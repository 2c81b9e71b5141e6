package upstream

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTokens(t *testing.T) {
	cases := map[string]struct {
		reason, text string
		want         []string
	}{
		"Words":  {"a word begins with its space", "The quantum leap", []string{"The", " qua", "ntum", " lea", "p"}},
		"Marks":  {"each mark is a token", `{"a":1}!`, []string{"{", `"`, "a", `"`, ":", "1", "}", "!"}},
		"Spaces": {"white space runs together", "a\n\n\tb", []string{"a", "\n\n\t", "b"}},
		"Wide":   {"no character is split", "é日本🙂", []string{"é", "日", "本", "🙂"}},
		"Empty":  {"nothing is nothing", "", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, slices.Collect(tokens(tc.text))); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

func TestTokensAreNeverMoreThanBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "bytes")
		text := rapid.OneOf(rapid.String(), rapid.Just(string(raw)), rapid.StringMatching(`[a-z ]{0,300}`)).Draw(rt, "text")
		pieces := slices.Collect(tokens(text))
		if strings.Join(pieces, "") != text {
			rt.Fatalf("%q was cut into %q", text, pieces)
		}
		if CountTokens(text) != len(pieces) || len(pieces) > len(text) {
			rt.Fatalf("%d tokens, counted %d, in %d bytes", len(pieces), CountTokens(text), len(text))
		}
		for n, piece := range pieces {
			if utf8.ValidString(text) && !utf8.ValidString(piece) {
				rt.Fatalf("%q is part of a character", piece)
			}
			// What was cut off by a limit counts the same when it comes back as a message.
			if got := CountTokens(strings.Join(pieces[:n], "")); got != n {
				rt.Fatalf("%d tokens of %q count as %d", n, text, got)
			}
		}
	})
}

// TestPromptTokensStayWithinTheBound is the bound that a proxy reserves by: the bytes of what it sends, and the overheads.
func TestPromptTokensStayWithinTheBound(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[!-/ ]{0,40}`), rapid.StringMatching(`[a-z ]{0,300}`))
	rapid.Check(t, func(rt *rapid.T) {
		var messages []map[string]any
		sum := 0
		for range rapid.IntRange(1, 5).Draw(rt, "messages") {
			content, name := text.Draw(rt, "content"), rapid.StringMatching(`[a-z]{0,9}`).Draw(rt, "name")
			messages = append(messages, map[string]any{"role": "user", "content": content, "name": name})
			sum += len(content) + len(name)
		}
		request := map[string]any{"model": mixtral, "messages": messages}
		if rapid.Bool().Draw(rt, "tools") {
			function := map[string]any{"name": "f", "description": text.Draw(rt, "description")}
			tools := []map[string]any{{"type": "function", "function": function}}
			request["tools"] = tools
			sum += len(marshal(tools))
		}
		if rapid.Bool().Draw(rt, "schema") {
			schema := map[string]any{"type": "object", "description": text.Draw(rt, "schema text")}
			request["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "s", "schema": schema}}
			sum += len(marshal(schema))
		}
		raw, err := json.MarshalIndent(request, "", "  ")
		if err != nil {
			rt.Fatal(err)
		}
		req, err := chatAPI{}.parse(nil, raw)
		if err != nil {
			rt.Fatal(err)
		}
		got := req.promptTokens()
		if bound := len(raw) + MaxTokensPerMessage*len(messages) + MaxTokensPerRequest; got > bound {
			rt.Fatalf("%d tokens, more than %d", got, bound)
		}
		if unescaped := sum + MaxTokensPerMessage*len(messages) + MaxTokensPerRequest; got > unescaped+escapes(raw) {
			rt.Fatalf("%d tokens, more than the %d of the text itself", got, unescaped)
		}
	})
}

// escapes is how many bytes the escapes of HTML in an encoded text add to what marshal writes.
func escapes(raw []byte) int { return strings.Count(string(raw), `\u00`) * 5 }

func TestRawBytesThatAreNoTextStayWithinTheBound(t *testing.T) {
	raw := []byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("\xff\xc0", 50) + `"}]}`)
	req, err := chatAPI{}.parse(nil, raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := CountTokens(req.prompts[0].messages[0].text); got > 100 {
		t.Errorf("100 bytes that are no UTF-8 became %d tokens", got)
	}
}

func TestToolsAndSchemasAreBilledAsPrompt(t *testing.T) {
	w := start(t, Options{})
	plain := w.chat(t, body("a")).completion(t).Usage.Prompt
	tools := w.chat(t, body("a", weatherTools)).completion(t).Usage.Prompt
	schema := w.chat(t, body("a", personFormat)).completion(t).Usage.Prompt
	if tools <= plain+20 || schema <= plain+20 {
		t.Errorf("plain %d, with tools %d, with a schema %d prompt tokens", plain, tools, schema)
	}
}
