package catalog

import (
	"bytes"
	_ "embed" // For the list.
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/modelroute/modelroute/internal/money"
)

// builtInList says where each of its entries is from, and of what day.
//
//go:embed models.json
var builtInList []byte

type builtInModel struct {
	Provider            string         `json:"provider"`
	ID                  string         `json:"id"`
	Source              string         `json:"source"`
	Date                string         `json:"date"`
	ContextLength       int64          `json:"contextLength"`
	MaxCompletionTokens int64          `json:"maxCompletionTokens"`
	InputModalities     []string       `json:"inputModalities"`
	OutputModalities    []string       `json:"outputModalities"`
	SupportedParameters []string       `json:"supportedParameters"`
	Pricing             builtInPricing `json:"usdPerMillionTokens"`
}

type builtInPricing struct {
	Prompt       string `json:"prompt"`
	Completion   string `json:"completion"`
	CachedPrompt string `json:"cachedPrompt"`
	CacheWrite   string `json:"cacheWrite"`
}

type modelKey struct{ provider, id string }

// builtIn is read once. A list that cannot be read is a mistake of ours, which a test finds.
var builtIn = sync.OnceValue(func() map[modelKey]Facts {
	models, err := parseBuiltIn(builtInList)
	if err != nil {
		panic(err)
	}
	return models
})

// BuiltIn is what the built-in list says of a model at a provider, such as OpenRouter, by the id that it has there; false if nothing.
func BuiltIn(provider, id string) (Facts, bool) {
	facts, known := builtIn()[modelKey{provider, id}]
	return facts, known
}

// parseBuiltIn reads the list strictly. The errors name the model.
func parseBuiltIn(list []byte) (map[modelKey]Facts, error) {
	var parsed struct {
		Models []builtInModel `json:"models"`
	}
	decoder := json.NewDecoder(bytes.NewReader(list))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		return nil, fmt.Errorf("the built-in list of models: %w", err)
	}
	models := make(map[modelKey]Facts, len(parsed.Models))
	for _, model := range parsed.Models {
		key := modelKey{model.Provider, model.ID}
		facts, err := model.facts()
		if _, isDouble := models[key]; isDouble {
			err = errors.New("is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("the built-in list of models: %s at %s: %w", model.ID, model.Provider, err)
		}
		models[key] = facts
	}
	return models, nil
}

func (m builtInModel) facts() (Facts, error) {
	if m.Provider == "" || m.ID == "" || m.Source == "" || m.ContextLength <= 0 {
		return Facts{}, errors.New("provider, id, source and contextLength must be set")
	}
	if _, err := time.Parse(time.DateOnly, m.Date); err != nil {
		return Facts{}, fmt.Errorf("date: %w", err)
	}
	pricing, err := m.Pricing.prices()
	if err != nil {
		return Facts{}, err
	}
	return Facts{
		ContextLength: m.ContextLength, MaxCompletionTokens: m.MaxCompletionTokens,
		InputModalities:     slices.Sorted(slices.Values(m.InputModalities)),
		OutputModalities:    slices.Sorted(slices.Values(m.OutputModalities)),
		SupportedParameters: slices.Sorted(slices.Values(m.SupportedParameters)),
		Pricing:             pricing,
	}, nil
}

func (p builtInPricing) prices() (*Pricing, error) {
	var pricing Pricing
	var err error
	if pricing.Prompt, err = money.ParsePricePerMillion(p.Prompt); err != nil {
		return nil, err
	}
	if pricing.Completion, err = money.ParsePricePerMillion(p.Completion); err != nil {
		return nil, err
	}
	for _, optional := range []struct {
		text  string
		price **money.Price
	}{{p.CachedPrompt, &pricing.CachedPrompt}, {p.CacheWrite, &pricing.CacheWrite}} {
		if optional.text == "" {
			continue
		}
		price, err := money.ParsePricePerMillion(optional.text)
		if err != nil {
			return nil, err
		}
		*optional.price = &price
	}
	return &pricing, nil
}
