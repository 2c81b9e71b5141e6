package openai

import (
	"fmt"
	"strings"
	"testing"
)

func TestOnlyWhatSurelyExceedsTheContextIsRefused(t *testing.T) {
	// 1000 times 128 letters are at least 1001 tokens.
	long := strings.Repeat("x", 128_000)
	said := func(role, text string) string { return fmt.Sprintf(`{"role":%q,"content":%q}`, role, text) }
	tests := map[string]struct {
		reason                 string
		messages, members      string
		context, maxCompletion int64
		provider               Provider
		refused                bool
	}{
		"Page":           {"it fits", said("user", "hi"), ``, 65536, 0, OpenRouter, false},
		"Limit":          {"the limit leaves no token for the prompt", said("user", "hi"), `,"max_tokens":65536`, 65536, 0, OpenRouter, true},
		"LimitFits":      {"one token may be all", said("user", "hi"), `,"max_tokens":65535`, 65536, 0, OpenRouter, false},
		"HugeLimit":      {"64 bits", said("user", "hi"), `,"max_tokens":9223372036854775807`, 65536, 0, OpenRouter, true},
		"LargerLimit":    {"the larger one counts", said("user", "hi"), `,"max_tokens":5,"max_completion_tokens":70000`, 65536, 0, OpenRouter, true},
		"LoweredLimit":   {"the proxy lowers it", said("user", "hi"), `,"max_tokens":70000`, 65536, 4096, OpenRouter, false},
		"LongPrompt":     {"more letters than the context holds", said("user", long), ``, 1000, 0, OpenAI, true},
		"LongText":       {"in a part", `{"content":[{"text":"` + long + `","type":"text"}],"role":"user"}`, ``, 1000, 0, OpenAI, true},
		"LongFits":       {"they may be that few tokens", said("user", long), ``, 1002, 0, OpenAI, false},
		"LongAndLimit":   {"together they do not fit", said("user", long), `,"max_tokens":9000`, 10_000, 0, OpenAI, true},
		"Lines":          {"a token may be many spaces", said("user", strings.Repeat(" \n", 64_000)), ``, 100, 0, OpenAI, false},
		"Escapes":        {"an escape is no letter", `{"role":"user","content":"` + strings.Repeat(`\n\u0020`, 16_000) + `"}`, ``, 100, 0, OpenAI, false},
		"Assistant":      {"templates may leave out earlier thoughts", said("assistant", long), ``, 100, 0, OpenAI, false},
		"Image":          {"its text is no prompt", `{"role":"user","content":[{"type":"image_url","text":"` + long + `"}]}`, ``, 100, 0, OpenAI, false},
		"Compressed":     {"OpenRouter shortens prompts for small contexts", said("user", long), ``, 1000, 0, OpenRouter, false},
		"UnknownMember":  {"it may ask for the same", said("user", long), `,"truncate_prompt_tokens":10`, 1000, 0, Compatible, false},
		"UnknownContext": {"nothing is sure", said("user", long), `,"max_tokens":70000`, 0, 0, OpenAI, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, `{"model":"m","messages":[`+test.messages+`]`+test.members+`}`)
			problem := c.CheckContext(test.context, test.maxCompletion, test.provider)
			if (problem != nil) != test.refused {
				t.Fatalf("%s: got %v", test.reason, problem)
			}
			if problem == nil {
				return
			}
			if problem.Status != 400 || problem.Code != CodeContextLengthExceeded || problem.Param != "messages" {
				t.Errorf("clients would not know it: %+v", problem)
			}
			if want := fmt.Sprintf("maximum context length is %d tokens. However, you requested", test.context); !strings.Contains(problem.Message, want) {
				t.Errorf("clients look for %q in: %s", want, problem.Message)
			}
		})
	}
}

// The bound of what a prompt can have at least must never be above the one of what it can have at most.
func TestTheLeastIsNeverMoreThanTheMost(t *testing.T) {
	for _, content := range []string{"", "a", strings.Repeat("a", 10_000), "\u0958", strings.Repeat("é漢1", 1000)} {
		c := mustParse(t, chatOf(fmt.Sprintf(`{"role":"user","content":%q}`, content)))
		if least, most := c.leastPromptTokens(), PromptTokensBound(c, 0); least > most || least < 1 {
			t.Errorf("at least %d and at most %d", least, most)
		}
	}
}
