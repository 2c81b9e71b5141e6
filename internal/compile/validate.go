package compile

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/money"
)

// ConfigSecretSuffix ends the name of the Secret with a route's compiled configuration; no consumer's Secret may have such a name.
const ConfigSecretSuffix = ".config"

// Validate returns what is wrong with a route. The API server has refused most of it already, by schema and CEL; what it cannot
// check, such as the names of time zones, is checked here, and the rest once more, for routes that an older schema let in. Every
// message says what to do. What the route leaves out must have been completed.
func Validate(route *v1alpha1.ModelRoute) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateUpstreams(route.Spec.Upstreams, spec.Child("upstreams"))
	errs = append(errs, validatePriced(route, spec.Child("upstreams"))...)
	errs = append(errs, validateModel(route, spec)...)
	errs = append(errs, validateGateway(route, spec)...)
	errs = append(errs, validateBudgets(route.Spec.Budgets, spec.Child("budgets"))...)
	errs = append(errs, validateRateLimits(route.Spec.RateLimits, spec.Child("rateLimits"))...)
	errs = append(errs, validateReserves(route, spec)...)
	errs = append(errs, validateAllowed(route.Spec.Keys.AllowedNamespaces, spec.Child("keys", "allowedNamespaces"))...)
	return append(errs, validateConsumers(route, spec.Child("consumers"))...)
}

func validateModel(route *v1alpha1.ModelRoute, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	model := route.Spec.Model
	if model.ContextLength <= 0 {
		errs = append(errs, field.Required(spec.Child("model", "contextLength"),
			"no upstream lists it, and the built-in catalog has none: write how many tokens prompt and completion may have together"))
	}
	if model.MaxCompletionTokens > model.ContextLength && model.ContextLength > 0 {
		errs = append(errs, field.Invalid(spec.Child("model", "maxCompletionTokens"), model.MaxCompletionTokens, fmt.Sprintf(
			"is more than the context of %d tokens: a model cannot produce more tokens than its context has", model.ContextLength)))
	}
	for i, alias := range model.Aliases {
		if alias == ModelName(route) {
			errs = append(errs, field.Invalid(spec.Child("model", "aliases").Index(i), alias, "is the model's name: list only other names"))
		}
	}
	return append(errs, validateParameters(route, spec.Child("parameters"))...)
}

func validateUpstreams(upstreams []v1alpha1.Upstream, path *field.Path) field.ErrorList {
	if len(upstreams) == 0 {
		return field.ErrorList{field.Required(path, "name the place that serves the model")}
	}
	var errs field.ErrorList
	names := map[string]bool{}
	for i, upstream := range upstreams {
		if names[upstream.Name] {
			errs = append(errs, field.Duplicate(path.Index(i).Child("name"), upstream.Name))
		}
		names[upstream.Name] = true
		if !isUnpriced(upstream) {
			errs = append(errs, validatePricing(upstream.Pricing, path.Index(i).Child("pricing"))...)
		}
		errs = append(errs, validateUpstreamKey(upstream, path.Index(i))...)
		errs = append(errs, validateBudgets(upstream.Budgets, path.Index(i).Child("budgets"))...)
		if upstream.Attribution != (v1alpha1.Attribution{}) && upstream.Provider != v1alpha1.ProviderOpenRouter {
			errs = append(errs, field.Forbidden(path.Index(i).Child("attribution"), "is told to OpenRouter alone: take it away"))
		}
	}
	return errs
}

// validatePriced checks that there is a price wherever one is reserved.
func validatePriced(route *v1alpha1.ModelRoute, path *field.Path) field.ErrorList {
	if !deniesMoney(route) {
		return nil
	}
	var errs field.ErrorList
	for i, upstream := range route.Spec.Upstreams {
		if isUnpriced(upstream) {
			errs = append(errs, field.Required(path.Index(i).Child("pricing"), fmt.Sprintf(
				"a budget denies, and no price is known of %s at upstream %s: write what it costs in USD per million tokens, such as "+
					`{prompt: "2.00", completion: "6.00"}`, UpstreamModelOf(route, upstream).ID, upstream.Name)))
		}
	}
	return errs
}

func validatePricing(pricing v1alpha1.Pricing, path *field.Path) field.ErrorList {
	errs := validatePrice(pricing.Prompt, path.Child("prompt"))
	errs = append(errs, validatePrice(pricing.Completion, path.Child("completion"))...)
	if pricing.CachedPrompt != "" {
		errs = append(errs, validatePrice(pricing.CachedPrompt, path.Child("cachedPrompt"))...)
	}
	if pricing.CacheWrite != "" {
		errs = append(errs, validatePrice(pricing.CacheWrite, path.Child("cacheWrite"))...)
	}
	if _, err := money.ParseUSD(string(pricing.Request)); pricing.Request != "" && err != nil {
		errs = append(errs, field.Invalid(path.Child("request"), pricing.Request, `must be USD as a quoted decimal, such as "0.005"`))
	}
	return errs
}

func validatePrice(price v1alpha1.USDPerMillionTokens, path *field.Path) field.ErrorList {
	if _, err := money.ParsePricePerMillion(string(price)); err != nil {
		return field.ErrorList{field.Invalid(path, price, `must be USD per million tokens as a quoted decimal, such as "2.00"`)}
	}
	return nil
}

func validateBudgets(budgets []v1alpha1.Budget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, spec := range budgets {
		path := path.Index(i)
		if names[spec.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), spec.Name))
		}
		names[spec.Name] = true
		if _, err := money.ParseUSD(string(spec.Amount)); err != nil {
			errs = append(errs, field.Invalid(path.Child("amount"), spec.Amount, `must be USD as a quoted decimal, such as "500.00"`))
		}
		errs = append(errs, validateCredits(spec.Credits, path.Child("credits"))...)
		if _, err := budget.NewCalendar(budget.Period(spec.Window.Period), spec.Window.TimeZone); err != nil {
			window := fmt.Sprintf("%s %s", spec.Window.Period, spec.Window.TimeZone)
			errs = append(errs, field.Invalid(path.Child("window"), window, err.Error()))
		}
		if _, known := enforcements[spec.Enforcement]; !known {
			errs = append(errs, field.NotSupported(path.Child("enforcement"), spec.Enforcement,
				[]v1alpha1.Enforcement{v1alpha1.EnforcementDeny, v1alpha1.EnforcementWarn}))
		}
	}
	return errs
}

func validateCredits(credits []v1alpha1.Credit, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, credit := range credits {
		path := path.Index(i)
		if names[credit.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), credit.Name))
		}
		names[credit.Name] = true
		if credit.ExpireTime == nil {
			errs = append(errs, field.Required(path.Child("expireTime"), "say until when the credit counts"))
		}
		if _, err := money.ParseUSD(string(credit.Amount)); err != nil {
			errs = append(errs, field.Invalid(path.Child("amount"), credit.Amount, `must be USD as a quoted decimal, such as "50.00"`))
		}
	}
	return errs
}

func validateConsumers(route *v1alpha1.ModelRoute, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names, secrets := map[string]bool{}, map[string]string{}
	for i, consumer := range route.Spec.Consumers {
		path := path.Index(i)
		if names[consumer.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), consumer.Name))
		}
		names[consumer.Name] = true
		errs = append(errs, validateSecretName(route, consumer, secrets, path.Child("secretName"))...)
		errs = append(errs, validateBudgets(consumer.Budgets, path.Child("budgets"))...)
		errs = append(errs, validateRateLimits(consumer.RateLimits, path.Child("rateLimits"))...)
	}
	return append(errs, validateAccounts(route, path)...)
}

// validateSecretName checks the name of the Secret of a consumer's key, and enters it in secrets, which says whose every Secret is.
func validateSecretName(
	route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer, secrets map[string]string, path *field.Path,
) field.ErrorList {
	var errs field.ErrorList
	secret := SecretName(route, consumer)
	if other, taken := secrets[secret]; taken {
		errs = append(errs, field.Invalid(path, secret,
			fmt.Sprintf("is also the Secret of consumer %s: give one of them another secretName", other)))
	}
	secrets[secret] = consumer.Name
	if secret == route.Name+ConfigSecretSuffix {
		errs = append(errs, field.Invalid(path, secret,
			"is the Secret with the proxies' configuration: choose another name"))
	}
	if certificate, has := TLSSecret(route); has && secret == certificate {
		errs = append(errs, field.Invalid(path, secret,
			"is the Secret with the certificate of proxy.tls: choose another name"))
	}
	for _, upstream := range route.Spec.Upstreams {
		if use := upstreamSecretUse(route, upstream, secret); use != "" {
			errs = append(errs, field.Invalid(path, secret, "is the Secret with the upstream's "+use+": choose another name"))
		}
	}
	return errs
}
