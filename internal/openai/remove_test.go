package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// renderEdited returns the object with some values replaced, some keys renamed, and some members left out, each with the comma before it
// or, where no member is left before it, the one behind it.
func (t text) renderEdited(values, names map[string]string, removed map[string]bool, added ...string) string {
	var out strings.Builder
	out.WriteString(t.before + "{" + t.open)
	bare := true
	for i, p := range t.pieces {
		if removed[p.name] {
			continue
		}
		if !bare {
			out.WriteString(t.separators[i])
		}
		bare = false
		value, key := p.value, p.key
		if replaced, is := values[p.name]; is {
			value = replaced
		}
		if renamed, is := names[p.name]; is {
			key = string(quote(renamed))
		}
		out.WriteString(key + p.beforeColon + ":" + p.afterColon + value)
	}
	out.WriteString(t.close)
	for _, member := range added {
		if !bare {
			out.WriteString(",")
		}
		bare = false
		out.WriteString(member)
	}
	return out.String() + "}" + t.after
}

func TestEditsOfAnyKindTouchNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := drawObject(t, nil, 6)
		document := parseObject([]byte(object.render(nil)))
		values, names, removed, added := map[string]string{}, map[string]string{}, map[string]bool{}, []string(nil)
		for _, p := range object.pieces {
			m := document.find(p.name)
			switch rapid.IntRange(0, 4).Draw(t, "edit") {
			case 0:
				removed[p.name], m.removed = true, true
			case 1:
				values[p.name] = drawValue(t, 2)
				m.value = []byte(values[p.name])
			case 2:
				names[p.name] = "re\"named" + p.name
				m.name, m.renamed = names[p.name], true
			}
		}
		for _, name := range []string{"first", "second"}[:rapid.IntRange(0, 2).Draw(t, "added")] {
			document.set(name, []byte("1"))
			added = append(added, `"`+name+`":1`)
		}
		want := object.renderEdited(values, names, removed, added...)
		if diff := cmp.Diff(want, string(document.bytes())); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if !json.Valid(document.bytes()) {
			t.Fatalf("no JSON any more: %s", document.bytes())
		}
	})
}

func TestAMemberThatIsRemovedCanBeSetAnew(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`:                 `{"a":2}`,
		`{ "a":1 }`:               `{  "a":2}`,
		`{"a":1,"b":0}`:           `{"b":0,"a":2}`,
		`{"b":0 , "a":1 , "c":0}`: `{"b":0 , "c":0,"a":2}`,
	} {
		document := parseObject([]byte(body))
		document.find("a").removed = true
		if document.find("a") != nil || document.get("a") != nil {
			t.Error("what is removed is found")
		}
		document.set("a", []byte("2"))
		if got := string(document.bytes()); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

// drawKnown draws a request with parameters of the table, in odd clothes, and others.
func drawKnown(t *rapid.T) text {
	numbers := rapid.SampledFrom([]string{"0", "1", "1.0", "0.50", "1e0", "10E-1", "0.70000000000000000001"})
	members := map[string]string{
		"model": drawString(t, "m"), "messages": `[{"role":"user","content":` + drawString(t, drawText(t)) + `}]`,
	}
	for name, value := range map[string]string{
		"temperature": numbers.Draw(t, "temperature"), "top_p": numbers.Draw(t, "top_p"), "top_k": "5", "stop": `[ "a" ]`, "seed": "12345678901234567",
		"max_tokens": rapid.SampledFrom([]string{"5", "5000", "null"}).Draw(t, "limit"), "verbosity": drawString(t, "low"),
		"logit_bias": `{"1":` + numbers.Draw(t, "bias") + `}`, "tools": `[{"type":"function"}]`, "max_completion_tokens": "70",
	} {
		if rapid.Bool().Draw(t, name) {
			members[name] = value
		}
	}
	return drawObject(t, members, 4)
}

func TestTheRulesOfARouteTouchNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chat := drawKnown(t)
		c := parsed(t, chat.render(nil))
		rules, err := NewRules(Policy{
			Provider: OpenRouter, Supported: page, DropUnsupported: true, MaxCompletionTokens: 100,
			Defaults: settings(`"seed":1`), Overrides: settings(`"top_p":0.10`),
		})
		if err != nil {
			t.Fatal(err)
		}
		if problem := c.Apply(rules); problem != nil {
			t.Fatal(problem)
		}
		values := map[string]string{"top_p": "0.10"}
		var added []string
		if !has(chat, "top_p") {
			added = append(added, `"top_p":0.10`)
		}
		if !has(chat, "seed") {
			added = append(added, `"seed":1`)
		}
		for _, p := range chat.pieces {
			if p.value == "5000" {
				values[p.name] = "100"
			}
		}
		want := chat.renderEdited(values, nil, map[string]bool{"top_k": true, "verbosity": true, "logit_bias": true}, added...)
		if diff := cmp.Diff(want, string(c.Body())); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if again := parsed(t, want); again.PromptBytes != c.PromptBytes || again.tools != c.tools {
			t.Fatalf("PromptBytes is %d, %d when read anew", c.PromptBytes, again.PromptBytes)
		}
	})
}
