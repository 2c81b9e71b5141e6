package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParseFor(t testing.TB, operation *Operation, body string) *Request {
	t.Helper()
	r, problem := operation.Parse([]byte(body))
	if problem != nil {
		t.Fatalf("%s: %v", body, problem)
	}
	return r
}

func TestEveryTextIsAPromptOfItsOwn(t *testing.T) {
	const around = requestOverhead + messageOverhead
	for members, want := range map[string]struct{ prompts, choices, tokens int64 }{
		`"prompt":"abc"`:                             {1, 1, 3 + around},
		`"prompt":""`:                                {1, 1, around},
		`"prompt":["abc","de"]`:                      {2, 1, 5 + 2*around},
		`"prompt":[50256,1,2]`:                       {1, 1, 3 + around},
		`"prompt":[[1,2],[3],[4,5,6]]`:               {3, 1, 6 + 3*around},
		`"prompt":["abc","de"],"suffix":"end"`:       {2, 1, 5 + 2*(around+int64(len(`"end"`)))},
		`"suffix":"end","prompt":["abc","de"]`:       {2, 1, 5 + 2*(around+int64(len(`"end"`)))},
		`"prompt":"abc","n":3`:                       {1, 3, 3 + around},
		`"prompt":"abc","n":2,"best_of":5`:           {1, 5, 3 + around},
		`"prompt":"abc","best_of":0,"n":2`:           {1, 2, 3 + around},
		`"prompt":"abc","best_of":null`:              {1, 1, 3 + around},
		`"prompt":"a","stream":true,"best_of":1`:     {1, 1, 1 + around},
		`"prompt":["\u0958"],"unknown":["a","b"]`:    {1, 1, 3*3 + around + int64(len(`["a","b"]`)) + 6},
		`"prompt":["a","b"],"reasoning":{},"user":0`: {},
	} {
		r, problem := Completions.Parse([]byte(`{"model":"m",` + members + `}`))
		if problem != nil {
			if want.prompts != 0 {
				t.Errorf("%s: %v", members, problem)
			}
			continue
		}
		if r.Prompts != want.prompts || r.Choices() != want.choices || PromptTokensBound(r, 0) != want.tokens {
			t.Errorf("%s: %d prompts, %d choices and %d tokens, want %+v", members, r.Prompts, r.Choices(), PromptTokensBound(r, 0), want)
		}
	}
}

func TestNoPromptIsLongerThanTheContextAndAllTogetherMayBe(t *testing.T) {
	for body, want := range map[string]int64{
		`{"model":"m","prompt":"` + strings.Repeat("x", 5000) + `"}`:                                     1000,
		`{"model":"m","prompt":["` + strings.Repeat("x", 5000) + `","y"]}`:                               2000,
		`{"model":"m","prompt":["x","y","z"]}`:                                                           3 + 3*(requestOverhead+messageOverhead),
		`{"model":"m","prompt":[[1],[2],[` + strings.TrimSuffix(strings.Repeat("7,", 5000), ",") + `]]}`: 3000,
	} {
		if got := PromptTokensBound(mustParseFor(t, Completions, body), 1000); got != want {
			t.Errorf("%.60s: got %d, want %d", body, got, want)
		}
	}
	pictures := mustParseFor(t, Embeddings, `{"model":"m","input":[{"content":[]},{"content":[]}]}`)
	if got := PromptTokensBound(pictures, 1000); pictures.UnboundedInput != "input[0]" || got != 2000 {
		t.Errorf("%q has no bound, and the bound is %d", pictures.UnboundedInput, got)
	}
}

func TestATextThatSurelyExceedsTheContextIsRefused(t *testing.T) {
	letters, ids := strings.Repeat("x", 128_000), strings.TrimSuffix(strings.Repeat("7,", 1000), ",")
	for name, test := range map[string]struct {
		prompt, members string
		context         int64
		refused         bool
	}{
		"a text that may fit":                   {`"` + letters + `"`, ``, 1002, false},
		"one that cannot":                       {`"` + letters + `"`, ``, 1001, true},
		"one of several":                        {`["a","` + letters + `"]`, ``, 1001, true},
		"several that do only together":         {`["` + letters[:64_000] + `","` + letters[:64_000] + `"]`, ``, 1001, false},
		"ids that fill it but for one":          {`[` + ids + `]`, ``, 1001, false},
		"ids that fill it":                      {`[` + ids + `]`, ``, 1000, true},
		"ids of several that do only together":  {`[[` + ids + `],[` + ids + `]]`, ``, 1001, false},
		"a limit that leaves no room":           {`"a"`, `,"max_tokens":1000`, 1000, true},
		"what a server may shorten":             {`"` + letters + `"`, `,"truncate_prompt_tokens":5`, 1001, false},
		"a prompt alone, for its probabilities": {`[` + ids + `]`, `,"max_tokens":0,"echo":true`, 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustParseFor(t, Completions, `{"model":"m","prompt":`+test.prompt+test.members+`}`)
			problem := r.CheckContext(test.context, 0, OpenAI)
			if (problem != nil) != test.refused {
				t.Fatalf("got %v", problem)
			}
			if problem != nil && (problem.Code != CodeContextLengthExceeded || problem.Param != "prompt") {
				t.Errorf("clients would not know it: %+v", problem)
			}
		})
	}
	if problem := mustParseFor(t, Embeddings, `{"model":"m","input":"`+letters+`"}`).CheckContext(1000, 0, OpenAI); problem != nil {
		t.Errorf("servers of embeddings may shorten a text: %v", problem)
	}
}

// FuzzParseTexts holds what is read of texts against encoding/json.
func FuzzParseTexts(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","prompt":["a","\u00e9\ud83d\ude00"],"suffix":"x","n":2,"best_of":3,"max_tokens":5}`,
		`{"model":"m","prompt":[[1,2],[3]],"input":[1,2,3],"stream":true}`, `{"model":"m","input":[{"content":[]}],"prompt":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		for _, operation := range []*Operation{Completions, Embeddings} {
			r, problem := operation.Parse(body)
			if problem != nil {
				if problem.Status != 400 || problem.Message == "" {
					t.Errorf("%q: %+v", body, problem)
				}
				continue
			}
			var request map[string]json.RawMessage
			if err := json.Unmarshal(body, &request); err != nil {
				t.Fatalf("%q is accepted, but not by encoding/json: %v", body, err)
			}
			if want := promptsIn(request[operation.content]); r.Prompts != want {
				t.Errorf("%q has %d prompts, want %d", body, r.Prompts, want)
			}
			most, least := PromptTokensBound(r, 0), r.leastPromptTokens()
			if least < 1 || most < least || PromptTokensBound(r, 100) > 100*r.Prompts {
				t.Errorf("%q has at least %d and at most %d tokens", body, least, most)
			}
			apply(t, r, Policy{Provider: OpenRouter, MaxCompletionTokens: 3})
			if again := mustParseFor(t, operation, string(r.Body())); again.PromptBytes != r.PromptBytes || again.Choices() != r.Choices() {
				t.Errorf("%q is %+v, and %+v when read anew", r.Body(), r, again)
			}
		}
		if !bytes.Equal(before, body) {
			t.Errorf("the body %q was changed to %q", before, body)
		}
	})
}

// promptsIn counts texts as encoding/json reads them.
func promptsIn(value json.RawMessage) int64 {
	var several []json.RawMessage
	var ids []float64
	if json.Unmarshal(value, &several) != nil || json.Unmarshal(value, &ids) == nil {
		return 1
	}
	return int64(len(several))
}

func TestMistralGetsTheLengthOfVectorsUnderItsName(t *testing.T) {
	for provider, want := range map[Provider]string{
		Mistral:    `{"model":"m","input":"a","output_dimension":8}`,
		OpenRouter: `{"model":"m","input":"a","dimensions":8,"user":"u"}`,
	} {
		r := mustParseFor(t, Embeddings, `{"model":"m","input":"a","dimensions":8,"user":"u"}`)
		apply(t, r, Policy{Provider: provider})
		if diff := cmp.Diff(want, string(r.Body())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestAWholeCompletionOfATextBecomesAStream(t *testing.T) {
	const answer = `{"id":"c","object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":"stop"},{"index":1,"text":""}],` +
		`"usage":{"prompt_tokens":1,"completion_tokens":2}}`
	const chunk = `data: {"choices":[{"finish_reason":"stop","index":0,"text":"a"},{"index":1,"text":""}],"id":"c","object":"text_completion"}` + "\n\n"
	const used = `data: {"choices":[],"id":"c","object":"text_completion","usage":{"prompt_tokens":1,"completion_tokens":2}}` + "\n\n"
	for includeUsage, want := range map[bool]string{false: chunk + doneEvent, true: chunk + used + doneEvent} {
		got, err := Completions.StreamOf([]byte(answer), includeUsage)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	for _, chat := range []string{`{"choices":[{"message":{"content":"a"}}]}`, `{"data":[]}`, `[]`} {
		if got, err := Completions.StreamOf([]byte(chat), true); err == nil {
			t.Errorf("%s became %s", chat, got)
		}
	}
}

func TestTheUsageOfEmbeddingsNeedNotSpeakOfACompletion(t *testing.T) {
	for body, want := range map[string]struct{ prompt, completion int64 }{
		`{"data":[{}],"usage":{"prompt_tokens":5,"total_tokens":5}}`:                       {5, 0},
		`{"data":[{}],"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}}`: {5, 0},
		`{"data":[{}],"usage":{"prompt_tokens":5,"completion_tokens":2}}`:                  {5, 2},
	} {
		answer, err := Embeddings.ReadAnswer([]byte(body))
		if err != nil || !answer.Generated || answer.Usage.PromptTokens != want.prompt || answer.Usage.CompletionTokens != want.completion {
			t.Errorf("%s is %+v, %v", body, answer, err)
		}
	}
	for _, usage := range []string{`{"total_tokens":5}`, `{"prompt_tokens":5,"completion_tokens":-1}`, `{"prompt_tokens":5,"completion_tokens":null}`, `5`} {
		if answer, err := Embeddings.ReadAnswer([]byte(`{"data":[{}],"usage":` + usage + `}`)); err == nil || answer.Usage != nil {
			t.Errorf("%s is booked as %+v", usage, answer.Usage)
		}
	}
	if answer, err := Chat.ReadAnswer([]byte(`{"choices":[{}],"usage":{"prompt_tokens":5}}`)); err == nil {
		t.Errorf("a chat without a word of its completion is booked as %+v", answer.Usage)
	}
}

func TestAnErrorInAStreamOfATextHasItsShape(t *testing.T) {
	raw := Dialect{Operation: Completions}.Event(UpstreamError(502, "upstream_cut", "Gone."))
	want := `data: {"error":{"message":"Gone.","type":"server_error","param":null,"code":"upstream_cut",` +
		`"metadata":{"http_status":502,"error_type":"server_error"}},"id":"","object":"text_completion","created":0,"model":"",` +
		`"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"error"}]}` + "\n\n"
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnOperationsOwnParameterGoesBeforeASharedOne(t *testing.T) {
	if p := Chat.parameters.byName["best_of"]; p.role != owned {
		t.Error("best_of is the client's in chats")
	}
	if p := Completions.parameters.byName["best_of"]; p.role != inert {
		t.Error("best_of is not the client's in completions")
	}
	for _, operation := range operations {
		seen := map[string]bool{}
		for i, p := range operation.parameters.list {
			if seen[p.name] || p.index != i || operation.parameters.byName[p.name] != &operation.parameters.list[i] {
				t.Errorf("%s has %s twice or elsewhere", operation.Name, p.name)
			}
			seen[p.name] = true
		}
	}
}
