package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
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
	"github.com/modelroute/modelroute/internal/catalog"
	"github.com/modelroute/modelroute/internal/catalog/listing"
	"github.com/modelroute/modelroute/internal/compile"
)

// DefaultListsInterval is how often upstreams are asked for their lists of models.
const DefaultListsInterval = time.Hour

const (
	// listsJitter is by which part of it the interval varies.
	listsJitter = 0.2
	// listsRetry is how soon an upstream is asked again that did not answer, if that is sooner.
	listsRetry = 5 * time.Minute
)

// Lists keeps the upstreams' lists of models. It is the manager's job: there is one at a time, and one question for all routes at a place.
type Lists struct {
	// Routes reads routes, from a cache.
	Routes client.Reader
	// Bundles reads, from the API server, the certificates of upstreams' authorities.
	Bundles client.Reader
	// Upstream asks upstreams.
	Upstream ListReader
	Clock    clock.WithTicker
	// Interval is how often each is asked, about.
	Interval time.Duration

	mu sync.Mutex
	// places has every upstream that was asked, or is about to be.
	places map[place]*upstreamList
	// news is closed when there is another place to ask.
	news chan struct{}
}

// ListReader reads an upstream's list of models.
type ListReader interface {
	Models(ctx context.Context, of listing.Upstream) (map[string]catalog.Facts, error)
}

// place is where a list is read, and by which way: what one route may reach by its own is not told to another.
type place struct {
	baseURL      string
	isOpenRouter bool
	way          compile.Way
}

func placeOf(at compile.UpstreamModel) place {
	return place{baseURL: at.BaseURL, isOpenRouter: at.Provider == v1alpha1.ProviderOpenRouter, way: at.Way}
}

// ask reads the list of a place.
func (l *Lists) ask(ctx context.Context, at place) (map[string]catalog.Facts, error) {
	of := listing.Upstream{BaseURL: at.baseURL, IsOpenRouter: at.isOpenRouter, ProxyURL: at.way.ProxyURL}
	if at.way.CABundle != (v1alpha1.CABundleReference{}) {
		name := types.NamespacedName{Namespace: at.way.Namespace, Name: at.way.CABundle.Name}
		bundle, err := readBundle(ctx, l.Bundles, name, at.way.CABundle)
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of the upstream's authorities: %w", err)
		}
		if len(bundle) == 0 {
			return nil, errors.New("there are no certificates of the upstream's authorities")
		}
		of.Authorities = bundle
	}
	return l.Upstream.Models(ctx, of)
}

// upstreamList is what an upstream said last.
type upstreamList struct {
	state compile.ListState
	// models are empty unless the list was read.
	models map[string]catalog.Facts
	// next is when it is asked again.
	next time.Time
}

// of returns what is known of a route's upstreams. It is nil if nobody reads lists.
func (l *Lists) of(route *v1alpha1.ModelRoute) compile.Lists {
	if l == nil {
		return nil
	}
	wanted := wantedPlaces(route)
	return func(at compile.UpstreamModel) compile.Listed {
		if !wanted[placeOf(at)] {
			return compile.Listed{}
		}
		return l.listed(at)
	}
}

// wantedPlaces are those whose lists are of use to a route: OpenRouter's always, since it tells prices to compare with, and another one's
// where the route leaves something out.
func wantedPlaces(route *v1alpha1.ModelRoute) map[place]bool {
	wanted := map[place]bool{}
	for _, upstream := range route.Spec.Upstreams {
		at := compile.UpstreamModelOf(route, upstream)
		if at.HasList() && (at.Provider == v1alpha1.ProviderOpenRouter || compile.LeavesOut(route, upstream)) {
			wanted[placeOf(at)] = true
		}
	}
	return wanted
}

// listed is what a list says of a model. A place that was never asked is asked now.
func (l *Lists) listed(at compile.UpstreamModel) compile.Listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.places[placeOf(at)]
	if known == nil {
		if l.news != nil {
			close(l.news)
			l.news = nil
		}
		return compile.Listed{State: compile.ListPending}
	}
	listed := compile.Listed{State: known.state}
	if facts, isThere := known.models[at.ID]; isThere {
		listed.Facts = &facts
	}
	return listed
}

// Start implements a controller's source: it asks in the background until ctx ends and puts the routes into the queue of whose models
// something else is known.
func (l *Lists) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	go l.run(ctx, func(route types.NamespacedName, after time.Duration) {
		queue.AddAfter(reconcile.Request{NamespacedName: route}, after)
	})
	return nil
}

func (l *Lists) run(ctx context.Context, wake func(route types.NamespacedName, after time.Duration)) {
	for {
		news := make(chan struct{})
		l.mu.Lock()
		l.news = news // Before the routes are listed, so that none that comes later is missed.
		l.mu.Unlock()
		next := l.look(ctx, wake)
		timer := l.Clock.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-news:
			timer.Stop()
		case <-timer.C():
		}
	}
}

// look asks the places whose turn it is, one after the other, and returns how long there is nothing to do.
func (l *Lists) look(ctx context.Context, wake func(route types.NamespacedName, after time.Duration)) time.Duration {
	var routes v1alpha1.ModelRouteList
	if err := l.Routes.List(ctx, &routes); err != nil {
		log.FromContext(ctx).Error(err, "Looking for the upstreams whose lists of models are read")
		return min(listsRetry, l.Interval)
	}
	users := map[place][]*v1alpha1.ModelRoute{}
	for i := range routes.Items {
		for at := range wantedPlaces(&routes.Items[i]) {
			users[at] = append(users[at], &routes.Items[i])
		}
	}
	for _, at := range l.due(users) {
		models, err := l.ask(ctx, at)
		if ctx.Err() != nil {
			return 0
		}
		for i, route := range l.note(ctx, at, users[at], models, err) {
			wake(route, time.Duration(i)*wakePause)
		}
	}
	return l.untilNext()
}

// due are the places to ask now: those that were never asked first, since routes may wait for them, and those that did not answer last.
func (l *Lists) due(users map[place][]*v1alpha1.ModelRoute) []place {
	now := l.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := range l.places {
		if users[at] == nil {
			delete(l.places, at)
		}
	}
	var due []place
	for at := range users {
		if known := l.places[at]; known == nil || !now.Before(known.next) {
			due = append(due, at)
		}
	}
	rank := func(at place) int {
		if known := l.places[at]; known != nil {
			return map[compile.ListState]int{compile.ListRead: 1, compile.ListUnavailable: 2}[known.state]
		}
		return 0
	}
	slices.SortFunc(due, func(a, b place) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a.baseURL, b.baseURL)) })
	return due
}

// note takes up what an upstream said, and returns the routes of whose models something else is known now.
func (l *Lists) note(
	ctx context.Context, at place, users []*v1alpha1.ModelRoute, models map[string]catalog.Facts, err error,
) []types.NamespacedName {
	logger := log.FromContext(ctx).WithValues("upstream", at.baseURL)
	next := &upstreamList{state: compile.ListRead, models: models, next: l.Clock.Now().Add(wait.Jitter(l.Interval, listsJitter))}
	if err != nil {
		next = &upstreamList{state: compile.ListUnavailable, next: l.Clock.Now().Add(wait.Jitter(min(listsRetry, l.Interval), listsJitter))}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.places[at]
	if before == nil {
		before = &upstreamList{}
	}
	switch {
	case err != nil && before.state != compile.ListUnavailable:
		logger.Error(err, "An upstream's list of models cannot be read; what was known of it stays in force")
	case err == nil && before.state == compile.ListUnavailable:
		logger.Info("The upstream's list of models can be read again")
	}
	if l.places == nil {
		l.places = map[place]*upstreamList{}
	}
	l.places[at] = next
	var changed []types.NamespacedName
	for _, route := range users {
		if before.state != next.state || differs(route, at, before.models, next.models) {
			changed = append(changed, client.ObjectKeyFromObject(route))
		}
	}
	return changed
}

// differs reports whether of a route's model at a place something else is known.
func differs(route *v1alpha1.ModelRoute, at place, before, after map[string]catalog.Facts) bool {
	return slices.ContainsFunc(route.Spec.Upstreams, func(upstream v1alpha1.Upstream) bool {
		model := compile.UpstreamModelOf(route, upstream)
		return placeOf(model) == at && !reflect.DeepEqual(before[model.ID], after[model.ID])
	})
}

func (l *Lists) untilNext() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.Clock.Now().Add(l.Interval)
	for _, known := range l.places {
		if known.next.Before(next) {
			next = known.next
		}
	}
	return next.Sub(l.Clock.Now())
}
