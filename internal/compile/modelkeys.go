package compile

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/keys"
)

const (
	// maxModelKeys keeps a configuration well below the mebibyte that a Secret can have: a ModelKey takes some 500 bytes of it, or for each
	// of its ServiceAccounts at the most as many.
	maxModelKeys = 1500
	// maxKeyAccounts keeps the accounts of a route's ModelKeys within what the ledger takes of one route, beside those of the route.
	maxKeyAccounts = 16_000
	// defaultOverlap is how long a key that was replaced is accepted where nobody says.
	defaultOverlap = 24 * time.Hour
)

// RouteRefs are the routes that a ModelKey names, each once, with their namespaces, in the order of the spec.
func RouteRefs(key *v1alpha1.ModelKey) []v1alpha1.RouteReference {
	refs := make([]v1alpha1.RouteReference, 0, len(key.Spec.RouteRefs))
	for _, ref := range key.Spec.RouteRefs {
		ref.Namespace = cmp.Or(ref.Namespace, key.Namespace)
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// KeySecretName is the name of the Secret that delivers a ModelKey's key.
func KeySecretName(key *v1alpha1.ModelKey) string { return cmp.Or(key.Spec.SecretName, key.Name) }

// KeyPolicy is when a key is replaced, by its rotation and by the annotation of the object that it belongs to.
func KeyPolicy(rotation v1alpha1.Rotation, owner metav1.Object) keys.Policy {
	policy := keys.Policy{
		Interval: time.Duration(rotation.IntervalDays) * 24 * time.Hour, Overlap: defaultOverlap,
		Request: keys.Request(owner.GetAnnotations()[v1alpha1.AnnotationRotate]),
	}
	if rotation.OverlapHours != nil {
		policy.Overlap = time.Duration(*rotation.OverlapHours) * time.Hour
	}
	return policy
}

// ValidateKey returns what is wrong with a ModelKey, as Validate does for a route.
func ValidateKey(key *v1alpha1.ModelKey) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateBudgets(key.Spec.Budgets, spec.Child("budgets"))
	errs = append(errs, validateRateLimits(key.Spec.RateLimits, spec.Child("rateLimits"))...)
	if len(key.Spec.Budgets) > maxKeyBudgets {
		errs = append(errs, field.TooMany(spec.Child("budgets"), len(key.Spec.Budgets), maxKeyBudgets))
	}
	for i, budget := range key.Spec.Budgets {
		if budget.WhenExhausted.Upstream != "" {
			errs = append(errs, field.Forbidden(spec.Child("budgets").Index(i).Child("whenExhausted"),
				"where requests go on is the route's to say: take it away"))
		}
	}
	if !KeyHasKey(key) {
		errs = append(errs, validateKeyless(key.Spec.SecretName, key.Spec.Rotation, spec)...)
	}
	switch refs := RouteRefs(key); {
	case len(refs) == 0:
		errs = append(errs, field.Required(spec.Child("routeRefs"), "name the routes that the key is for"))
	case len(refs) != len(key.Spec.RouteRefs):
		errs = append(errs, field.Invalid(spec.Child("routeRefs"), len(key.Spec.RouteRefs), "names a route twice: name each once"))
	}
	return errs
}

// maxKeyBudgets is how many budgets the ledger takes of one consumer, with its rate limits.
const maxKeyBudgets = 8

// IsExpired reports whether a ModelKey's time is over.
func IsExpired(key *v1alpha1.ModelKey, now time.Time) bool {
	return key.Spec.ExpireTime != nil && !now.Before(key.Spec.ExpireTime.Time)
}

// Allows reports whether a route accepts ModelKeys of a namespace, which has these labels.
func Allows(route *v1alpha1.ModelRoute, namespace string, its map[string]string) bool {
	allowed := route.Spec.Keys.AllowedNamespaces
	switch allowed.From {
	case v1alpha1.NamespacesAll:
		return true
	case v1alpha1.NamespacesSelector:
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		return err == nil && selector.Matches(labels.Set(its))
	case v1alpha1.NamespacesSame:
	}
	return namespace == route.Namespace
}

// AsManyAsFit returns those of the ModelKeys that a route has room for, the oldest first, and those that it has not. It sorts candidates.
func AsManyAsFit(candidates []*v1alpha1.ModelKey) (admitted, refused []*v1alpha1.ModelKey) {
	slices.SortFunc(candidates, func(a, b *v1alpha1.ModelKey) int {
		age := a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		return cmp.Or(age, cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	accounts, entries := 0, 0
	for _, key := range candidates {
		its, itsEntries := len(key.Spec.Budgets)+2*len(key.Spec.RateLimits), max(1, len(key.Spec.ServiceAccounts))
		if entries+itsEntries > maxModelKeys || accounts+its > maxKeyAccounts {
			refused = append(refused, key)
			continue
		}
		accounts += its
		entries += itsEntries
		admitted = append(admitted, key)
	}
	return admitted, refused
}

func validateAllowed(allowed v1alpha1.AllowedNamespaces, path *field.Path) field.ErrorList {
	if allowed.From != v1alpha1.NamespacesSelector {
		return nil
	}
	selector := allowed.Selector
	if _, err := metav1.LabelSelectorAsSelector(selector); err != nil || selector == nil {
		return field.ErrorList{field.Invalid(path.Child("selector"), metav1.FormatLabelSelector(selector),
			"must be a selector that Kubernetes can read, such as matchLabels: {team: search}")}
	}
	return nil
}
