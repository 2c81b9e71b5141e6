package openai

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/pricing"
)

// messageWith and responseWith return good bodies with further members.
func messageWith(members string) string {
	return `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}]` + prefixed(members) + `}`
}

func responseWith(members string) string {
	return `{"model":"m","input":"hi"` + prefixed(members) + `}`
}

func prefixed(members string) string {
	if members == "" {
		return ""
	}
	return "," + members
}

// messageOf and responseOf return bodies with these messages or items.
func messageOf(messages string) string {
	return `{"model":"m","max_tokens":100,"messages":[` + messages + `]}`
}

func responseOf(items string) string { return `{"model":"m","input":[` + items + `]}` }

func mustParseAs(t testing.TB, operation *Operation, body string) *Request {
	t.Helper()
	r, problem := operation.Parse([]byte(body))
	if problem != nil {
		t.Fatalf("%s: %s: %v", operation.Path, body, problem)
	}
	return r
}

// refusalCase is a body that is refused, with the path of what is wrong.
type refusalCase struct{ body, param string }

func refuses(t *testing.T, operation *Operation, cases map[string]refusalCase) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, problem := operation.Parse([]byte(test.body))
			if problem == nil || problem.Status != http.StatusBadRequest || problem.Param != test.param {
				t.Errorf("%s: %+v, want a refusal of %q", test.body, problem, test.param)
			}
		})
	}
}

// boundCase is a request that is let through, unless something in it is the route's or has no bound.
type boundCase struct{ body, forbidden, unbounded string }

func bounds(t *testing.T, operation *Operation, cases map[string]boundCase) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			r := mustParseAs(t, operation, test.body)
			forbidden, _ := ForbiddenField(r, false)
			if forbidden != test.forbidden || r.UnboundedInput != test.unbounded {
				t.Errorf("%s: forbidden %q, unbounded %q; want %q and %q",
					test.body, forbidden, r.UnboundedInput, test.forbidden, test.unbounded)
			}
		})
	}
}

// events makes a stream of events that are named after their types.
func events(data ...string) string {
	var out strings.Builder
	for _, one := range data {
		name, _, _ := strings.Cut(strings.TrimPrefix(one, `{"type":"`), `"`)
		out.WriteString("event: " + name + "\ndata: " + one + "\n\n")
	}
	return out.String()
}

// meteredBy is what an operation's meter says of a stream, and whether what it says of the usage is a placeholder.
func meteredBy(t testing.TB, operation *Operation, stream string) (metered, bool) {
	t.Helper()
	all, err := readAll(strings.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	m := operation.NewMeter()
	for _, event := range all {
		m.Observe(event)
	}
	usage, err := m.Usage()
	return metered{usage, err != nil, m.Reported(), m.Done(), m.Finished(), m.CompletionBytes()}, m.Preview()
}

// rereads checks that a stream which was made of an answer tells the same usage, and ends.
func rereads(t *testing.T, operation *Operation, answer string) {
	t.Helper()
	stream, err := operation.StreamOf([]byte(answer), true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := operation.ReadAnswer([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	got, preview := meteredBy(t, operation, string(stream))
	if diff := cmp.Diff(want.Usage, got.Usage, sameMoney); diff != "" || preview || !got.Done || !got.Finished {
		t.Errorf("the stream tells otherwise, %+v (-answer +stream):\n%s", got, diff)
	}
}

func TestTheLimitOfARouteIsSetUnderEachOperationsName(t *testing.T) {
	policy := Policy{Defaults: []Setting{{"max_completion_tokens", []byte("70")}, {"temperature", []byte("1.5")}}, MaxCompletionTokens: 50}
	for _, provider := range []Provider{Compatible, OpenRouter} {
		policy.Provider = provider
		for body, want := range map[string]struct {
			operation *Operation
			becomes   string
		}{
			// What a message does not take, a temperature above 1, is left out of it.
			messageWith(""):                        {Messages, strings.Replace(messageWith(""), "100", "50", 1)},
			responseWith(""):                       {Responses, responseWith(`"temperature":1.5,"store":false,"max_output_tokens":50`)},
			responseWith(`"max_output_tokens":20`): {Responses, responseWith(`"max_output_tokens":20,"temperature":1.5,"store":false`)},
			responseWith(`"store":null`):           {Responses, responseWith(`"max_output_tokens":50,"temperature":1.5,"store":false`)},
		} {
			r := mustParseAs(t, want.operation, body)
			apply(t, r, policy)
			if got := string(r.Body()); !sameMembers(t, want.becomes, got) {
				t.Errorf("%s became %s, want %s", body, got, want.becomes)
			}
		}
	}
}

func sameMembers(t *testing.T, a, b string) bool {
	t.Helper()
	return cmp.Equal(membersExcept(t, []byte(a)), membersExcept(t, []byte(b)))
}

func TestADialectIsThatOfWhateverLiesBelowAnOperation(t *testing.T) {
	for path, want := range map[string]*Operation{
		"/messages": Messages, "/messages/count_tokens": Messages, "/responses/resp_1": Responses, "/messagesx": nil, "/models": nil,
		"/chat/completions": Chat,
	} {
		if got := DialectAt(path).Operation; got != want {
			t.Errorf("%s is of %+v", path, got)
		}
	}
}

func usageOf(prompt, completion int64) *pricing.Usage {
	return &pricing.Usage{PromptTokens: prompt, CompletionTokens: completion}
}

func newReader(text string) *strings.Reader { return strings.NewReader(text) }

// canonical is JSON with its members in one order.
func canonical(t *testing.T, data []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return string(encode(value))
}
