package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// HasKey reports whether a consumer of a spec has a key, and not ServiceAccounts in its place.
func HasKey(consumer v1alpha1.Consumer) bool { return len(consumer.ServiceAccounts) == 0 }

// KeyHasKey is HasKey for a ModelKey.
func KeyHasKey(key *v1alpha1.ModelKey) bool { return len(key.Spec.ServiceAccounts) == 0 }

// consumerAccounts are the ServiceAccounts of a consumer of a route's spec.
func consumerAccounts(route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer) []types.NamespacedName {
	accounts := make([]types.NamespacedName, 0, len(consumer.ServiceAccounts))
	for _, ref := range consumer.ServiceAccounts {
		accounts = append(accounts, types.NamespacedName{Namespace: cmp.Or(ref.Namespace, route.Namespace), Name: ref.Name})
	}
	return accounts
}

// KeyAccounts are the ServiceAccounts of a ModelKey: they are in its own namespace, so that nobody claims the workloads of others.
func KeyAccounts(key *v1alpha1.ModelKey) []types.NamespacedName {
	accounts := make([]types.NamespacedName, 0, len(key.Spec.ServiceAccounts))
	for _, ref := range key.Spec.ServiceAccounts {
		accounts = append(accounts, types.NamespacedName{Namespace: key.Namespace, Name: ref.Name})
	}
	return accounts
}

// AccountClaims says for which consumer of a route the tokens of each ServiceAccount stand.
type AccountClaims struct {
	// Granted are the accounts of each consumer, and Taken those that it names and another one has, by the consumers' names.
	Granted, Taken map[string][]types.NamespacedName
}

// ClaimAccounts gives each ServiceAccount to one consumer of a route: to one of its spec before any ModelKey, and to the first of the
// ModelKeys that names it.
func ClaimAccounts(route *v1alpha1.ModelRoute, modelKeys []*v1alpha1.ModelKey) AccountClaims {
	claims := AccountClaims{Granted: map[string][]types.NamespacedName{}, Taken: map[string][]types.NamespacedName{}}
	taken := map[types.NamespacedName]bool{}
	for _, consumer := range Consumers(route, modelKeys) {
		for _, account := range consumer.ServiceAccounts {
			whose := claims.Granted
			if taken[account] {
				whose = claims.Taken
			}
			taken[account] = true
			whose[consumer.Name] = append(whose[consumer.Name], account)
		}
	}
	return claims
}

func sortedAccounts(accounts []routeconfig.ServiceAccount) []routeconfig.ServiceAccount {
	return slices.SortedFunc(slices.Values(accounts), func(a, b routeconfig.ServiceAccount) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// validateAccounts checks the ServiceAccounts of a route's consumers.
func validateAccounts(route *v1alpha1.ModelRoute, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	holders := map[types.NamespacedName]string{}
	for i, consumer := range route.Spec.Consumers {
		path := path.Index(i)
		if !HasKey(consumer) {
			errs = append(errs, validateKeyless(consumer.SecretName, consumer.Rotation, path)...)
		}
		for j, account := range consumerAccounts(route, consumer) {
			if other, taken := holders[account]; taken {
				errs = append(errs, field.Invalid(path.Child("serviceAccounts").Index(j), account.String(),
					fmt.Sprintf("is also that of consumer %s: its tokens can stand for one of them alone", other)))
			}
			holders[account] = consumer.Name
		}
	}
	return errs
}

// validateKeyless checks what is said of a key that is not there.
func validateKeyless(secretName string, rotation v1alpha1.Rotation, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if secretName != "" {
		errs = append(errs, field.Forbidden(path.Child("secretName"), "with serviceAccounts there is no key and no Secret: take it away"))
	}
	if rotation != (v1alpha1.Rotation{}) {
		errs = append(errs, field.Forbidden(path.Child("rotation"), "with serviceAccounts there is no key to rotate: take it away"))
	}
	return errs
}
