package upstream

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// providerPreferences is the part of OpenRouter's "provider" object that decides whether a request is served at all.
type providerPreferences struct {
	Only     []string `json:"only"`
	Ignore   []string `json:"ignore"`
	MaxPrice struct {
		Prompt     *priceText `json:"prompt"`
		Completion *priceText `json:"completion"`
	} `json:"max_price"`
}

// priceText is a price as a string or a number, in USD per million tokens: a million times the unit of GET /models.
type priceText string

func (p *priceText) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if _, ok := parsePerMillion(text); !ok {
		return badRequest("provider.max_price: expected a non-negative decimal of USD per million tokens")
	}
	*p = priceText(text)
	return nil
}

func (p *priceText) below(price int64) bool {
	if p == nil {
		return false
	}
	ceiling, ok := parsePerMillion(string(*p))
	return ok && ceiling < price
}

// admits refuses a route that the caller's preferences rule out, before anything is billed.
func (p providerPreferences) admits(way route, asked []string) error {
	if p.MaxPrice.Prompt.below(way.price.Prompt) || p.MaxPrice.Completion.below(way.price.Completion) {
		return unavailable(http.StatusNotFound, "constraint_filtered",
			"No endpoints found that satisfy the requested price limit.", asked, "provider.max_price")
	}
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(name string) bool { return strings.EqualFold(name, way.model.Provider) })
	}
	if (p.Only != nil && !named(p.Only)) || named(p.Ignore) {
		return unavailable(http.StatusNotFound, "constraint_filtered",
			"No allowed providers are available for the selected model.", asked, "provider")
	}
	return nil
}

// webSearch reports whether the request asks for OpenRouter's web search, which costs money of its own.
func webSearch(f fields) bool {
	if !f.absent("web_search_options") {
		return true
	}
	var plugins []struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(f["plugins"], &plugins) != nil {
		return false
	}
	return slices.ContainsFunc(plugins, func(p struct {
		ID string `json:"id"`
	}) bool {
		return p.ID == "web"
	})
}
