package portal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/openai"
)

// Tone is how something looks: the name of a class of the style sheet.
type Tone string

// The tones.
const (
	Good    Tone = "good"
	Warning Tone = "warning"
	Bad     Tone = "bad"
	Neutral Tone = "neutral"
)

// Route is a route as its page shows it. There is nothing secret in it: neither a key nor a token is in what it is made of.
type Route struct {
	Namespace, Name string
	// Title is the model's name for people, Model the one that clients send, and Aliases are other names that they may send.
	Title, Model string
	Aliases      []string
	// Maker is who made the model; empty if that is not known.
	Maker        string
	Description  string
	Availability Availability
	Conditions   []Condition
	// ContextLength and MaxCompletionTokens are numbers of tokens; empty if they are not known.
	ContextLength, MaxCompletionTokens string
	Input, Output                      string
	BaseURL                            string
	// Paths are those below BaseURL at which the model is served.
	Paths []string
	// Prices are those of the upstreams that serve requests in the order of the spec, each once.
	Prices     []Price
	Examples   []Example
	Parameters []Parameter
	// Others says what becomes of parameters that are not there.
	Others     string
	Spent      string
	Budgets    []Budget
	RateLimits []string
	Consumers  []Consumer
	Upstreams  []Upstream
	// Spending is what was spent over time. It is not part of what the route says, and added later.
	Spending Spending
	// Chats says that the model can be talked to, by chat completions.
	Chats bool
}

// Price is what tokens cost at an upstream, such as "$2.00", per million tokens; Request is per
// request. What is empty has no price of its own.
type Price struct {
	Prompt, Completion, CachedPrompt, CacheWrite, Request string
	// Known is false if no price is known.
	Known bool
}

// Consumer is somebody who may use the route.
type Consumer struct {
	Name, Team string
	// TeamHasPage says that the team has budgets that the visitor may see.
	TeamHasPage bool
	// Secret is the name of the Secret that has the key, KeyID what the key is called in logs. Neither is the key.
	Secret, KeyID   string
	ServiceAccounts []string
	Spent           string
	// LastUse is when it was last seen to spend, such as "3 hours ago"; empty if it was not.
	LastUse    string
	Budgets    []Budget
	RateLimits []string
}

// Upstream is a place that serves the model.
type Upstream struct {
	Name, Provider, BaseURL, Model string
	Price                          Price
	// Source says where the price is from.
	Source  string
	Budgets []Budget
	// Reserve says that it serves only what a budget refuses.
	Reserve bool
	// Books says whether its books agree with ours; empty if that is not compared. Tone is how that looks.
	Books string
	Tone  Tone
	// Compared are the amounts of both, and since when; empty if they are not compared.
	Compared string
}

// NewRoute is the page of a route. It is made of the route's spec and status alone.
func NewRoute(route *v1alpha1.ModelRoute, now time.Time) (Route, error) {
	served, supported := inForce(route)
	model, paths := served.Spec.Model, compile.Paths(served)
	shown := Route{
		Namespace: route.Namespace, Name: route.Name, Title: title(served), Model: compile.ModelName(served), Aliases: model.Aliases,
		Maker: maker(served), Description: model.Description,
		Availability: availability(route), Conditions: conditions(route.Status.Conditions),
		ContextLength: count(model.ContextLength), MaxCompletionTokens: count(model.MaxCompletionTokens),
		Input: joined(model.InputModalities), Output: joined(model.OutputModalities),
		BaseURL: baseURL(route), Paths: paths, Prices: prices(served),
		Others: others(served), Budgets: budgets(route.Spec.Budgets, route.Status.Budgets, now),
		RateLimits: rateLimits(route.Spec.RateLimits), Consumers: consumers(route, now), Upstreams: upstreams(route, served, now),
		Chats: slices.Contains(paths, openai.Chat.Path),
	}
	if route.Status.Spend != nil {
		shown.Spent = dollars(route.Status.Spend.Total)
	}
	operation := openai.Chat
	if len(paths) > 0 {
		operation = openai.OperationAt(paths[0])
	}
	shown.Parameters = parameters(operation, served, supported)
	var err error
	if shown.Examples, err = examples(shown.BaseURL, shown.Model, operation.Path); err != nil {
		return Route{}, fmt.Errorf("the page of route %s/%s: %w", route.Namespace, route.Name, err)
	}
	return shown, nil
}

// inForce is a route with what it leaves out: what its status says is in force, else what the built-in catalog has. It also returns the
// parameters that the model supports, as far as that is known.
func inForce(route *v1alpha1.ModelRoute) (served *v1alpha1.ModelRoute, supported []string) {
	route = route.DeepCopy()
	model := &route.Spec.Model
	if status := route.Status.Model; status != nil {
		supported = status.SupportedParameters
		model.ContextLength = cmp.Or(model.ContextLength, status.ContextLength)
		model.MaxCompletionTokens = cmp.Or(model.MaxCompletionTokens, status.MaxCompletionTokens)
		if len(model.InputModalities) == 0 {
			model.InputModalities = status.InputModalities
		}
		if len(model.OutputModalities) == 0 {
			model.OutputModalities = status.OutputModalities
		}
	}
	completed := compile.Complete(route, nil)
	switch {
	case len(model.SupportedParameters) > 0:
		supported = model.SupportedParameters
	case len(supported) == 0:
		supported = completed.SupportedParameters
	}
	return completed.Route, supported
}

func title(route *v1alpha1.ModelRoute) string {
	return cmp.Or(route.Spec.Model.DisplayName, compile.ModelName(route))
}

// makers are the names of those who make models, by what their models' ids begin with.
var makers = map[string]string{
	"amazon": "Amazon", "anthropic": "Anthropic", "cohere": "Cohere", "deepseek": "DeepSeek", "google": "Google", "ibm-granite": "IBM",
	"meta-llama": "Meta", "microsoft": "Microsoft", "mistralai": "Mistral", "moonshotai": "Moonshot AI", "nvidia": "NVIDIA",
	"openai": "OpenAI", "qwen": "Qwen", "x-ai": "xAI", "z-ai": "Z.AI",
}

// maker is who made the model, by the names that it has: catalogues put the maker before a slash. At their own makers' APIs models have
// plain names.
func maker(route *v1alpha1.ModelRoute) string {
	var names []string
	for _, upstream := range route.Spec.Upstreams {
		names = append(names, upstream.Model)
	}
	names = append(append(names, compile.ModelName(route)), route.Spec.Model.Aliases...)
	for _, name := range names {
		if prefix, _, found := strings.Cut(name, "/"); found {
			return cmp.Or(makers[strings.ToLower(prefix)], prefix)
		}
	}
	for _, upstream := range route.Spec.Upstreams {
		if upstream.Provider == v1alpha1.ProviderOpenAI || upstream.Provider == v1alpha1.ProviderMistral {
			return string(upstream.Provider)
		}
	}
	return ""
}

// baseURL is where clients find the route.
func baseURL(route *v1alpha1.ModelRoute) string {
	return cmp.Or(route.Status.Endpoint, compile.Endpoint(route))
}

// joined are modalities as a list; text where there are none.
func joined[Name ~string](names []Name) string {
	if len(names) == 0 {
		return "text"
	}
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, ", ")
}

func price(pricing v1alpha1.Pricing) Price {
	return Price{
		Prompt: perMillion(string(pricing.Prompt)), Completion: perMillion(string(pricing.Completion)),
		CachedPrompt: perMillion(string(pricing.CachedPrompt)), CacheWrite: perMillion(string(pricing.CacheWrite)),
		Request: dollars(string(pricing.Request)), Known: pricing != v1alpha1.Pricing{},
	}
}

// prices are those of a route that was completed.
func prices(route *v1alpha1.ModelRoute) []Price {
	var all []Price
	for _, upstream := range route.Spec.Upstreams {
		if one := price(upstream.Pricing); !slices.Contains(all, one) && !isReserve(route, upstream.Name) {
			all = append(all, one)
		}
	}
	return all
}

// isReserve reports whether an upstream serves only what a budget refuses.
func isReserve(route *v1alpha1.ModelRoute, upstream string) bool {
	names := func(one v1alpha1.Budget) bool { return one.WhenExhausted.Upstream == upstream }
	return slices.ContainsFunc(route.Spec.Budgets, names) ||
		slices.ContainsFunc(route.Spec.Consumers, func(one v1alpha1.Consumer) bool { return slices.ContainsFunc(one.Budgets, names) })
}
