package openai

import "testing"

func TestAModelMayReasonUnlessItIsSaidWhatItSupportsAndThatIsNotAmongIt(t *testing.T) {
	for _, test := range []struct {
		supported []string
		want      bool
	}{
		{nil, true},
		{[]string{"stop", "temperature"}, false},
		{[]string{"stop", "reasoning"}, true},
		{[]string{"reasoning_effort"}, true},
		{[]string{"include_reasoning"}, true},
		{[]string{"thinking"}, true},
	} {
		if got := MayReason(test.supported); got != test.want {
			t.Errorf("%v: %v", test.supported, got)
		}
	}
}

func TestARequestForgoesReasoningWhereItSaysSoAsItGoesUpstream(t *testing.T) {
	for _, test := range []struct {
		operation *Operation
		members   string
		policy    Policy
		want      bool
	}{
		{Chat, ``, Policy{}, false},
		{Chat, `"reasoning_effort":"none"`, Policy{}, true},
		{Chat, `"reasoning_effort":"low"`, Policy{}, false},
		{Chat, `"reasoning_effort":null`, Policy{}, false},
		{Chat, `"reasoning":{"effort":"none"}`, Policy{}, true},
		{Chat, `"reasoning":{"effort":"none"}`, Policy{Overrides: settings(`"reasoning":{"effort":"high"}`)}, false},
		{Chat, `"reasoning_effort":"none"`, Policy{Supported: []string{"include_reasoning"}, DropUnsupported: true}, false},
		{Chat, ``, Policy{Defaults: settings(`"reasoning_effort":"none"`)}, true},
		{Responses, `"reasoning":{"effort":"none"}`, Policy{}, true},
		{Responses, `"reasoning":{"summary":"auto"}`, Policy{}, false},
		{Messages, `"thinking":{"type":"disabled"}`, Policy{}, true},
		{Messages, `"thinking":{"type":"adaptive"}`, Policy{}, false},
	} {
		with := map[*Operation]func(string) string{Chat: chatWith, Responses: responseWith, Messages: messageWith}[test.operation]
		c := mustParseAs(t, test.operation, with(test.members))
		apply(t, c, test.policy)
		if got := c.ForgoesReasoning(); got != test.want {
			t.Errorf("%s: %v", c.Body(), got)
		}
	}
}
