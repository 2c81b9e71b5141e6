package compile

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

const (
	// maxRateLimits keeps the accounts of one owner within what the ledger takes: each rate limit can be two of them.
	maxRateLimits = 8
	// maxPeriodSeconds is a day; what is longer is a budget's business.
	maxPeriodSeconds = 24 * 60 * 60
	// maxCount is the largest limit: far above what any upstream serves, and a number that every JSON reader holds exactly.
	maxCount = 1_000_000_000_000
	// maxRateLimitName is the longest name.
	maxRateLimitName = 40
)

// ledgerRateLimits are the accounts of an owner's rate limits, one for each limit that is set; one that is absent needs none.
func ledgerRateLimits(consumer string, limits []v1alpha1.RateLimit) []*ledgerpb.Budget {
	var compiled []*ledgerpb.Budget
	for _, limit := range limits {
		add := func(unit ledgerpb.Unit, count *int64) {
			if count == nil {
				return
			}
			compiled = append(compiled, &ledgerpb.Budget{
				Ref:           &ledgerpb.BudgetRef{Consumer: consumer, Name: limit.Name, Unit: unit},
				Limit:         *count,
				Period:        ledgerpb.Period_PERIOD_SECONDS,
				PeriodSeconds: int64(limit.PeriodSeconds),
				Enforcement:   ledgerpb.Enforcement_ENFORCEMENT_DENY,
			})
		}
		add(ledgerpb.Unit_UNIT_REQUESTS, limit.Requests)
		add(ledgerpb.Unit_UNIT_TOKENS, limit.Tokens)
	}
	return compiled
}

// limitsTokens reports whether any of the rate limits counts tokens, so that each request must have a bound.
func limitsTokens(limits []v1alpha1.RateLimit) bool {
	return slices.ContainsFunc(limits, func(limit v1alpha1.RateLimit) bool { return limit.Tokens != nil })
}

func validateRateLimits(limits []v1alpha1.RateLimit, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(limits) > maxRateLimits {
		errs = append(errs, field.TooMany(path, len(limits), maxRateLimits))
	}
	names := map[string]bool{}
	for i, limit := range limits {
		path := path.Index(i)
		if names[limit.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), limit.Name))
		}
		names[limit.Name] = true
		errs = append(errs, validateRateLimit(limit, path)...)
	}
	return errs
}

func validateRateLimit(limit v1alpha1.RateLimit, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(limit.Name) > maxRateLimitName || len(validation.IsDNS1123Label(limit.Name)) > 0 {
		errs = append(errs, field.Invalid(path.Child("name"), limit.Name,
			"must be at most 40 small letters, digits and hyphens, with a letter or digit at both ends, such as per-minute"))
	}
	if limit.PeriodSeconds < 1 || limit.PeriodSeconds > maxPeriodSeconds {
		errs = append(errs, field.Invalid(path.Child("periodSeconds"), limit.PeriodSeconds,
			"must be between 1 and 86400 seconds: limit what is spent in a longer time with a budget"))
	}
	if limit.Requests == nil && limit.Tokens == nil {
		errs = append(errs, field.Required(path, "this rate limit limits nothing: set requests, tokens, or both"))
	}
	errs = append(errs, validateCount(limit.Requests, path.Child("requests"))...)
	return append(errs, validateCount(limit.Tokens, path.Child("tokens"))...)
}

func validateCount(count *int64, path *field.Path) field.ErrorList {
	if count != nil && (*count < 0 || *count > maxCount) {
		return field.ErrorList{field.Invalid(path, *count,
			"must be between 0, which allows nothing, and 1000000000000: leave it out for no limit")}
	}
	return nil
}
