package openai

import (
	"slices"
	"testing"
)

func described(operation *Operation, provider Provider, name string) *ParameterInfo {
	all := operation.Describe(provider)
	i := slices.IndexFunc(all, func(one ParameterInfo) bool { return one.Name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func TestAParameterIsDescribedAsItsProviderHasIt(t *testing.T) {
	for provider, want := range map[Provider]string{Compatible: "an integer of at least -1", OpenRouter: "an integer of at least 0"} {
		if got := described(Chat, provider, "top_k"); got == nil || got.Values != want {
			t.Errorf("top_k at provider %d is %+v, want %q", provider, got, want)
		}
	}
	if got := described(Chat, OpenAI, "top_k"); got != nil {
		t.Errorf("OpenAI, which has no top_k, is said to take %+v", got)
	}
}

func TestWhatIsTheRoutesToSetIsNotDescribed(t *testing.T) {
	for i := range ownedParameters {
		if got := described(Chat, Compatible, ownedParameters[i].name); got != nil {
			t.Errorf("it is %+v", got)
		}
	}
}

func TestBothNamesOfTheCompletionLimitAreLimits(t *testing.T) {
	var limits []string
	for _, one := range Chat.Describe(Compatible) {
		if one.Limit {
			limits = append(limits, one.Name)
		}
	}
	slices.Sort(limits)
	if want := []string{"max_completion_tokens", "max_tokens"}; !slices.Equal(limits, want) {
		t.Errorf("the limits are %v, want %v", limits, want)
	}
}
