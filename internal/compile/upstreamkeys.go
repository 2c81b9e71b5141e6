package compile

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/budget"
	"github.com/modelroute/modelroute/internal/fence"
)

const (
	// upstreamKeyInfix stands between the names of a route and of an upstream in the name of the Secret with a key that is made. Neither
	// has a dot, so that no two of them have the same.
	upstreamKeyInfix = ".upstream."
	// defaultHeadroomPercent and defaultKeyOverlapHours are in force where the route does not say.
	defaultHeadroomPercent = 10
	defaultKeyOverlapHours = 24
)

// IsProvisioned reports whether the operator makes an upstream's API key.
func IsProvisioned(upstream v1alpha1.Upstream) bool {
	return upstream.ProvisionedKey != (v1alpha1.ProvisionedKey{})
}

// UpstreamKeySecret names the Secret with an upstream's API key, whoever has made it.
func UpstreamKeySecret(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream) v1alpha1.SecretKeyReference {
	if !IsProvisioned(upstream) {
		return upstream.APIKeySecretRef
	}
	return v1alpha1.SecretKeyReference{Name: ProvisionedSecretName(route, upstream.Name), Key: UpstreamKeyFile}
}

// ProvisionedSecretName is the name of the Secret with the key that was made for an upstream of that name.
func ProvisionedSecretName(route *v1alpha1.ModelRoute, upstream string) string {
	return route.Name + upstreamKeyInfix + upstream
}

// UpstreamKeyLimit is what the key that is made for an upstream may spend: a little more than is allowed by the tightest of the budgets
// that deny and count what is spent there, those of the route and those of the upstream. An error means that the route is not valid.
func UpstreamKeyLimit(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream, now time.Time) (fence.Limit, error) {
	var around []fence.Budget
	for _, one := range append(append([]v1alpha1.Budget(nil), route.Spec.Budgets...), upstream.Budgets...) {
		covers := budget.Coverage{Except: one.WhenExhausted.Upstream}.Covers(upstream.Name)
		if one.Enforcement != v1alpha1.EnforcementDeny || !covers {
			continue
		}
		amount, err := limitOf(one, now)
		if err != nil {
			return fence.Limit{}, fmt.Errorf("budget %s: %w", one.Name, err)
		}
		around = append(around, fence.Budget{Amount: amount, Period: budget.Period(one.Window.Period), TimeZone: one.Window.TimeZone})
	}
	return fence.Around(around, int64(cmp.Or(upstream.ProvisionedKey.HeadroomPercent, defaultHeadroomPercent))), nil
}

// UpstreamKeyInterval is how long a key that is made for an upstream is used; 0 is for as long as it is not lost.
func UpstreamKeyInterval(upstream v1alpha1.Upstream) time.Duration {
	return time.Duration(upstream.ProvisionedKey.Rotation.IntervalDays) * 24 * time.Hour
}

// UpstreamKeyOverlap is how long a key that was made for an upstream can be used after it was replaced.
func UpstreamKeyOverlap(upstream v1alpha1.Upstream) time.Duration {
	return time.Duration(cmp.Or(upstream.ProvisionedKey.Rotation.OverlapHours, defaultKeyOverlapHours)) * time.Hour
}

// UpstreamKeyName is what a key is called at the upstream, so that an administrator there sees whose it is: modelroute NAMESPACE/ROUTE
// UPSTREAM UID, the last of which tells routes of one name in several clusters, or one after the other, apart.
func UpstreamKeyName(route *v1alpha1.ModelRoute, upstream string) string {
	return upstreamKeyPrefix(route) + upstream + upstreamKeySuffix(route)
}

// IsUpstreamKeyName reports whether a key is called like those of the route, of whichever upstream.
func IsUpstreamKeyName(route *v1alpha1.ModelRoute, name string) bool {
	prefix, suffix := upstreamKeyPrefix(route), upstreamKeySuffix(route)
	upstream := len(name) - len(prefix) - len(suffix)
	return upstream > 0 && name[:len(prefix)] == prefix && name[len(name)-len(suffix):] == suffix
}

// IsAnyUpstreamKeyName reports whether a key may have been made for a route, whichever that is.
func IsAnyUpstreamKeyName(name string) bool { return strings.HasPrefix(name, upstreamKeyMark) }

// upstreamKeyMark begins the names of all keys that are made.
const upstreamKeyMark = "modelroute "

func upstreamKeyPrefix(route *v1alpha1.ModelRoute) string {
	return upstreamKeyMark + route.Namespace + "/" + route.Name + " "
}

// uidShown is how much of a route's UID is in the names of its keys.
const uidShown = 13

func upstreamKeySuffix(route *v1alpha1.ModelRoute) string {
	return " " + string(route.UID[:min(uidShown, len(route.UID))])
}

// validateUpstreamKey checks that it is known how to get an upstream's API key.
func validateUpstreamKey(upstream v1alpha1.Upstream, path *field.Path) field.ErrorList {
	isNamed := upstream.APIKeySecretRef != (v1alpha1.SecretKeyReference{})
	switch {
	case isNamed && IsProvisioned(upstream):
		return field.ErrorList{field.Forbidden(path.Child("provisionedKey"),
			"the upstream has an apiKeySecretRef as well: take one of the two away")}
	case !isNamed && !IsProvisioned(upstream):
		return field.ErrorList{field.Required(path.Child("apiKeySecretRef"), "name the Secret with the upstream's API key")}
	case IsProvisioned(upstream) && upstream.Provider != v1alpha1.ProviderOpenRouter:
		return field.ErrorList{field.Forbidden(path.Child("provisionedKey"), "only OpenRouter has keys made for it: use apiKeySecretRef")}
	}
	return nil
}

// upstreamSecretUse says what for an upstream uses a Secret, so that no consumer's can have its name; empty if it does not.
func upstreamSecretUse(route *v1alpha1.ModelRoute, upstream v1alpha1.Upstream, secret string) string {
	ref, has := CABundle(upstream)
	switch {
	case secret == UpstreamKeySecret(route, upstream).Name, secret == ProvisionedSecretName(route, upstream.Name):
		return "API key"
	case secret == upstream.ProvisionedKey.ManagementKeySecretRef.Name:
		return "management key"
	case has && ref.Kind == v1alpha1.CABundleSecret && ref.Name == secret:
		return "authorities"
	}
	return ""
}
