package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// readKeys finds out which keys the proxies accept and which of them are delivered.
func (r *ModelRouteReconciler) readKeys(ctx context.Context, s *scope) error {
	return readKeysFrom(ctx, s, r.cachedSecret)
}

// issueKeys makes a key for each consumer that has none. A consumer's Secret that is gone, or has another key than the one of record, is
// answered with a new key, and the old one is refused from then on: that is how a key is revoked.
func (r *ModelRouteReconciler) issueKeys(ctx context.Context, s *scope) error {
	names := make([]string, 0, len(s.route.Spec.Consumers))
	for _, consumer := range s.route.Spec.Consumers {
		names = append(names, consumer.Name)
	}
	r.keyring.keep(s.name(), names...)
	missing := r.takePending(s, names)
	if len(missing) == 0 {
		return nil
	}
	// A new key makes the old one worthless. That is not done on the word of a cache that may be behind.
	if err := readKeysFrom(ctx, s, r.liveSecret); err != nil {
		return err
	}
	for _, name := range r.takePending(s, names) {
		secret, err := keys.New(r.Random)
		if err != nil {
			return err
		}
		key := newConsumerKey(secret)
		r.keyring.put(s.name(), s.route.UID, name, key)
		s.pending[name] = key
	}
	return nil
}

// takePending moves the keys that are made and not delivered into the scope, and returns the consumers that have neither such a key nor a
// delivered one.
func (r *ModelRouteReconciler) takePending(s *scope, consumers []string) (missing []string) {
	for _, name := range consumers {
		if key, pending := r.keyring.get(s.name(), s.route.UID, name); pending {
			s.pending[name] = key
			delete(s.delivered, name)
		} else if _, delivered := s.delivered[name]; !delivered {
			missing = append(missing, name)
		}
	}
	return missing
}

// deliverKeys writes the Secrets of the keys that are pending, once every ready proxy accepts them: a key that is delivered works.
func (r *ModelRouteReconciler) deliverKeys(ctx context.Context, s *scope) error {
	ready := len(s.readyPods)
	if len(s.pending) == 0 || ready == 0 || !s.usage.fresh || s.acknowledged() < ready {
		return nil
	}
	if err := r.applier().Apply(ctx, s.route, s.reserved, nil); err != nil {
		return err
	}
	for _, consumer := range s.route.Spec.Consumers {
		key, pending := s.pending[consumer.Name]
		if !pending {
			continue
		}
		r.keyring.delivered(s.name(), consumer.Name)
		s.delivered[consumer.Name] = key
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
	for _, consumer := range s.route.Spec.Consumers {
		secret, err := read(ctx, s, compile.SecretName(s.route, consumer))
		if err != nil {
			return err
		}
		if secret == nil {
			continue
		}
		key := newConsumerKey(string(secret.Data[desired.ConsumerKeyAPIKey]))
		if slices.Contains(s.record[consumer.Name], key.Key) {
			s.delivered[consumer.Name], s.seen[consumer.Name] = key, secret.ResourceVersion
		}
	}
	return nil
}

// keysOfRecord reads the accepted keys from a config Secret, which may be nil. It is lenient, unlike a proxy: a field that a newer
// version has added must not cost every consumer its key, and what cannot be read has no keys.
func keysOfRecord(secret *corev1.Secret) map[string][]routeconfig.Key {
	record := map[string][]routeconfig.Key{}
	if secret == nil {
		return record
	}
	var config routeconfig.Config
	if err := json.Unmarshal(secret.Data[desired.ConfigKey], &config); err != nil {
		return record
	}
	for _, route := range config.Routes {
		for _, consumer := range route.Consumers {
			record[consumer.Name] = consumer.Keys
		}
	}
	return record
}

func (r *ModelRouteReconciler) cachedSecret(ctx context.Context, s *scope, name string) (*corev1.Secret, error) {
	return ownedSecret(ctx, r.Client, s, name)
}

// liveSecret looks at the metadata first, so that a foreign Secret's values never reach this process.
func (r *ModelRouteReconciler) liveSecret(ctx context.Context, s *scope, name string) (*corev1.Secret, error) {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: s.route.Namespace, Name: name}, metadata)
	if err != nil || !metav1.IsControlledBy(metadata, s.route) {
		return nil, client.IgnoreNotFound(err)
	}
	return ownedSecret(ctx, r.Live, s, name)
}

func ownedSecret(ctx context.Context, reader client.Reader, s *scope, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, types.NamespacedName{Namespace: s.route.Namespace, Name: name}, secret); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading Secret %s: %w", name, err)
		}
		return nil, nil
	}
	if !metav1.IsControlledBy(secret, s.route) {
		return nil, nil
	}
	return secret, nil
}
