package controllers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

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
	// wakePause is between two routes whose status has to follow: what reconciling asks of the API server comes first.
	wakePause = 50 * time.Millisecond
)

// Books compares what upstreams have billed with what the ledger has. It is the manager's job: there is one at a time, it knows the spend
// of all routes, and it can tell which of them use the same key, as no proxy can.
type Books struct {
	// Usage knows the spend of routes, and its ledger that of their upstreams.
	Usage *Usage
	// Routes reads routes, from a cache, and Secrets reads Secrets, from the API server.
	Routes, Secrets client.Reader
	// Upstream asks upstreams.
	Upstream BillReader
	Clock    clock.WithTicker
	// Interval is how often each upstream is asked for each key, about.
	Interval time.Duration

	// last remembers which account an upstream used, in case its Secret cannot be read; it belongs to the goroutine that looks.
	last map[routeUpstream]billedKey

	mu       sync.Mutex
	accounts map[string]*bookkeeping
	// ended are the ids of comparisons that were given up. What is left of them in a status is of no use: something was spent without them.
	ended map[string]bool
	// byRoute has every route that was looked at, with the ids of the accounts of those of its upstreams that have one, by their names.
	byRoute map[types.NamespacedName]map[string]string
}

// BillReader asks an upstream what it ever billed to an API key.
type BillReader interface {
	Billed(ctx context.Context, baseURL, key string) (money.Amount, error)
}

// bookkeeping is what is known of a group.
type bookkeeping struct {
	comparison

	users []routeUpstream
	// asked is when both books were last read, or were first asked for. failing is true while one of them cannot be read.
	asked   time.Time
	failing bool
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
	groups, routes, err := b.groups(ctx)
	if err != nil {
		log.FromContext(ctx).Error(err, "Looking for the upstreams whose books can be compared")
		return nil
	}
	b.takeUp(groups, routes)
	for id, one := range groups {
		if one.key == "" {
			continue // Its Secret cannot be read now.
		}
		next, err := b.read(ctx, one)
		if ctx.Err() != nil {
			return nil
		}
		b.note(ctx, id, one, next, err)
	}
	return b.due(routes)
}

// takeUp makes these groups the ones that are compared. A comparison that another manager began goes on from the baseline in the status of
// its routes.
func (b *Books) takeUp(groups map[string]*group, routes []*v1alpha1.ModelRoute) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byRoute = make(map[types.NamespacedName]map[string]string, len(routes))
	for _, route := range routes {
		b.byRoute[client.ObjectKeyFromObject(route)] = map[string]string{}
	}
	accounts := make(map[string]*bookkeeping, len(groups))
	for id, one := range groups {
		kept := b.accounts[id]
		if kept == nil {
			kept = &bookkeeping{asked: b.Clock.Now()}
			if !b.ended[id] {
				kept.from = earliestBaseline(id, one.users)
			}
		}
		kept.users = nil
		for _, user := range one.users {
			kept.users = append(kept.users, user.routeUpstream)
			b.byRoute[user.route][user.upstream] = id
		}
		accounts[id] = kept
	}
	if b.ended == nil {
		b.ended = map[string]bool{}
	}
	for id := range b.accounts {
		if accounts[id] == nil {
			b.ended[id] = true
		}
	}
	b.accounts = accounts
}

// read reads both books: the upstream's first, since what it has billed by now may be booked here a little later.
func (b *Books) read(ctx context.Context, one *group) (look, error) {
	billed, err := b.Upstream.Billed(ctx, one.baseURL, one.key)
	if err != nil {
		return look{}, err
	}
	next := look{billed: billed}
	told := map[types.NamespacedName]spendByUpstream{}
	for _, user := range one.users {
		if told[user.route] == nil {
			if told[user.route], err = b.spendOf(ctx, user.of); err != nil {
				return look{}, err
			}
		}
		spend := told[user.route][user.upstream]
		next.settled = next.settled.Add(money.FromNano(spend.GetSettledNanoUsd()))
		next.spent = next.spent.Add(money.FromNano(spend.GetSettledNanoUsd()).Add(money.FromNano(spend.GetUncertainNanoUsd())))
	}
	next.at = b.Clock.Now()
	return next, nil
}

// errNoUsage means that the ledger has not said lately what was spent.
var errNoUsage = errors.New("the ledger does not answer")

// spendOf returns what a route ever spent, by upstream. A route with one upstream spent all that it did there, and the ledger is not asked:
// to sum a history up takes it some time.
func (b *Books) spendOf(ctx context.Context, route *v1alpha1.ModelRoute) (spendByUpstream, error) {
	name := client.ObjectKeyFromObject(route)
	said := b.Usage.of(name)
	switch {
	case !said.fresh:
		return nil, errNoUsage
	case said.usage == nil:
		return spendByUpstream{}, nil // The ledger does not know it yet.
	case len(route.Spec.Upstreams) == 1:
		all, only := said.usage.GetSpend(), route.Spec.Upstreams[0].Name
		return spendByUpstream{only: {SettledNanoUsd: all.GetSettledNanoUsd(), UncertainNanoUsd: all.GetUncertainNanoUsd()}}, nil
	}
	return b.Usage.Ledger.ListUpstreamSpend(ctx, name)
}

// note takes up how both books stand, or that one of them cannot be read.
func (b *Books) note(ctx context.Context, id string, one *group, next look, err error) {
	logger := log.FromContext(ctx).WithValues("upstream", one.baseURL, "route", one.users[0].route.String())
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.accounts[id]
	switch {
	case err != nil && !kept.failing:
		logger.Error(err, "The books of an upstream and ours cannot be read; they are compared when they can")
	case err == nil && kept.failing:
		logger.Info("The books of the upstream and ours are read again")
	}
	kept.failing = err != nil
	if err == nil {
		kept.asked = next.at
		kept.add(next)
	}
}

// due returns the routes whose status has to follow.
func (b *Books) due(routes []*v1alpha1.ModelRoute) []types.NamespacedName {
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

// booksSnapshot is what is known of a route's upstreams.
type booksSnapshot struct {
	// looked is true once the route was looked at; off, if nobody ever looks.
	looked, off bool
	// upstreams are those that have an account, by name.
	upstreams map[string]upstreamBooks
}

// upstreamBooks is what is known of one of them.
type upstreamBooks struct {
	// id is that of the account.
	id string
	// finding is nil if there is none yet.
	finding *finding
}

// of returns what is known of a route's upstreams.
func (b *Books) of(route types.NamespacedName) booksSnapshot {
	if b == nil {
		return booksSnapshot{off: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ids, looked := b.byRoute[route]
	snapshot := booksSnapshot{looked: looked, upstreams: make(map[string]upstreamBooks, len(ids))}
	for upstream, id := range ids {
		known := upstreamBooks{id: id}
		if found, isThere := b.accounts[id].finding(); isThere {
			known.finding = &found
		}
		snapshot.upstreams[upstream] = known
	}
	return snapshot
}
