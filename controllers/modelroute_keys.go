package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// readKeys finds out which keys the proxies accept and which of them are delivered.
func (r *ModelRouteReconciler) readKeys(ctx context.Context, s *scope) error {
	return readKeysFrom(ctx, s, r.cachedSecret)
}

// issueKeys makes a key for each consumer that has none, or whose key is to be replaced. A consumer's Secret that is gone, or has another
// key than the one of record, is answered with a new key, and the old one is refused from then on: that is how a key is revoked.
func (r *ModelRouteReconciler) issueKeys(ctx context.Context, s *scope) error {
	names := make([]string, 0, len(s.route.Spec.Consumers))
	for _, consumer := range s.keyed() {
		names = append(names, consumer.Name)
	}
	r.keyring.keep(s.name(), names...)
	if len(r.planKeys(s)) == 0 {
		return nil
	}
	// A key is replaced or refused. That is not done on the word of a cache that may be behind.
	if err := readKeysFrom(ctx, s, r.liveSecret); err != nil {
		return err
	}
	for _, consumer := range r.planKeys(s) {
		if !s.plans[consumer.Name].Needed {
			continue
		}
		key, err := newKey(r.Random, s.ring(consumer.Name), compile.KeyPolicy(consumer.Rotation, s.route), s.now)
		if err != nil {
			return err
		}
		r.keyring.put(s.name(), s.route.UID, consumer.Name, key)
	}
	r.planKeys(s)
	return nil
}

// planKeys finds out which keys each consumer is to have, and returns the consumers that need a new one or lose one.
func (r *ModelRouteReconciler) planKeys(s *scope) (unsettled []v1alpha1.Consumer) {
	for _, consumer := range s.keyed() {
		if key, pending := r.keyring.get(s.name(), s.route.UID, consumer.Name); pending {
			s.pending[consumer.Name] = key
		}
		plan := s.ring(consumer.Name).Plan(compile.KeyPolicy(consumer.Rotation, s.route), s.now)
		s.plans[consumer.Name] = plan
		if plan.Needed || plan.Revokes {
			unsettled = append(unsettled, consumer)
		}
	}
	return unsettled
}

// deliverKeys writes the Secrets of the keys that are pending, once every ready proxy accepts them: a key that is delivered works.
func (r *ModelRouteReconciler) deliverKeys(ctx context.Context, s *scope) error {
	if len(s.pending) == 0 || !s.isAcknowledged() {
		return nil
	}
	if err := r.applier(s).Apply(ctx, s.route, s.reserved, nil); err != nil {
		return err
	}
	for _, consumer := range s.route.Spec.Consumers {
		key, pending := s.pending[consumer.Name]
		if !pending {
			continue
		}
		r.keyring.delivered(s.name(), consumer.Name)
		s.deliver(consumer, key)
		r.Events.Eventf(s.route, secretOf(s.route, consumer), corev1.EventTypeNormal, eventKeyIssued, actionDeliver,
			"Secret %s has the new key %s for consumer %s.", compile.SecretName(s.route, consumer), key.ID, consumer.Name)
	}
	clear(s.pending)
	return nil
}

// secretReader returns a Secret of the route's namespace, or nil if there is none or the route does not control it.
type secretReader func(ctx context.Context, s *scope, name string) (*corev1.Secret, error)

func readKeysFrom(ctx context.Context, s *scope, read secretReader) error {
	config, err := read(ctx, s, desired.ConfigSecretName(s.route))
	if err != nil {
		return err
	}
	s.record = keysOfRecord(config)
	clear(s.delivered)
	clear(s.seen)
	for _, consumer := range s.keyed() {
		secret, err := read(ctx, s, compile.SecretName(s.route, consumer))
		if err != nil {
			return err
		}
		if key, isOfRecord := keyIn(secret, s.record[consumer.Name]); isOfRecord {
			s.delivered[consumer.Name], s.seen[consumer.Name] = key, secret.ResourceVersion
		}
	}
	return nil
}

// keysOfRecord reads the accepted keys from a config Secret, which may be nil. What cannot be read has no keys.
func keysOfRecord(secret *corev1.Secret) map[string][]routeconfig.Key {
	if secret == nil {
		return nil
	}
	keys, err := routeconfig.KeysOfRecord(secret.Data[desired.ConfigKey])
	if err != nil {
		return nil
	}
	return keys
}

func (r *ModelRouteReconciler) cachedSecret(ctx context.Context, s *scope, name string) (*corev1.Secret, error) {
	return ownedSecret(ctx, r.Client, s.route, name)
}

func (r *ModelRouteReconciler) liveSecret(ctx context.Context, s *scope, name string) (*corev1.Secret, error) {
	return ownedLiveSecret(ctx, s.live, s.route, name)
}

// ownedLiveSecret looks at the metadata first, so that a foreign Secret's values never reach this process.
func ownedLiveSecret(ctx context.Context, live client.Reader, owner client.Object, name string) (*corev1.Secret, error) {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := live.Get(ctx, types.NamespacedName{Namespace: owner.GetNamespace(), Name: name}, metadata)
	if err != nil || !metav1.IsControlledBy(metadata, owner) {
		return nil, client.IgnoreNotFound(err)
	}
	return ownedSecret(ctx, live, owner, name)
}

// ownedSecret returns a Secret beside its owner; nil if there is none, or somebody else's.
func ownedSecret(ctx context.Context, reader client.Reader, owner client.Object, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: owner.GetNamespace(), Name: name}, secret); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading Secret %s: %w", name, err)
		}
		return nil, nil
	}
	if !metav1.IsControlledBy(secret, owner) {
		return nil, nil
	}
	return secret, nil
}
