package controllers

import (
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// consumerKey is a consumer's key with the name and the hash by which the proxies know it.
type consumerKey struct {
	routeconfig.Key
	// secret is the key itself. It goes nowhere but into the consumer's Secret.
	secret string
}

// newKey makes the next key of a ring.
func newKey(random io.Reader, ring keys.Ring, policy keys.Policy, now time.Time) (consumerKey, error) {
	secret, err := keys.New(random)
	if err != nil {
		return consumerKey{}, err
	}
	return consumerKey{Key: ring.New(keys.Hash(secret), policy, now), secret: secret}, nil
}

// keyIn returns the key that a Secret has, if it is one of record that is not on its way out.
func keyIn(secret *corev1.Secret, record []routeconfig.Key) (consumerKey, bool) {
	if secret == nil {
		return consumerKey{}, false
	}
	value := string(secret.Data[desired.ConsumerKeyAPIKey])
	hash := keys.Hash(value)
	for _, key := range record {
		if key.SHA256 == hash && key.Expires == 0 {
			return consumerKey{Key: key, secret: value}, true
		}
	}
	return consumerKey{}, false
}

// keyring holds the keys that are made and not delivered yet: in memory alone, since a key is not to be at rest anywhere but in its
// consumer's Secret. After a restart such a key is made anew; nobody has seen the old one.
type keyring struct {
	mu      sync.Mutex
	pending map[types.NamespacedName]pendingKeys
}

// pendingKeys are those of one route, by the consumer's name. The UID tells a route from a later one of the same name.
type pendingKeys struct {
	uid  types.UID
	keys map[string]consumerKey
}

// get returns the consumer's key if one is pending.
func (k *keyring) get(route types.NamespacedName, uid types.UID, consumer string) (consumerKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	of := k.pending[route]
	if of.uid != uid {
		return consumerKey{}, false
	}
	key, found := of.keys[consumer]
	return key, found
}

// put makes a key pending.
func (k *keyring) put(route types.NamespacedName, uid types.UID, consumer string, key consumerKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending == nil {
		k.pending = map[types.NamespacedName]pendingKeys{}
	}
	of := k.pending[route]
	if of.uid != uid {
		of = pendingKeys{uid: uid, keys: map[string]consumerKey{}}
		k.pending[route] = of
	}
	of.keys[consumer] = key
}

// keep forgets the pending keys of all other consumers; of all, if none is given.
func (k *keyring) keep(route types.NamespacedName, consumers ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	of := k.pending[route].keys
	for consumer := range of {
		if !slices.Contains(consumers, consumer) {
			delete(of, consumer)
		}
	}
	if len(of) == 0 {
		delete(k.pending, route)
	}
}

// delivered forgets the pending key of one consumer.
func (k *keyring) delivered(route types.NamespacedName, consumer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending[route].keys, consumer)
}
