package controllers

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/internal/desired"
	"github.com/modelroute/modelroute/internal/keys"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// KeyExchange is what the controllers of routes and of ModelKeys tell each other. Only the controller of ModelKeys makes their keys, one at
// a time for each ModelKey, and only that of routes writes configurations, so that neither can undo what the other does. It is in memory
// alone: what has to survive a restart is in the configurations, and a route keeps a ModelKey's keys of record until it is told of others.
type KeyExchange struct {
	mu sync.Mutex
	// issued are the keys of ModelKeys, and reports what routes do with them.
	issued  map[types.NamespacedName]issuedKeys
	reports map[types.NamespacedName]routeReport
	// routes and modelKeys wake what has to follow.
	routes, modelKeys waker
}

// issuedKeys are the keys of one ModelKey. The UID tells it from a later one of the same name.
type issuedKeys struct {
	uid      types.UID
	accepted []routeconfig.Key
	// pending is the key that has still to be delivered; nil if there is none.
	pending *consumerKey
	// routes are those that admit the ModelKey.
	routes []types.NamespacedName
}

// routeReport says what a route does with ModelKeys.
type routeReport struct {
	// able is true if the route has ready proxies that can be told.
	able bool
	// access is how clients reach the route.
	access desired.Access
	keys   map[types.NamespacedName]keyReport
}

// keyReport says what a route does with the keys of one ModelKey.
type keyReport struct {
	// acknowledged are the hashes of the keys that every ready proxy accepts.
	acknowledged []string
	// accounts are, of a ModelKey with ServiceAccounts, those whose tokens every ready proxy accepts; absent says why others are not there,
	// taken are the names of those that stand for another consumer of the route, and issuer is why tokens cannot be verified.
	accounts      []routeconfig.ServiceAccount
	absent, taken []string
	issuer        string
	// crowdedOut is true if the route has no room for this ModelKey.
	crowdedOut bool
	// unpriced is true if a budget of the ModelKey denies and the route knows no price.
	unpriced bool
}

// issue notes the keys of a ModelKey, and wakes the routes if they are others than before.
func (e *KeyExchange) issue(name types.NamespacedName, its issuedKeys) {
	e.mu.Lock()
	before, known := e.issued[name]
	if e.issued == nil {
		e.issued = map[types.NamespacedName]issuedKeys{}
	}
	e.issued[name] = its
	e.mu.Unlock()
	if !known || before.uid != its.uid || !slices.Equal(before.accepted, its.accepted) || !slices.Equal(before.routes, its.routes) {
		e.routes.wake(before.routes...)
		e.routes.wake(its.routes...)
	}
}

// withdraw forgets the keys of a ModelKey that no route admits.
func (e *KeyExchange) withdraw(name types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.issued, name)
}

// of returns the keys of a ModelKey; false if it has not been looked at since this process began. Those of an earlier one of the same name
// are none.
func (e *KeyExchange) of(name types.NamespacedName, uid types.UID) (issuedKeys, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	its, known := e.issued[name]
	if its.uid != uid {
		its = issuedKeys{uid: uid}
	}
	return its, known
}

// report notes what a route does, and wakes the ModelKeys for which that is something else than before.
func (e *KeyExchange) report(route types.NamespacedName, next routeReport) {
	e.mu.Lock()
	before := e.reports[route]
	if e.reports == nil {
		e.reports = map[types.NamespacedName]routeReport{}
	}
	e.reports[route] = next
	e.mu.Unlock()
	for key, its := range next.keys {
		earlier, known := before.keys[key]
		if !known || before.able != next.able || before.access != next.access || !reflect.DeepEqual(earlier, its) {
			e.modelKeys.wake(key)
		}
	}
	for key := range before.keys {
		if _, is := next.keys[key]; !is {
			e.modelKeys.wake(key)
		}
	}
}

// reportOf returns what a route does; false if it has not been looked at since this process began.
func (e *KeyExchange) reportOf(route types.NamespacedName) (routeReport, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	report, known := e.reports[route]
	return report, known
}

func (e *KeyExchange) forgetRoute(route types.NamespacedName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.reports, route)
}

// stillAccepted are those of the hashes whose keys are still accepted.
func stillAccepted(hashes []string, accepted []routeconfig.Key) []string {
	var still []string
	for _, hash := range hashes {
		if keys.Contains(accepted, hash) {
			still = append(still, hash)
		}
	}
	return still
}

func hashesOf(accepted []routeconfig.Key) []string {
	hashes := make([]string, 0, len(accepted))
	for _, key := range accepted {
		hashes = append(hashes, key.SHA256)
	}
	return hashes
}

// waker puts objects into the queue of a controller, whose source it is.
type waker struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// Start implements a controller's source.
func (w *waker) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	return nil
}

// wake does nothing before the controller has started, which looks at every object then.
func (w *waker) wake(names ...types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue == nil {
		return
	}
	for _, name := range names {
		w.queue.Add(reconcile.Request{NamespacedName: name})
	}
}
