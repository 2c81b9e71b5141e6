package upstream

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (w world) complete(t *testing.T, prompt string, members ...string) answer {
	t.Helper()
	all := append([]string{asMixtral, `"prompt":` + prompt}, members...)
	return w.do(t, http.MethodPost, "/v1/completions", "{"+strings.Join(all, ",")+"}")
}

type wireText struct {
	Index    int     `json:"index"`
	Text     string  `json:"text"`
	Finish   *string `json:"finish_reason"`
	Logprobs *struct {
		Tokens []string             `json:"tokens"`
		Each   []float64            `json:"token_logprobs"`
		Top    []map[string]float64 `json:"top_logprobs"`
		Offset []int                `json:"text_offset"`
	} `json:"logprobs"`
}

type wireTexts struct {
	Object  string     `json:"object"`
	Choices []wireText `json:"choices"`
	Usage   *wireUsage `json:"usage"`
	Error   *wireError `json:"error"`
}

func TestCompletionsBillEachPromptAndEachChoiceMade(t *testing.T) {
	const teapot = `"What is a teapot?"`
	cases := map[string]struct {
		reason, prompt, members string
		promptTokens            int
		choices, completion     int
	}{
		"One":       {"16 tokens unless asked otherwise; the mark of the begin is a token", teapot, `"seed":1`, 7, 1, 16},
		"Limit":     {"as many as asked for", teapot, `"max_tokens":40`, 7, 1, 40},
		"Null":      {"null is the default", teapot, `"max_tokens":null`, 7, 1, 16},
		"Many":      {"each text is a prompt", `["What is a teapot?","a"]`, `"n":2`, 9, 4, 64},
		"Tokens":    {"numbers are tokens", `[1,2,3]`, `"n":3`, 3, 3, 48},
		"ManyLists": {"lists of numbers are prompts", `[[1,2,3],[4]]`, `"max_tokens":5`, 4, 2, 10},
		"BestOf":    {"what is made is billed, not only what is answered", teapot, `"best_of":5,"n":2,"max_tokens":10`, 7, 2, 50},
		"BestOfAll": {"for each of the prompts", `["a","b"]`, `"best_of":3,"max_tokens":10`, 4, 2, 60},
		"Echo":      {"an echo costs nothing", teapot, `"echo":true`, 7, 1, 16},
		"Suffix":    {"a suffix is read", teapot, `"suffix":" the end"`, 9, 1, 16},
		"Empty":     {"nothing but the mark of its begin", `""`, `"user":"x"`, 1, 1, 16},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.complete(t, tc.prompt, tc.members)
			got := decode[wireTexts](t, a.raw)
			if a.status != 200 || got.Object != "text_completion" || len(got.Choices) != tc.choices {
				t.Fatalf("%s: got %d %s", tc.reason, a.status, a.raw)
			}
			r := w.onlyRecord(t)
			want := [...]int{tc.promptTokens, tc.completion}
			if said := [...]int{got.Usage.Prompt, got.Usage.Completion}; said != want {
				t.Errorf("%s: usage says %v, want %v", tc.reason, said, want)
			}
			price := int64(tc.promptTokens)*2000 + int64(tc.completion)*6000
			if r.CostNanoUSD != price || exactNano(t, got.Usage.Cost) != price || r.Endpoint != Completions {
				t.Errorf("%s: want %d, have %+v", tc.reason, price, r)
			}
			for i, c := range got.Choices {
				if c.Index != i || c.Finish == nil || *c.Finish != "length" {
					t.Errorf("%s: choice %d is %+v", tc.reason, i, c)
				}
			}
		})
	}
}

func TestCompletionsStreamWhatTheyAnswer(t *testing.T) {
	w := start(t, Options{TokensPerChunk: 3})
	for _, members := range []string{`"seed":1`, `"seed":1,"n":3`, `"seed":1,"echo":true,"suffix":"!"`, `"seed":1,"stop":"tea"`} {
		whole := decode[wireTexts](t, w.complete(t, `["What is a teapot?","Why?"]`, members).raw)
		a := w.complete(t, `["What is a teapot?","Why?"]`, members, streaming)
		e := a.events(t)
		texts, ends := map[int]string{}, map[int]int{}
		var last *wireUsage
		for _, payload := range e.payloads {
			chunk := decode[wireTexts](t, []byte(payload))
			for _, c := range chunk.Choices {
				texts[c.Index] += c.Text
				if c.Finish != nil {
					ends[c.Index]++
				}
			}
			last = chunk.Usage
		}
		for _, c := range whole.Choices {
			if texts[c.Index] != c.Text || ends[c.Index] != 1 {
				t.Errorf("%s: choice %d is %q and ends %d times, want %q", members, c.Index, texts[c.Index], ends[c.Index], c.Text)
			}
		}
		if diff := cmp.Diff(whole.Usage, last); diff != "" || !e.done {
			t.Errorf("%s: done %v, %s", members, e.done, diff)
		}
	}
}

func TestCompletionsEchoAndLogprobs(t *testing.T) {
	w := start(t, Options{})
	got := decode[wireTexts](t, w.complete(t, `"What is"`, `"echo":true,"logprobs":2,"max_tokens":4`).raw).Choices[0]
	if !strings.HasPrefix(got.Text, "What is") || got.Text[len("What is"):] != strings.Join(got.Logprobs.Tokens, "") {
		t.Errorf("%q of %q", got.Text, got.Logprobs.Tokens)
	}
	if p := got.Logprobs; len(p.Tokens) != 4 || len(p.Each) != 4 || len(p.Top[3]) != 2 || p.Offset[0] != len("What is") {
		t.Errorf("got %+v", p)
	}
	if plain := decode[wireTexts](t, w.complete(t, `"a"`, `"max_tokens":4`).raw).Choices[0]; plain.Logprobs != nil {
		t.Errorf("probabilities that nobody asked for: %+v", plain)
	}
}

func TestCompletionsRefuse(t *testing.T) {
	cases := map[string]struct{ reason, prompt, members, message string }{
		"None":         {"no prompt", `null`, `"n":1`, "prompt"},
		"NoTexts":      {"no texts", `[]`, `"n":1`, "between 1 and 2048 texts"},
		"Mixed":        {"texts or tokens", `["a",1]`, `"n":1`, "prompt"},
		"EmptyTokens":  {"a prompt of no tokens", `[[]]`, `"n":1`, "prompt"},
		"BestOf":       {"fewer than are answered", `"a"`, `"best_of":2,"n":3`, "best_of"},
		"BestOfStream": {"the best is not known before the end", `"a"`, `"best_of":2,"stream":true`, "cannot be streamed"},
		"BestOfMany":   {"at most 20", `"a"`, `"best_of":21`, "best_of"},
		"Logprobs":     {"at most 5", `"a"`, `"logprobs":6`, "logprobs"},
		"Zero":         {"at least 1", `"a"`, `"max_tokens":0`, "max_tokens"},
		"Context":      {"each prompt has its context", `"a"`, `"max_tokens":65536`, "maximum context length"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := start(t, Options{})
			a := w.complete(t, tc.prompt, tc.members)
			if a.status != 400 || !strings.Contains(string(a.raw), tc.message) || w.Billed(Filter{}).Count != 0 {
				t.Errorf("%s: got %d %s", tc.reason, a.status, a.raw)
			}
		})
	}
	w := start(t, Options{Keys: []Key{{Label: "a", Secret: anyKey, LimitNano: 300_000}}})
	if a := w.complete(t, `["a","b"]`, `"best_of":3,"n":1,"max_tokens":10`); a.status != 402 || !strings.Contains(string(a.raw), "60 tokens") {
		t.Errorf("six choices must be afforded: %d %s", a.status, a.raw)
	}
}
