package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/modelroute/modelroute/internal/money"
)

const (
	// maxContextLength is the longest that a route can have, in tokens.
	maxContextLength = 100_000_000
	// maxParameters is how many a route can have.
	maxParameters = 64
)

var (
	inputModalities  = []string{"text", "image", "audio", "video", "file"}
	outputModalities = append(slices.Clone(inputModalities), "embeddings")
	parameterName    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// listedModel is what this package reads of a model in the answer of GET /models: the members of OpenRouter's, and vLLM's max_model_len.
type listedModel struct {
	ID            string `json:"id"`
	ContextLength int64  `json:"context_length"`
	MaxModelLen   int64  `json:"max_model_len"`
	Architecture  struct {
		InputModalities  []string `json:"input_modalities"`
		OutputModalities []string `json:"output_modalities"`
	} `json:"architecture"`
	Pricing     *listedPricing `json:"pricing"`
	TopProvider struct {
		ContextLength       int64 `json:"context_length"`
		MaxCompletionTokens int64 `json:"max_completion_tokens"`
	} `json:"top_provider"`
	SupportedParameters []string `json:"supported_parameters"`
}

// listedPricing is in USD per token and, of Request, in USD per request. Overrides have other prices for long prompts or some hours of the
// day; the price at the top is what holds else, or right now.
type listedPricing struct {
	Prompt            *string         `json:"prompt"`
	Completion        *string         `json:"completion"`
	Request           *string         `json:"request"`
	InternalReasoning *string         `json:"internal_reasoning"`
	CacheRead         *string         `json:"input_cache_read"`
	CacheWrite        *string         `json:"input_cache_write"`
	CacheWriteLong    *string         `json:"input_cache_write_1h"`
	Overrides         []listedPricing `json:"overrides"`
}

// ParseModels reads the answer of an upstream's GET /models, by the models' ids. (A canonical slug names no price: a model and its free
// variant share one.) Of a model that cannot be read nothing is known, and of two of one id the first counts. The error says that the
// answer is no list of models.
func ParseModels(answer []byte) (map[string]Facts, error) {
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("reading the list of models: %w", err)
	}
	if list.Data == nil {
		return nil, errors.New("reading the list of models: it has no data")
	}
	models := make(map[string]Facts, len(list.Data))
	for _, entry := range list.Data {
		var model listedModel
		if err := json.Unmarshal(entry, &model); err != nil {
			continue
		}
		if _, isDouble := models[model.ID]; isDouble || model.ID == "" {
			continue
		}
		models[model.ID] = model.facts()
	}
	return models, nil
}

func (m listedModel) facts() Facts {
	facts := Facts{
		MaxCompletionTokens: tokens(m.TopProvider.MaxCompletionTokens),
		InputModalities:     known(m.Architecture.InputModalities, inputModalities),
		OutputModalities:    known(m.Architecture.OutputModalities, outputModalities),
		SupportedParameters: parameters(m.SupportedParameters),
	}
	for _, length := range []int64{m.ContextLength, m.TopProvider.ContextLength, m.MaxModelLen} {
		if facts.ContextLength = tokens(length); facts.ContextLength > 0 {
			break
		}
	}
	if facts.ContextLength > 0 {
		facts.MaxCompletionTokens = min(facts.MaxCompletionTokens, facts.ContextLength)
	}
	if slices.Contains(facts.OutputModalities, "embeddings") {
		facts.OutputModalities = []string{"embeddings"} // Such a model produces nothing else.
	}
	if m.Pricing != nil {
		facts.Pricing = m.Pricing.highest()
	}
	return facts
}

// tokens is a number of tokens that a route can have; 0 if it cannot.
func tokens(count int64) int64 {
	if count < 0 || count > maxContextLength {
		return 0
	}
	return count
}

// known are the names that a route can have, sorted.
func known(names, all []string) []string {
	var sorted []string
	for _, name := range all {
		if slices.Contains(names, name) {
			sorted = append(sorted, name)
		}
	}
	slices.Sort(sorted)
	return sorted
}

// parameters are the names that a route can have, sorted. With more than it can have nothing is known, since a part of them would have the
// others refused.
func parameters(names []string) []string {
	sorted := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !parameterName.MatchString(name) })
	slices.Sort(sorted)
	if sorted = slices.Compact(sorted); len(sorted) > maxParameters {
		return nil
	}
	return sorted
}

// highest are the prices that no request is above: each the highest of those that hold at any time, for prompts of any length. It is nil if
// the model has no fixed price, or one that cannot be read.
func (p listedPricing) highest() *Pricing {
	if p.Prompt == nil || p.Completion == nil {
		return nil
	}
	var all readPrices
	for _, prices := range append([]listedPricing{p}, p.Overrides...) {
		if err := all.add(prices); err != nil {
			return nil
		}
	}
	pricing := Pricing{Prompt: *all.prompt, Completion: *all.completion, CachedPrompt: all.cacheRead, CacheWrite: all.cacheWrite}
	if all.request != nil {
		pricing.Request = *all.request
	}
	return &pricing
}

// readPrices are the highest of the prices that were added; nil where there was none.
type readPrices struct {
	prompt, completion, cacheRead, cacheWrite *money.Price
	request                                   *money.Amount
}

func (r *readPrices) add(p listedPricing) error {
	for _, one := range []struct {
		text  *string
		price **money.Price
	}{
		{p.Prompt, &r.prompt}, {p.Completion, &r.completion},
		{p.InternalReasoning, &r.completion}, // Tokens of reasoning are completion tokens here.
		{p.CacheRead, &r.cacheRead}, {p.CacheWrite, &r.cacheWrite}, {p.CacheWriteLong, &r.cacheWrite},
	} {
		if one.text == nil {
			continue
		}
		price, err := money.ParsePricePerToken(*one.text)
		if err != nil {
			return err
		}
		if *one.price == nil || (*one.price).Pico() < price.Pico() {
			*one.price = &price
		}
	}
	if p.Request == nil {
		return nil
	}
	request, err := money.ParseUSDNumber(*p.Request)
	if err != nil {
		return err
	}
	if _, err := money.ParseUSD(request.String()); err != nil {
		return err // No route can have such a price.
	}
	if r.request == nil || r.request.Cmp(request) < 0 {
		r.request = &request
	}
	return nil
}
