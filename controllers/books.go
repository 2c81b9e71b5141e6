package controllers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/money"
)

// DefaultBooksInterval is how often upstreams are asked what they have billed.
const DefaultBooksInterval = 5 * time.Minute

const (
	// booksJitter is by which part of it the interval varies.
	booksJitter = 0.2
	// secretPause is between two Secrets that are read for this, and wakePause between two routes whose status has to follow: what
	// reconciling asks of the API server comes first.
	secretPause = 50 * time.Millisecond
	wakePause   = 50 * time.Millisecond
)

// Books compares what upstreams have billed with what the ledger has. It is the manager's job: there is one at a time, it knows the spend
// of all routes, and it can tell which of them use the same key, as no proxy can.
type Books struct {
	// Usage knows the spend.
	Usage *Usage
	// Routes reads routes, from a cache, and Secrets reads Secrets, from the API server.
	Routes, Secrets client.Reader
	// Upstream asks upstreams.
	Upstream BillReader
	Clock    clock.WithTicker
	// Interval is how often each upstream is asked for each key, about.
	Interval time.Duration

	// last remembers which account a route used, in case its Secret cannot be read; it belongs to the goroutine that looks.
	last map[types.NamespacedName]billedKey

	mu       sync.Mutex
	accounts map[string]*bookkeeping
	// ended are the ids of comparisons that were given up. What is left of them in a status is of no use: something was spent without them.
	ended map[string]bool
	// byRoute has every route that was looked at, and the id of its account; empty if it has none.
	byRoute map[types.NamespacedName]string
}

// BillReader asks an upstream what it ever billed to an API key.
type BillReader interface {
	Billed(ctx context.Context, baseURL, key string) (money.Amount, error)
}

// billedKey is one API key of one upstream: the account that is compared. The key is known by its hash alone.
type billedKey struct {
	baseURL string
	keyHash [sha256.Size]byte
}

// group is an account and the routes that use it.
type group struct {
	billedKey
	key    string
	routes []*v1alpha1.ModelRoute
}

// bookkeeping is what is known of a group.
type bookkeeping struct {
	comparison

	routes []routeUpstream
	// asked is when the upstream last answered, or was first asked. failing is true while it does not answer.
	asked   time.Time
	failing bool
}

type routeUpstream struct {
	route    types.NamespacedName
	upstream string
}

// Start implements a controller's source: it looks in the background until ctx ends and puts the routes whose status has to follow into
// the queue.
func (b *Books) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	booksMetrics.of.Store(b)
	go b.run(ctx, func(route types.NamespacedName, after time.Duration) {
		queue.AddAfter(reconcile.Request{NamespacedName: route}, after)
	})
	return nil
}

func (b *Books) run(ctx context.Context, wake func(route types.NamespacedName, after time.Duration)) {
	for {
		for i, route := range b.look(ctx) {
			wake(route, time.Duration(i)*wakePause)
		}
		timer := b.Clock.NewTimer(wait.Jitter(b.Interval, booksJitter))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
	}
}

// look asks all upstreams, one after the other, and returns the routes whose status has to follow.
func (b *Books) look(ctx context.Context) []types.NamespacedName {
	b.Usage.EnsureAsked(ctx)
	groups, others, err := b.groups(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "Looking for the upstreams whose books can be compared")
		return nil
	}
	b.takeUp(groups, others)
	for id, one := range groups {
		if one.key == "" {
			continue // Its Secret cannot be read now.
		}
		billed, err := b.Upstream.Billed(ctx, one.baseURL, one.key)
		if ctx.Err() != nil {
			return nil
		}
		b.note(ctx, id, one, billed, err)
	}
	return b.due(groups, others)
}

// groups finds the routes whose upstreams tell what they billed, by account; others are all other routes.
func (b *Books) groups(ctx context.Context) (byID map[string]*group, others []*v1alpha1.ModelRoute, err error) {
	var routes v1alpha1.ModelRouteList
	if err := b.Routes.List(ctx, &routes); err != nil {
		return nil, nil, fmt.Errorf("listing routes: %w", err)
	}
	byAccount := map[billedKey]*group{}
	known := map[types.NamespacedName]billedKey{}
	for i := range routes.Items {
		route := &routes.Items[i]
		its, key, err := b.accountOf(ctx, route)
		if err != nil {
			return nil, nil, err
		}
		if key == "" && its == nil {
			others = append(others, route)
			continue
		}
		one := byAccount[*its]
		if one == nil {
			one = &group{billedKey: *its}
			byAccount[*its] = one
		}
		one.key = cmp.Or(key, one.key)
		one.routes = append(one.routes, route)
		known[client.ObjectKeyFromObject(route)] = *its
	}
	b.last = known
	byID = make(map[string]*group, len(byAccount))
	for _, one := range byAccount {
		slices.SortFunc(one.routes, func(a, b *v1alpha1.ModelRoute) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		byID[one.id()] = one
	}
	return byID, others, nil
}

// accountOf returns the account that a route uses, and its key; nil if it has none whose books can be compared. Where the Secret cannot be
// read, it is the one of the last look, without the key: a route that comes and goes would have the comparison begin anew each time.
func (b *Books) accountOf(ctx context.Context, route *v1alpha1.ModelRoute) (*billedKey, string, error) {
	if len(route.Spec.Upstreams) != 1 || route.Spec.Upstreams[0].Provider != v1alpha1.ProviderOpenRouter {
		return nil, "", nil
	}
	upstream := route.Spec.Upstreams[0]
	secret := &corev1.Secret{}
	err := b.Secrets.Get(ctx, types.NamespacedName{Namespace: route.Namespace, Name: upstream.APIKeySecretRef.Name}, secret)
	pause(ctx, secretPause)
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil && !apierrors.IsNotFound(err) {
		if last, isKnown := b.last[client.ObjectKeyFromObject(route)]; isKnown {
			return &last, "", nil
		}
		return nil, "", nil
	}
	key := bytes.TrimSpace(secret.Data[upstream.APIKeySecretRef.Key])
	if len(key) == 0 {
		return nil, "", nil
	}
	return &billedKey{baseURL: strings.TrimRight(upstream.BaseURL, "/"), keyHash: sha256.Sum256(key)}, string(key), nil
}

// id stands for the key and the routes that use it, so that the comparison begins anew when either is another. It tells nothing of the key.
func (g *group) id() string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s\n%x\n", g.baseURL, g.keyHash) // A hash takes all that is written to it.
	for _, route := range g.routes {
		_, _ = fmt.Fprintf(sum, "%s/%s\n", route.Namespace, route.Name)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// takeUp makes these groups the ones that are compared. A comparison that another manager began goes on from the baseline in the status of
// its routes.
func (b *Books) takeUp(groups map[string]*group, others []*v1alpha1.ModelRoute) {
	b.mu.Lock()
	defer b.mu.Unlock()
	accounts := make(map[string]*bookkeeping, len(groups))
	b.byRoute = map[types.NamespacedName]string{}
	if b.ended == nil {
		b.ended = map[string]bool{}
	}
	for id, one := range groups {
		kept := b.accounts[id]
		if kept == nil {
			kept = &bookkeeping{asked: b.Clock.Now()}
			if !b.ended[id] {
				kept.from = earliestBaseline(id, one.routes)
			}
		}
		kept.routes = nil
		for _, route := range one.routes {
			name := client.ObjectKeyFromObject(route)
			kept.routes = append(kept.routes, routeUpstream{route: name, upstream: route.Spec.Upstreams[0].Name})
			b.byRoute[name] = id
		}
		accounts[id] = kept
	}
	for _, route := range others {
		b.byRoute[client.ObjectKeyFromObject(route)] = ""
	}
	for id := range b.accounts {
		if accounts[id] == nil {
			b.ended[id] = true
		}
	}
	b.accounts = accounts
}

// note takes up what an upstream said, if the ledger says what was spent.
func (b *Books) note(ctx context.Context, id string, one *group, billed money.Amount, err error) {
	logger := log.FromContext(ctx).WithValues("upstream", one.baseURL, "route", client.ObjectKeyFromObject(one.routes[0]).String())
	next := look{at: b.Clock.Now(), billed: billed}
	for _, route := range one.routes {
		spend := b.Usage.of(client.ObjectKeyFromObject(route))
		if !spend.fresh {
			return
		}
		settled := money.FromNano(spend.usage.GetSpend().GetSettledNanoUsd())
		next.settled = next.settled.Add(settled)
		next.spent = next.spent.Add(spent(spend.usage.GetSpend()))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.accounts[id]
	switch {
	case err != nil && !kept.failing:
		logger.Error(err, "An upstream does not say what it billed; its books are compared when it does")
	case err == nil && kept.failing:
		logger.Info("The upstream says again what it billed")
	}
	kept.failing = err != nil
	if err == nil {
		kept.asked = next.at
		kept.add(next)
	}
}

// due returns the routes whose status has to follow.
func (b *Books) due(groups map[string]*group, others []*v1alpha1.ModelRoute) []types.NamespacedName {
	routes := others
	for _, one := range groups {
		routes = append(routes, one.routes...)
	}
	var due []types.NamespacedName
	for _, route := range routes {
		name := client.ObjectKeyFromObject(route)
		if !sameBooks(route.Status.Upstreams, projectBooks(route, b.of(name), b.Clock.Now())) {
			due = append(due, name)
		}
	}
	slices.SortFunc(due, func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	return due
}

// booksSnapshot is what is known of one route's upstream.
type booksSnapshot struct {
	// looked is true once the route was looked at; off, if nobody ever looks.
	looked, off bool
	// id is that of the account, empty if there is none.
	id string
	// finding is nil if there is none yet.
	finding *finding
}

// of returns what is known of a route's upstream.
func (b *Books) of(route types.NamespacedName) booksSnapshot {
	if b == nil {
		return booksSnapshot{off: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id, looked := b.byRoute[route]
	snapshot := booksSnapshot{looked: looked, id: id}
	if kept := b.accounts[id]; kept != nil {
		if found, isThere := kept.finding(); isThere {
			snapshot.finding = &found
		}
	}
	return snapshot
}
