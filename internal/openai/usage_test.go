package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

func nano(n int64) *money.Amount {
	amount := money.FromNano(n)
	return &amount
}

var sameMoney = cmp.Comparer(func(a, b money.Amount) bool { return a.Cmp(b) == 0 })

func TestTheUsageOfAnAnswer(t *testing.T) {
	tokens := func(more string) string { return `{"usage":{"prompt_tokens":12,"completion_tokens":34` + more + `}}` }
	plain := pricing.Usage{PromptTokens: 12, CompletionTokens: 34}
	with := func(change func(u *pricing.Usage)) *pricing.Usage {
		u := plain
		change(&u)
		return &u
	}
	unchanged := with(func(*pricing.Usage) {})
	tests := map[string]struct {
		reason, body string
		want         *pricing.Usage
		wantErr      string
	}{
		"OpenAI": {"tokens without a cost", tokens(`,"total_tokens":46`), unchanged, ""},
		"Parts": {
			"parts of the tokens", tokens(`,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":7}`),
			with(func(u *pricing.Usage) { u.CachedTokens, u.ReasoningTokens = 5, 7 }), "",
		},
		"CacheWritten": {
			"tokens that went into the cache", tokens(`,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":7}`),
			with(func(u *pricing.Usage) { u.CachedTokens, u.CacheWriteTokens = 5, 7 }), "",
		},
		"CacheNull": {
			"null is none", tokens(`,"prompt_tokens_details":{"cached_tokens":null,"cache_write_tokens":null}`), unchanged, "",
		},
		"CacheAbsurd": {
			"more than there is of the prompt", tokens(`,"prompt_tokens_details":{"cached_tokens":13}`), with(inDoubt), "",
		},
		"CacheAbsurdTogether": {
			"more of both than there is of the prompt", tokens(`,"prompt_tokens_details":{"cached_tokens":6,"cache_write_tokens":7}`),
			with(inDoubt), "",
		},
		"CacheNegative": {"no count", tokens(`,"prompt_tokens_details":{"cached_tokens":-1,"cache_write_tokens":7}`), with(inDoubt), ""},
		"CacheText":     {"no count", tokens(`,"prompt_tokens_details":{"cached_tokens":"5"}`), with(inDoubt), ""},
		"ReasoningAbsurd": {
			"nothing is booked by it", tokens(`,"completion_tokens_details":{"reasoning_tokens":35}`), unchanged, "",
		},
		"PartsOfNoKind": {"no details", tokens(`,"prompt_tokens_details":[],"completion_tokens_details":null`), unchanged, ""},
		"Cost": {
			"OpenRouter's cost, from its text", tokens(`,"cost":0.000228`), with(func(u *pricing.Usage) { u.Cost = nano(228_000) }), "",
		},
		"CostExponent": {"as JavaScript writes small numbers", tokens(`,"cost":8e-9`), with(func(u *pricing.Usage) { u.Cost = nano(8) }), ""},
		"CostRounded": {
			"below a nano-dollar it is rounded up", tokens(`,"cost":0.0000000081`), with(func(u *pricing.Usage) { u.Cost = nano(9) }), "",
		},
		"CostZero": {"zero is a cost", tokens(`,"cost":0`), with(func(u *pricing.Usage) { u.Cost = nano(0) }), ""},
		"CostNull": {"null is none", tokens(`,"cost":null,"is_byok":null,"cost_details":null`), unchanged, ""},
		"Details": {
			"a part of the cost", tokens(`,"cost_details":{"upstream_inference_cost":0.1}`),
			with(func(u *pricing.Usage) { u.UpstreamInferenceCost = nano(1e8) }), "",
		},
		"DetailsNull": {"null is none", tokens(`,"cost_details":{"upstream_inference_cost":null}`), unchanged, ""},
		"BYOK": {
			"the provider is paid apart", tokens(`,"is_byok":true,"cost":0,"cost_details":{"upstream_inference_cost":1e-3}`), with(byok), "",
		},
		"ZeroTokens": {
			"nothing was read or made, and it says so", `{"usage":{"prompt_tokens":0,"completion_tokens":0}}`, &pricing.Usage{}, "",
		},
		"LastOfTwo":    {"most readers take the last", `{"usage":null,` + tokens("")[1:], unchanged, ""},
		"Absent":       {"not told is not known", `{"choices":[]}`, nil, ""},
		"Null":         {"not told is not known", `{"usage":null}`, nil, ""},
		"InsideOnly":   {"a choice's member is not the usage", `{"choices":[{"usage":{"prompt_tokens":1}}]}`, nil, ""},
		"Empty":        {"no counts", `{"usage":{}}`, nil, "prompt_tokens"},
		"NoCompletion": {"half of the counts", `{"usage":{"prompt_tokens":1}}`, nil, "completion_tokens"},
		"Negative":     {"nobody pays for being served", `{"usage":{"prompt_tokens":-1,"completion_tokens":1}}`, nil, "prompt_tokens"},
		"Fraction":     {"no count", `{"usage":{"prompt_tokens":1.0,"completion_tokens":1}}`, nil, "prompt_tokens"},
		"Exponent":     {"no count", `{"usage":{"prompt_tokens":1e3,"completion_tokens":1}}`, nil, "prompt_tokens"},
		"Text":         {"no count", `{"usage":{"prompt_tokens":"1","completion_tokens":1}}`, nil, "prompt_tokens"},
		"NullCount":    {"no count", `{"usage":{"prompt_tokens":null,"completion_tokens":1}}`, nil, "prompt_tokens"},
		"Absurd":       {"it would empty a budget", `{"usage":{"prompt_tokens":1,"completion_tokens":1000000001}}`, nil, "completion_tokens"},
		"Huge":         {"beyond 64 bits", `{"usage":{"prompt_tokens":1,"completion_tokens":99999999999999999999}}`, nil, "completion_tokens"},
		"NegativeCost": {"nobody pays for being served", tokens(`,"cost":-0.1`), nil, "cost"},
		"TextCost":     {"no number", tokens(`,"cost":"0.1"`), nil, "cost"},
		"BooleanCost":  {"no number", tokens(`,"cost":true`), nil, "cost"},
		"HugeCost":     {"no bill", tokens(`,"cost":1e30`), nil, "cost"},
		"HostileCost":  {"no bill", tokens(`,"cost":1e999999999`), nil, "cost"},
		"NegativeInner": {
			"nobody pays for being served", tokens(`,"cost_details":{"upstream_inference_cost":-1}`), nil, "upstream_inference_cost",
		},
		"BYOKNumber": {"it decides what is added", tokens(`,"is_byok":1`), nil, "is_byok"},
		"UsageText":  {"no usage", `{"usage":"x"}`, nil, "usage"},
		"UsageArray": {"no usage", `{"usage":[1]}`, nil, "usage"},
		"NaN":        {"no JSON", tokens(`,"cost":NaN`), nil, "expected a JSON value"},
		"Cut":        {"the answer ended too early", tokens("")[:40], nil, "not closed"},
		"NoBody":     {"nothing was answered", ``, nil, "expected an object"},
		"Page":       {"some proxy's page", `<html>`, nil, "expected an object"},
		"Trailing":   {"two answers", tokens("") + `{}`, nil, "something follows"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := Chat.ReadAnswer([]byte(test.body))
			if diff := cmp.Diff(test.want, answer.Usage, sameMoney); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("%s: got error %v, want %q in it", test.reason, err, test.wantErr)
			}
			if answer.Reported != nil {
				t.Errorf("it reports %v", answer.Reported)
			}
		})
	}
}

func inDoubt(u *pricing.Usage) { u.CacheInDoubt = true }

func byok(u *pricing.Usage) {
	u.IsBYOK, u.Cost, u.UpstreamInferenceCost = true, nano(0), nano(1_000_000)
}

func TestErrorsInsideOfAnswers(t *testing.T) {
	tests := map[string]struct {
		reason, body string
		want         *ReportedError
	}{
		"None": {"an honest answer", `{"choices":[{"finish_reason":"stop"}]}`, nil},
		"Object": {
			"OpenRouter's, with a number", `{"error":{"code":429,"message":"slow down","metadata":{"error_type":"rate_limit_exceeded"}}}`,
			&ReportedError{"429", "rate_limit_exceeded", "slow down"},
		},
		"TextCode": {
			"OpenAI's", `{"error":{"code":"server_error","type":"api_error","message":"a\nb","param":null}}`,
			&ReportedError{"server_error", "api_error", "a\nb"},
		},
		"NullCode": {"OpenAI's", `{"error":{"code":null,"message":"x"}}`, &ReportedError{"", "", "x"}},
		"Text":     {"some gateways'", `{"error":"broken"}`, &ReportedError{"", "", "broken"}},
		"Truth":    {"truthy, as OpenAI's SDK asks", `{"error":true}`, &ReportedError{"", "", "true"}},
		"Choice": {
			"OpenRouter's in a choice", `{"choices":[{"finish_reason":"error","error":{"code":502,"message":"gone"}}]}`,
			&ReportedError{"502", "", "gone"},
		},
		"SecondChoice": {
			"in any choice", `{"choices":[{"finish_reason":"stop"},{"finish_reason":"error","error":{"message":"gone"}}]}`,
			&ReportedError{"", "", "gone"},
		},
		"FinishReason": {
			"without saying why", `{"choices":[{"finish_reason":"error"}]}`,
			&ReportedError{"", "", `the answer ended with the finish reason "error"`},
		},
		"TopFirst": {
			"the answer's own error says more", `{"choices":[{"finish_reason":"error"}],"error":{"message":"why"}}`, &ReportedError{"", "", "why"},
		},
		"EmptyChoices": {"an error without choices", `{"choices":[],"error":{"message":"why"}}`, &ReportedError{"", "", "why"}},
		"Null":         {"falsy", `{"error":null}`, nil},
		"False":        {"falsy", `{"error":false}`, nil},
		"EmptyText":    {"falsy", `{"error":""}`, nil},
		"EmptyObject":  {"falsy", `{"error":{ }}`, nil},
		"InMessage":    {"a word of the answer", `{"choices":[{"message":{"content":"error","error":1}}]}`, nil},
		"OddChoices":   {"no choices", `{"choices":{"error":1}}`, nil},
		"OddChoice":    {"no choice", `{"choices":["error",{"finish_reason":null}]}`, nil},
		"LongMessage": {
			"it is kept in part", `{"error":"` + strings.Repeat("é", 4000) + `"}`, &ReportedError{"", "", strings.Repeat("é", 2048)},
		},
		"OddLongMember": {
			"JSON is cut between characters", `{"error":{"code":"` + strings.Repeat("x", 4095) + `é"}}`,
			&ReportedError{strings.Repeat("x", 4095), "", ""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := Chat.ReadAnswer([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, answer.Reported); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}
