package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// resolve checks the spec, and which of the routes that it names accept the ModelKey.
func (r *ModelKeyReconciler) resolve(ctx context.Context, s *keyScope) error {
	s.invalid = compile.ValidateKey(s.key)
	labels, err := namespaceLabels(ctx, r.Client, s.key.Namespace)
	if err != nil {
		return fmt.Errorf("reading the namespace: %w", err)
	}
	_, s.teamRefusal, err = teamRules{Client: r.Client, Usage: r.Usage}.check(ctx, s.key.Spec.Team, s.key.Name, s.key.Namespace)
	if err != nil {
		return err
	}
	for _, ref := range compile.RouteRefs(s.key) {
		named := namedRoute{RouteReference: ref}
		if err := r.lookUpRoute(ctx, s, &named, labels); err != nil {
			return fmt.Errorf("reading route %s: %w", named.objectKey(), err)
		}
		named.report, named.reported = r.Exchange.reportOf(named.objectKey())
		named.refusal = refuse(s, named, labels)
		named.admits = named.refusal.state == ""
		s.routes = append(s.routes, named)
	}
	s.resolved = true
	return nil
}

// lookUpRoute finds a route that the ModelKey names, and its gateway. The labels are those of the ModelKey's namespace.
func (r *ModelKeyReconciler) lookUpRoute(ctx context.Context, s *keyScope, named *namedRoute, labels map[string]string) error {
	route := &v1alpha1.ModelRoute{}
	err := r.Client.Get(ctx, named.objectKey(), route)
	if err != nil || !route.DeletionTimestamp.IsZero() {
		return client.IgnoreNotFound(err)
	}
	named.route = route
	if named.gateway, err = gatewayOf(ctx, r.Client, route); err != nil {
		return err
	}
	named.taken, err = modelNameTaken(ctx, r.Client, s.key, route, labels)
	return err
}

// refuse says why a route does not accept the ModelKey; nothing if it does.
func refuse(s *keyScope, named namedRoute, labels map[string]string) refusal {
	switch {
	case named.route == nil:
		return refusal{v1alpha1.KeyRouteNotFound, fmt.Sprintf("There is no ModelRoute %s.", named.objectKey())}
	case len(s.invalid) > 0:
		return refusal{v1alpha1.KeyRefused, "The spec of the ModelKey is invalid."}
	case compile.IsExpired(s.key, s.now):
		return refusal{v1alpha1.KeyRefused, expired}
	case s.teamRefusal != "":
		return refusal{v1alpha1.KeyNotAllowed, s.teamRefusal}
	case !compile.Allows(named.route, s.key.Namespace, labels):
		return refusal{v1alpha1.KeyNotAllowed, fmt.Sprintf(
			"ModelRoute %s does not allow ModelKeys of namespace %s: ask its owner to have spec.keys.allowedNamespaces include it.",
			named.objectKey(), s.key.Namespace)}
	case named.taken != "":
		return refusal{v1alpha1.KeyModelNameTaken, named.taken}
	case named.report.keys[s.name()].unpriced:
		return refusal{v1alpha1.KeyNotAllowed, fmt.Sprintf(
			"At ModelRoute %s no price is known, and a budget of the ModelKey or of its team denies: ask its owner to write the price.",
			named.objectKey())}
	case len(named.report.keys[s.name()].taken) > 0:
		return refusal{v1alpha1.KeyAccountTaken, fmt.Sprintf(
			"At ModelRoute %s ServiceAccount %s already stands for another consumer: take it from spec.serviceAccounts, "+
				"or ask the route's owner.",
			named.objectKey(), strings.Join(named.report.keys[s.name()].taken, ", "))}
	case named.report.keys[s.name()].crowdedOut:
		return refusal{v1alpha1.KeyTooMany, fmt.Sprintf(
			"ModelRoute %s has as many ModelKeys as it can: delete some that are not needed, or claim another route.", named.objectKey())}
	}
	return refusal{}
}

const expired = "The expireTime of the ModelKey is over: set a later one to get a new key, or delete the ModelKey."

// claimSecret finds out whether the Secret can be ours, before any key is made for it.
func (r *ModelKeyReconciler) claimSecret(ctx context.Context, s *keyScope) error {
	if len(s.admitted()) == 0 || !compile.KeyHasKey(s.key) {
		return nil
	}
	return r.applier().Apply(ctx, s.key, nil, []desired.Object{desired.KeySecret(s.key, nil, "")})
}

// issue decides which keys the routes are to accept, and makes one if it is needed. A key that no route accepts is none: the next one will
// be another.
func (r *ModelKeyReconciler) issue(ctx context.Context, s *keyScope) error {
	if len(s.admitted()) == 0 || !compile.KeyHasKey(s.key) {
		r.Exchange.withdraw(s.name())
		return nil
	}
	if err := r.readKeys(ctx, s, r.cachedSecret); err != nil {
		return err
	}
	if s.plan.Needed || s.plan.Revokes {
		// That is not done on the word of a cache that may be behind.
		if err := r.readKeys(ctx, s, r.liveSecret); err != nil {
			return err
		}
	}
	if s.plan.Needed {
		key, err := newKey(r.Random, s.ring(), s.policy(), s.now)
		if err != nil {
			return err
		}
		s.pending = &key
		s.plan = s.ring().Plan(s.policy(), s.now)
	}
	r.Exchange.issue(s.name(), s.issued())
	return nil
}

// reader returns a Secret that its owner controls, or nil.
type reader func(ctx context.Context, owner client.Object, name string) (*corev1.Secret, error)

func (r *ModelKeyReconciler) cachedSecret(ctx context.Context, owner client.Object, name string) (*corev1.Secret, error) {
	return ownedSecret(ctx, r.Client, owner, name)
}

func (r *ModelKeyReconciler) liveSecret(ctx context.Context, owner client.Object, name string) (*corev1.Secret, error) {
	return ownedLiveSecret(ctx, r.Live, owner, name)
}

// readKeys finds out which keys are accepted, and which of them is in the Secret. After a restart the keys that are accepted are those in
// the configurations of the routes.
func (r *ModelKeyReconciler) readKeys(ctx context.Context, s *keyScope, read reader) error {
	issued, known := r.Exchange.of(s.name(), s.key.UID)
	s.record, s.pending = issued.accepted, issued.pending
	if !known {
		record, err := r.keysOfRoutes(ctx, s, read)
		if err != nil {
			return err
		}
		s.record = record
	}
	secret, err := read(ctx, s.key, compile.KeySecretName(s.key))
	if err != nil {
		return err
	}
	s.delivered, s.seen = nil, ""
	if key, isOfRecord := keyIn(secret, s.record); isOfRecord {
		s.delivered, s.seen = &key, secret.ResourceVersion
	}
	s.plan = s.ring().Plan(s.policy(), s.now)
	return nil
}

// keysOfRoutes are the keys of record of all routes that admit the ModelKey, each once. Where a route was behind when the manager ended,
// the end of a key that was replaced is in the others.
func (r *ModelKeyReconciler) keysOfRoutes(ctx context.Context, s *keyScope, read reader) ([]routeconfig.Key, error) {
	var all []routeconfig.Key
	for _, one := range s.routes {
		if !one.admits {
			continue
		}
		config, err := read(ctx, one.route, desired.ConfigSecretName(one.route))
		if err != nil {
			return nil, err
		}
		for _, key := range keysOfRecord(config)[compile.KeyConsumerName(s.key.Namespace, s.key.Name)] {
			if !keys.Contains(all, key.SHA256) {
				all = append(all, key)
				continue
			}
			for i := range all {
				if all[i].SHA256 == key.SHA256 && all[i].Expires == 0 {
					all[i] = key
				}
			}
		}
	}
	return all, nil
}

// deliver writes the Secret: with the new key once the routes accept it, so that a key that is delivered works, and else with the one that
// it has.
func (r *ModelKeyReconciler) deliver(ctx context.Context, s *keyScope) error {
	switch {
	case s.pending != nil && s.canDeliver(s.pending.SHA256):
		if err := r.write(ctx, s, *s.pending); err != nil {
			return err
		}
		s.record, s.delivered, s.pending = s.plan.Accepted, s.pending, nil
		s.plan = s.ring().Plan(s.policy(), s.now)
		r.Exchange.issue(s.name(), s.issued())
		r.Events.Eventf(s.key, nil, corev1.EventTypeNormal, eventKeyIssued, actionDeliver+"/"+s.delivered.ID,
			"Secret %s has the new key %s.", compile.KeySecretName(s.key), s.delivered.ID)
	case s.delivered != nil && !s.isReported(): // It stays as it is until the routes have said how they are reached.
		s.objects = []desired.Object{desired.KeySecret(s.key, nil, "")}
	case s.delivered != nil:
		return r.write(ctx, s, *s.delivered)
	case s.pending != nil: // the Secret that there may be has a key that is refused
		s.objects = []desired.Object{desired.KeySecret(s.key, nil, "")}
	}
	return nil
}

// write writes the Secret. Whoever edits or deletes it meanwhile wants another key, and must not get the old one back.
func (r *ModelKeyReconciler) write(ctx context.Context, s *keyScope, key consumerKey) error {
	secret := desired.KeySecret(s.key, s.access(), key.secret)
	secret.Seen = s.seen
	s.objects = []desired.Object{secret}
	return r.applier().Apply(ctx, s.key, s.objects, nil)
}

// canDeliver reports whether a key works: one route accepts it at all of its ready proxies, and no other has ready proxies that do not. One
// that has none, or cannot be served as it is, keeps nobody waiting.
func (s *keyScope) canDeliver(hash string) bool {
	works := false
	for _, one := range s.routes {
		switch {
		case !one.admits:
		case one.accepts(s.name(), hash):
			works = true
		case !one.reported || one.report.able:
			return false
		}
	}
	return works
}

// prune deletes Secrets under names that the spec had before, and the present one if no route accepts the ModelKey.
func (r *ModelKeyReconciler) prune(ctx context.Context, s *keyScope) error {
	return r.applier().Prune(ctx, s.key, client.MatchingLabels(desired.OwnerOfKey(s.key).Labels()), s.objects)
}

// observe looks at what was spent.
func (r *ModelKeyReconciler) observe(ctx context.Context, s *keyScope) {
	r.Usage.EnsureAsked(ctx)
	s.usage = r.Usage.ofKey(s.name())
}
