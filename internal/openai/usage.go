package openai

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/modelroute/modelroute/internal/money"
	"github.com/modelroute/modelroute/internal/pricing"
)

// maxReportedTokens is the largest count of tokens that is believed. No context comes near it; a larger figure is a fault, and booking it
// would empty a budget.
const maxReportedTokens = 1_000_000_000

// parseObjectValue returns the object that a JSON value is, nil if it is none.
func parseObjectValue(value []byte) *document {
	if len(value) == 0 || value[0] != '{' {
		return nil
	}
	object := parseObject(value)
	return &object
}

// usageNames are what a usage of OpenAI's convention calls the tokens of the prompt and those of the completion. Their details are under
// the same name with _details behind it.
type usageNames struct {
	prompt, completion string
	// promptOnly says that there is no completion, so that there need be no word of one.
	promptOnly bool
}

var (
	completionUsage = usageNames{prompt: "prompt_tokens", completion: "completion_tokens"}
	promptUsage     = usageNames{prompt: "prompt_tokens", completion: "completion_tokens", promptOnly: true}
	responseUsage   = usageNames{prompt: "input_tokens", completion: "output_tokens"}
)

// parse reads a usage object. Whatever in it cannot be believed makes all of it unknown, so that a fault of the upstream never makes a
// request free.
func (n usageNames) parse(value []byte) (*pricing.Usage, error) {
	object := parseObjectValue(value)
	if object == nil {
		return nil, fmt.Errorf("usage is no object: %.40q", value)
	}
	var u pricing.Usage
	var errs [5]error
	u.PromptTokens, errs[0] = tokenCount(object, n.prompt)
	if !n.promptOnly || object.last(n.completion) != nil {
		u.CompletionTokens, errs[1] = tokenCount(object, n.completion)
	}
	u.Cost, errs[2] = usdNumber(object, "cost")
	u.IsBYOK, errs[3] = flag(object, "is_byok")
	if details := parseObjectValue(object.last("cost_details")); details != nil {
		u.UpstreamInferenceCost, errs[4] = usdNumber(details, "upstream_inference_cost")
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("usage cannot be booked: %w", err)
	}
	var cached, written bool
	u.CachedTokens, cached = partOf(object, n.prompt+"_details", "cached_tokens", u.PromptTokens)
	u.CacheWriteTokens, written = partOf(object, n.prompt+"_details", "cache_write_tokens", u.PromptTokens-u.CachedTokens)
	if !cached || !written {
		u.CachedTokens, u.CacheWriteTokens, u.CacheInDoubt = 0, 0, true
	}
	// Nothing is booked by it, so one that cannot be believed is none.
	u.ReasoningTokens, _ = partOf(object, n.completion+"_details", "reasoning_tokens", u.CompletionTokens)
	return &u, nil
}

// partOf reads how many of all tokens are of a kind: none if it is absent or null. It reports whether the number can be believed.
func partOf(object *document, details, name string, all int64) (count int64, believable bool) {
	parts := parseObjectValue(object.last(details))
	if parts == nil {
		return 0, true
	}
	if text := parts.last(name); text == nil || string(text) == "null" {
		return 0, true
	}
	count, err := tokenCount(parts, name)
	if err != nil || count > all {
		return 0, false
	}
	return count, true
}

func tokenCount(object *document, name string) (int64, error) {
	text := string(object.last(name))
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || count < 0 || count > maxReportedTokens {
		return 0, fmt.Errorf("%s is %.40q, which is no count of tokens", name, text)
	}
	return count, nil
}

// usdNumber reads an amount in USD from the number's own text; nil if it is absent or null.
func usdNumber(object *document, name string) (*money.Amount, error) {
	value := object.last(name)
	if value == nil || string(value) == "null" {
		return nil, nil
	}
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return nil, fmt.Errorf("%s is %.40q, which is no number", name, value)
	}
	amount, err := money.ParseUSDNumber(string(value))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &amount, nil
}

func flag(object *document, name string) (bool, error) {
	switch value := object.last(name); string(value) {
	case "true":
		return true, nil
	case "", "false", "null":
		return false, nil
	default:
		return false, fmt.Errorf("%s is %.40q, which is no boolean", name, value)
	}
}
