package upstream

import (
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

type plugin struct {
	ID string `json:"id"`
}

// readWebSearch notes whether the request asks for OpenRouter's web search, which costs money of its own.
func readWebSearch(f fields, req *request) error {
	var plugins []plugin
	if err := read(f, "plugins", &plugins); err != nil {
		return err
	}
	req.webSearch = !f.absent("web_search_options") || slices.ContainsFunc(plugins, func(p plugin) bool { return p.ID == "web" })
	return nil
}
