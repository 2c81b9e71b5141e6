package portal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
)

// Parameter is a parameter of requests, as the route takes it.
type Parameter struct {
	Name string
	// Values is what it may be, and About what it does. Names in About stand between backticks.
	Values, About string
	// Default is what the route sets where the client sends nothing, Always what it sets whatever the client sends, as JSON; empty for
	// nothing.
	Default, Always string
	// Most is what larger values are lowered to; empty for nothing.
	Most string
}

// parameters are those of the operation that the model supports, as catalogues list it, and that the route sets. Where it is not known what
// the model supports, they are all that a model may support.
func parameters(operation *openai.Operation, route *v1alpha1.ModelRoute, supported []string) []Parameter {
	var values v1alpha1.Parameters
	if route.Spec.Parameters != nil {
		values = *route.Spec.Parameters
	}
	defaults, always := settings(values.Defaults), settings(values.Overrides)
	var shown []Parameter
	for _, info := range operation.Describe(provider(route)) {
		one := Parameter{
			Name: info.Name, Values: cmp.Or(info.Values, "anything"), About: info.About,
			Default: defaults[info.Name], Always: always[info.Name],
		}
		if most := values.Limits.MaxCompletionTokens; info.Limit && most > 0 {
			one.Most = count(most)
		}
		isSupported := info.Limit || info.Listed && (len(supported) == 0 || slices.Contains(supported, info.Name))
		if isSupported || one.Default != "" || one.Always != "" {
			shown = append(shown, one)
		}
	}
	return shown
}

// provider is whose parameters the route has: those of its first upstream, which is asked first.
func provider(route *v1alpha1.ModelRoute) openai.Provider {
	if len(route.Spec.Upstreams) == 0 {
		return openai.Compatible
	}
	return openai.ProviderOf(string(route.Spec.Upstreams[0].Provider))
}

// settings are the values that a route has for parameters, as JSON by name. Their names are those of the API type's fields.
func settings(values *v1alpha1.ParameterValues) map[string]string {
	if values == nil {
		return nil
	}
	encoded, err := json.Marshal(values)
	var byName map[string]json.RawMessage
	if err != nil || json.Unmarshal(encoded, &byName) != nil {
		return nil // What was read from JSON can be written as JSON.
	}
	texts := make(map[string]string, len(byName))
	for name, value := range byName {
		texts[name] = string(value)
	}
	return texts
}

// others says what becomes of a parameter that is not among those that are shown.
func others(route *v1alpha1.ModelRoute) string {
	refused, unsupported := len(route.Spec.Model.SupportedParameters) > 0, v1alpha1.UnsupportedParameters("")
	if route.Spec.Parameters != nil {
		unsupported = route.Spec.Parameters.Unsupported
	}
	switch {
	case !refused:
		return "Parameters that are not listed here are passed on as they are."
	case unsupported == v1alpha1.UnsupportedDrop:
		return "A parameter that the model does not support is taken out of the request."
	}
	return "A parameter that the model does not support is refused, with 400."
}

// rateLimits are the rate limits of a route, as sentences.
func rateLimits(limits []v1alpha1.RateLimit) []string {
	var sentences []string
	for _, limit := range limits {
		period := every(int64(limit.PeriodSeconds), "second")
		if limit.PeriodSeconds%60 == 0 {
			period = every(int64(limit.PeriodSeconds)/60, "minute")
		}
		if limit.Requests != nil {
			sentences = append(sentences, fmt.Sprintf("%s requests %s", cmp.Or(count(*limit.Requests), "0"), period))
		}
		if limit.Tokens != nil {
			sentences = append(sentences, fmt.Sprintf("%s tokens %s", cmp.Or(count(*limit.Tokens), "0"), period))
		}
	}
	return sentences
}

func every(number int64, noun string) string {
	if number == 1 {
		return "every " + noun
	}
	return "every " + plural(number, noun)
}
