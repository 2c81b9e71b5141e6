package controllers

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// sightingLasts is for how long an upstream's key that was found counts as there. A Secret that goes is noticed at the latest so much later
// than at the next look at a route.
const sightingLasts = 10 * time.Second

// keySightings are the upstreams' keys that were found at the API server a moment ago. The routes of a namespace mostly name one Secret,
// which need not be read for each of them. The keys themselves are not here, and what was missing is looked for each time.
type keySightings struct {
	mu   sync.Mutex
	seen map[keySighting]time.Time
}

type keySighting struct {
	secret types.NamespacedName
	key    string
}

func sightingOf(namespace string, ref v1alpha1.SecretKeyReference) keySighting {
	return keySighting{secret: types.NamespacedName{Namespace: namespace, Name: ref.Name}, key: ref.Key}
}

// has reports whether a key was found a moment ago.
func (k *keySightings) has(one keySighting, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, seen := k.seen[one]
	return seen && now.Sub(at) < sightingLasts
}

// note notes that a key was found, and forgets those that were long ago.
func (k *keySightings) note(one keySighting, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.seen, func(_ keySighting, at time.Time) bool { return now.Sub(at) >= sightingLasts })
	if k.seen == nil {
		k.seen = map[keySighting]time.Time{}
	}
	k.seen[one] = now
}
