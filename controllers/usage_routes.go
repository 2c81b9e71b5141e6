package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
)

// found is what a look at a route and its usage has found that stays so while both are what they were. It saves most of the time of the
// next look at thousands of routes.
type found struct {
	// version is the route's resourceVersion.
	version string
	usage   *ledgerpb.RouteUsage
	// turn is the turn that the route waits for; nil if the status has all that there is to show.
	turn *turn
}

// routeTurns are the routes whose figures have to be written.
func (u *Usage) routeTurns(ctx context.Context, usages map[types.NamespacedName]*ledgerpb.RouteUsage) []turn {
	var routes v1alpha1.ModelRouteList
	// They are the cache's own: nobody changes them.
	if err := u.Routes.List(ctx, &routes, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Listing routes")
		return nil
	}
	u.mu.Lock()
	u.existing = len(routes.Items)
	u.mu.Unlock()
	now := u.Clock.Now()
	next := make(map[types.NamespacedName]found, len(usages))
	var turns []turn
	for i := range routes.Items {
		route := &routes.Items[i]
		name := client.ObjectKeyFromObject(route)
		usage := usages[name]
		if usage == nil {
			continue
		}
		its := u.found[name]
		if its.usage != usage || its.version != route.ResourceVersion {
			its = found{version: route.ResourceVersion, usage: usage}
			if turn, isDue := turnOf(route, usage, now); isDue {
				its.turn = &turn
			} else if !isAllShown(route, now) {
				continue
			}
		}
		next[name] = its
		if its.turn != nil {
			turns = append(turns, *its.turn)
		}
	}
	u.found = next
	return turns
}

// isAllShown reports whether a route that is not due has nothing new to show: it does not only wait for the end of spendInterval.
func isAllShown(route *v1alpha1.ModelRoute, now time.Time) bool {
	return route.Status.Spend != nil && now.Sub(route.Status.Spend.UpdateTime.Time) >= spendInterval
}

// turnOf reports whether the figures in a route's status have to be written, and how urgent that is.
func turnOf(route *v1alpha1.ModelRoute, usage *ledgerpb.RouteUsage, now time.Time) (turn, bool) {
	next, due := projectSpend(route, usage, now)
	if !due {
		return turn{}, false
	}
	urgent := isUrgent(route.Spec, figuresShown(route.Status), next)
	return turnFor(routeSubject(client.ObjectKeyFromObject(route)), route.Status.Spend, urgent), true
}
