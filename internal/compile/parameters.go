package compile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/openai"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// limitName is the parameter that limits bound.
const limitName = "max_completion_tokens"

// parameters returns the values that the route has for parameters, sorted by name.
func parameters(route *v1alpha1.ModelRoute) (defaults, overrides []routeconfig.Parameter, err error) {
	spec := route.Spec.Parameters
	if spec == nil {
		return nil, nil, nil
	}
	if defaults, err = parameterValues(spec.Defaults); err != nil {
		return nil, nil, fmt.Errorf("spec.parameters.defaults: %w", err)
	}
	if overrides, err = parameterValues(spec.Overrides); err != nil {
		return nil, nil, fmt.Errorf("spec.parameters.overrides: %w", err)
	}
	return defaults, overrides, nil
}

// parameterValues returns the parameters that are set, sorted by name. They go through JSON, since the field names of the API type are the
// names of the parameters, and a parameter added there is then not forgotten here.
func parameterValues(values *v1alpha1.ParameterValues) ([]routeconfig.Parameter, error) {
	if values == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var byName map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &byName); err != nil {
		return nil, err
	}
	compiled := make([]routeconfig.Parameter, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		compiled = append(compiled, routeconfig.Parameter{Name: name, Value: byName[name]})
	}
	return compiled, nil
}

func maxCompletionTokens(route *v1alpha1.ModelRoute) int64 {
	if route.Spec.Parameters == nil {
		return 0
	}
	return route.Spec.Parameters.Limits.MaxCompletionTokens
}

// unsupported says what becomes of parameters that the model does not support. Where the route does not say which those are, they are
// passed on; where it does, a client that relies on one of them is told so, rather than answered as if it had not sent it.
func unsupported(route *v1alpha1.ModelRoute) routeconfig.Unsupported {
	switch spec := route.Spec.Parameters; {
	case len(route.Spec.Model.SupportedParameters) == 0:
		return ""
	case spec == nil || spec.Unsupported == "":
		return routeconfig.RejectUnsupported
	default:
		return routeconfig.Unsupported(spec.Unsupported)
	}
}

func validateParameters(route *v1alpha1.ModelRoute, path *field.Path) field.ErrorList {
	spec := route.Spec.Parameters
	if spec == nil {
		return nil
	}
	defaults, overrides, err := parameters(route)
	if err != nil {
		return field.ErrorList{field.Invalid(path, "", err.Error())}
	}
	errs := validateValues(route, defaults, path.Child("defaults"))
	errs = append(errs, validateValues(route, overrides, path.Child("overrides"))...)
	for _, override := range overrides {
		if slices.ContainsFunc(defaults, func(d routeconfig.Parameter) bool { return d.Name == override.Name }) {
			errs = append(errs, field.Invalid(path.Child("overrides", override.Name), string(override.Value),
				"is in defaults too: an override is always set, so its default never is; keep one of them"))
		}
	}
	switch spec.Unsupported {
	case "", v1alpha1.UnsupportedReject, v1alpha1.UnsupportedDrop:
	default:
		errs = append(errs, field.NotSupported(path.Child("unsupported"), spec.Unsupported,
			[]v1alpha1.UnsupportedParameters{v1alpha1.UnsupportedReject, v1alpha1.UnsupportedDrop}))
	}
	if spec.Unsupported != "" && len(route.Spec.Model.SupportedParameters) == 0 {
		errs = append(errs, field.Invalid(path.Child("unsupported"), spec.Unsupported,
			"needs model.supportedParameters: list those that the model supports"))
	}
	return append(errs, validateLimits(route, path)...)
}

// validateValues checks the values that the route has for parameters against what the proxies know of them, at every upstream.
func validateValues(route *v1alpha1.ModelRoute, values []routeconfig.Parameter, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, value := range values {
		path := path.Child(value.Name)
		for _, upstream := range route.Spec.Upstreams {
			setting := openai.Setting{Name: value.Name, Value: value.Value}
			if err := openai.CheckSetting(setting, openai.ProviderOf(string(upstream.Provider))); err != nil {
				errs = append(errs, field.Invalid(path, string(value.Value), fmt.Sprintf("at upstream %s: %v", upstream.Name, err)))
			}
		}
		if supported := route.Spec.Model.SupportedParameters; len(supported) > 0 && !openai.IsSupported(value.Name, supported) {
			errs = append(errs, field.Invalid(path, string(value.Value),
				"is not in model.supportedParameters: add it there if the model supports it, else take it away here"))
		}
	}
	return errs
}

// validateLimits checks the completion limits that the route sets against each other and against what the model can produce.
func validateLimits(route *v1alpha1.ModelRoute, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	spec, limit := route.Spec.Parameters, route.Spec.Parameters.Limits.MaxCompletionTokens
	most := route.Spec.Model.ContextLength
	if produced := route.Spec.Model.MaxCompletionTokens; produced > 0 {
		most = produced
	}
	if limit < 0 {
		errs = append(errs, field.Invalid(path.Child("limits", limitName), limit, "must be at least 1; leave it out for no limit"))
	}
	for part, tokens := range limitsOf(spec) {
		if tokens > most {
			errs = append(errs, field.Invalid(path.Child(part, limitName), tokens, fmt.Sprintf("is more than the %d tokens that the model "+
				"can produce (model.maxCompletionTokens or, without it, model.contextLength)", most)))
		}
	}
	if spec.Defaults != nil && limit > 0 && spec.Defaults.MaxCompletionTokens > limit {
		errs = append(errs, field.Invalid(path.Child("defaults", limitName), spec.Defaults.MaxCompletionTokens,
			"is more than limits.max_completion_tokens: requests would be lowered to the limit"))
	}
	if spec.Overrides != nil && limit > 0 && spec.Overrides.MaxCompletionTokens > 0 {
		errs = append(errs, field.Invalid(path.Child("overrides", limitName), spec.Overrides.MaxCompletionTokens,
			"is what every request has, so limits.max_completion_tokens has nothing to lower: keep one of them"))
	}
	return errs
}

// limitsOf gives the completion limits of a route by where they stand, in a fixed order.
func limitsOf(spec *v1alpha1.Parameters) func(yield func(part string, tokens int64) bool) {
	return func(yield func(string, int64) bool) {
		if spec.Defaults != nil && !yield("defaults", spec.Defaults.MaxCompletionTokens) {
			return
		}
		if spec.Overrides != nil && !yield("overrides", spec.Overrides.MaxCompletionTokens) {
			return
		}
		yield("limits", spec.Limits.MaxCompletionTokens)
	}
}
